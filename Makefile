# Two commands: `make demo` shows everything at work, `make test` checks everything.
# Both set up .venv on first use. PYTHON=python3.12 chooses another interpreter.

PYTHON ?= python3
DEMO ?= demo
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test soak format clean

$(READY): pyproject.toml setup.py constraints.txt $(wildcard vocsmooth/*.c)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

test: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/python -m pytest

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Each step of the demo is one command of the README, and its product one make target:
# a second run redoes only what is missing.
demo: $(DEMO)/before_after.png
	@$(BIN)/csgisnet report $(DEMO)/run
	@echo "Look at $(DEMO)/before_after.png; smoothed photographs are in $(DEMO)/smoothed/."
	@echo "Next: $(BIN)/csgisnet predict YOUR_PHOTOS --out smoothed --checkpoint $(DEMO)/run/best.safetensors"

$(DEMO)/voc/.complete: | $(READY)
	$(BIN)/vocsmooth sample $(DEMO)/voc
	@touch $@

$(DEMO)/dataset/index.json: $(DEMO)/voc/.complete
	$(BIN)/vocsmooth build --voc-root $(DEMO)/voc --out $(DEMO)/dataset --manifest demo
	$(BIN)/vocsmooth verify $(DEMO)/dataset

$(DEMO)/segmenter.safetensors: $(DEMO)/dataset/index.json
	$(BIN)/csgisnet train-segmenter --data $(DEMO)/dataset --out $@ --config demo

$(DEMO)/run/best.safetensors: $(DEMO)/segmenter.safetensors
	$(BIN)/csgisnet train --data $(DEMO)/dataset --out $(DEMO)/run --config demo --segmenter $<

$(DEMO)/before_after.png: $(DEMO)/run/best.safetensors
	$(BIN)/csgisnet predict $(DEMO)/voc --out $(DEMO)/smoothed --checkpoint $<
	$(BIN)/csgisnet sheet --data $(DEMO)/dataset --checkpoint $< --out $@

clean:
	rm -rf $(VENV) $(DEMO) build *.egg-info vocsmooth/*.so
