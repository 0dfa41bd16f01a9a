# Two commands: `make demo` shows everything at work, `make test` checks everything.
# Both set up .venv on first use. PYTHON=python3.12 chooses another interpreter.

PYTHON ?= python3
DEMO ?= demo
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# Threads that wait for each other step aside: on a machine with other work, several times faster.
export OMP_WAIT_POLICY := PASSIVE

.PHONY: demo test soak format clean
.DELETE_ON_ERROR:

$(READY): pyproject.toml setup.py constraints.txt $(wildcard vocsmooth/csrc/*)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

test: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

# The full counts of kills, damage and failing system calls; most of an hour.
soak: $(READY)
	SOAK=1 $(BIN)/python -m pytest tests/vocsmooth/test_survives.py --timeout=0 -rP

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Each step of the demo is one command of the README, and its product one make target: a second
# run, or one after an interruption, does only what is missing.
demo: $(DEMO)/.trained
	$(BIN)/csgisnet predict $(DEMO)/voc/JPEGImages --out $(DEMO)/smoothed --checkpoint $(DEMO)/run --skip-existing
	$(BIN)/csgisnet sheet --data $(DEMO)/dataset --checkpoint $(DEMO)/run --out $(DEMO)/before_after.png
	@echo
	@cat $<
	@echo "Look at $(DEMO)/before_after.png, and at the smoothed photographs in $(DEMO)/smoothed/."
	@echo "Next: $(BIN)/csgisnet predict YOUR_PHOTOS --out smoothed --checkpoint $(DEMO)/run"
	@echo "      $(BIN)/vocsmooth build --voc-root VOCdevkit --out voc-smooth"

$(DEMO)/voc/SOURCES.txt: | $(READY)
	$(BIN)/vocsmooth sample $(DEMO)/voc

$(DEMO)/dataset/index.json: $(DEMO)/voc/SOURCES.txt
	$(BIN)/vocsmooth build --voc-root $(DEMO)/voc --out $(DEMO)/dataset --manifest demo
	$(BIN)/vocsmooth verify $(DEMO)/dataset

$(DEMO)/segmenter.safetensors: $(DEMO)/dataset/index.json
	$(BIN)/csgisnet train-segmenter --data $(DEMO)/dataset --out $@ --config demo

$(DEMO)/.trained: $(DEMO)/segmenter.safetensors
	$(BIN)/csgisnet train --data $(DEMO)/dataset --out $(DEMO)/run --config demo --segmenter $< \
		$(if $(wildcard $(DEMO)/run/run.json),--resume) > $@.part
	mv $@.part $@

clean:
	rm -rf $(VENV) $(DEMO) build *.egg-info vocsmooth/_kernels*.so
