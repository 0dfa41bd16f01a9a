"""Configurations: the bundled ones load, wrong ones are refused with the nearest key."""

from __future__ import annotations

from pathlib import Path

import pytest

from csgisnet.networks.smoothing import COMPACT, FULL
from csgisnet.objective.config import TERMS
from csgisnet.training.config import Config, RunConfig, SegmenterRun, load_config, without_terms
from vocsmooth import settings
from vocsmooth.errors import InputError


def test_the_bundled_configurations_load_and_survive_a_round_trip() -> None:
    found = {name: load_config(name) for name in ("full", "compact", "demo")}
    assert found["full"].network == FULL
    assert found["compact"].network == COMPACT
    for name, config in found.items():
        assert settings.from_dict(Config, settings.to_dict(config), name) == config
    assert set(found["demo"].losses.terms) == set(TERMS) - {"tv", "inversion", "region"}
    for name in ("full", "compact"):  # a prior is on where it has been shown to help
        assert found[name].losses.terms == ("l1", "structure", "edge")


def test_a_file_fills_up_with_defaults(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("seed = 3\n[run]\nsteps = 10\n")
    config = load_config(path)
    assert (config.seed, config.run.steps, config.network) == (3, 10, FULL)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[run]\nstep = 1", "'step'.*'steps'"),
        ("[run]\nsteps = 0", "steps must be at least 1"),
        ("[run]\nsteps = 1.5", "steps must be of type int"),
        ("seed = -1", "seed must be"),
        ("[augment]\nmax_angle = 90.0", "max_angle"),
        ("[data]\nnegatives = []", "negatives"),
    ],
)
def test_a_wrong_key_or_value_names_the_file_and_the_key(
    tmp_path: Path, text: str, message: str
) -> None:
    path = tmp_path / "wrong.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=rf"wrong\.toml.*{message}"):
        load_config(path)


def test_a_missing_configuration_names_the_bundled_ones() -> None:
    with pytest.raises(InputError, match=r"'tiny'.*compact, demo, full"):
        load_config("tiny")


def test_terms_can_be_left_out() -> None:
    config = without_terms(load_config("demo"), ("contrast", "semantic"))
    assert (config.losses.contrast, config.losses.semantic) == (0, 0)
    assert config.losses.l1 == load_config("demo").losses.l1
    with pytest.raises(InputError, match=r"'semantics'.*'semantic'"):
        without_terms(config, ("semantics",))
    with pytest.raises(InputError, match="nothing is left"):
        without_terms(config, TERMS)


def test_the_number_of_validation_samples_may_be_zero() -> None:
    assert RunConfig(validate_samples=0).validate_samples == 0
    with pytest.raises(ValueError, match="validate_samples"):
        RunConfig(validate_samples=-1)


@pytest.mark.parametrize(
    ("field", "value"), [("steps", 0), ("batch_size", 1), ("patch", 15), ("lr", 0.0)]
)
def test_segmenter_runs_out_of_range_are_refused(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        SegmenterRun(**{field: value})  # type: ignore[arg-type]
