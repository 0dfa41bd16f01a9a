"""A run keeps the precision that it began in, on whatever processor it is resumed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import torch

from csgisnet.errors import ConfigError
from csgisnet.training.config import Config
from csgisnet.training.runs import RUN_FILE
from csgisnet.training.train import Summary, train

if TYPE_CHECKING:
    from tests.csgisnet.training.conftest import Lab


@pytest.fixture(autouse=True)
def capable(monkeypatch: pytest.MonkeyPatch) -> dict[str, bool]:
    """What torch says of the processor: at first that it has AMX."""
    found = {"amx_bf16": True}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found, raising=False)
    return found


@pytest.fixture
def auto(lab: Lab, config: Config) -> Config:
    return lab.changed(lab.quick(config), precision="auto")


def half(lab: Lab, config: Config) -> Summary:
    """Begin a run, and stop it after half of its steps."""
    return train(
        lab.data,
        lab.folder / "run",
        config,
        device="cpu",
        segmenter=lab.teacher,
        callback=lambda step, _: step >= 6,
        report=lab.lines.append,
    )


def weights(lab: Lab, name: str = "run") -> dict[str, object]:
    """The networks and states of a run."""
    return {file: value for file, value in lab.content(name).items() if file != "metrics"}


def test_a_run_begun_in_bfloat16_goes_on_in_it_where_the_processor_lacks_it(
    lab: Lab, auto: Config, capable: dict[str, bool]
) -> None:
    lab.train(auto.computed_in("bfloat16"), "whole")
    lab.train(auto.computed_in("float32"), "exact")
    assert not [line for line in lab.lines if line.startswith("training in")]
    assert half(lab, auto).steps == 6
    assert "training in bfloat16: this processor multiplies bfloat16 in hardware (AMX)" in lab.lines
    record = json.loads((lab.folder / "run" / RUN_FILE).read_text())
    assert (record["precision"], record["config"]["run"]["precision"]) == ("auto", "bfloat16")
    capable.clear()
    lab.lines.clear()
    assert lab.train(auto, resume=True).finished
    assert lab.lines[0] == (
        "this run began in bfloat16 and goes on in it; a new one would be trained in float32 here: "
        "torch finds neither AMX nor AVX-512 BF16 in this processor"
    )
    assert weights(lab) == weights(lab, "whole")
    assert weights(lab) != weights(lab, "exact")


def test_a_run_begun_in_float32_goes_on_in_it_where_the_processor_has_bfloat16(
    lab: Lab, auto: Config, capable: dict[str, bool]
) -> None:
    lab.train(auto.computed_in("float32"), "whole")
    capable.clear()
    half(lab, auto)
    capable["amx_bf16"] = True
    assert lab.train(None, resume=True).finished
    assert weights(lab) == weights(lab, "whole")


def test_a_run_of_a_version_that_recorded_no_precision_goes_on_in_float32(
    lab: Lab, auto: Config
) -> None:
    lab.train(auto.computed_in("float32"), "whole")
    half(lab, auto.computed_in("float32"))
    path = lab.folder / "run" / RUN_FILE
    record = json.loads(path.read_text())
    del record["precision"]
    record["config"]["run"]["precision"] = "auto"
    path.write_text(json.dumps(record))
    assert lab.train(auto, resume=True).finished
    assert weights(lab) == weights(lab, "whole")


def test_a_run_is_not_resumed_in_another_precision(lab: Lab, auto: Config) -> None:
    half(lab, auto)
    with pytest.raises(ConfigError, match=r"run\.precision was 'bfloat16', given 'float32'"):
        lab.train(auto.computed_in("float32"), resume=True)
    assert lab.train(auto.computed_in("bfloat16"), resume=True).finished
