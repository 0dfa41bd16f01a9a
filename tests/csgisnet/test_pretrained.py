"""A path, a run's folder or a name each mean one file, or one clear error."""

from __future__ import annotations

from pathlib import Path

import pytest

from csgisnet import pretrained
from csgisnet.errors import CheckpointError
from csgisnet.pretrained import find_weights


def test_files_are_themselves_and_runs_their_best(tmp_path: Path) -> None:
    (tmp_path / "best.safetensors").touch()
    assert find_weights(tmp_path) == tmp_path / "best.safetensors"
    assert find_weights(str(tmp_path)) == tmp_path / "best.safetensors"
    assert find_weights(tmp_path / "other.pth") == tmp_path / "other.pth"


def test_a_run_without_weights_says_so(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"holds no best\.safetensors.*validated"):
        find_weights(tmp_path)


def test_names_are_bundled_networks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "BUNDLED", tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match="comes without a network"):
        find_weights()
    (tmp_path / "default.safetensors").touch()
    (tmp_path / "large.safetensors").touch()
    assert find_weights() == tmp_path / "default.safetensors"
    assert find_weights("large") == tmp_path / "large.safetensors"
    with pytest.raises(CheckpointError, match=r"network 'larg'\. Did you mean 'large'"):
        find_weights("larg")


def test_a_path_goes_before_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "BUNDLED", tmp_path)
    (tmp_path / "large.safetensors").touch()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    Path("large").touch()
    assert find_weights("large") == Path("large")
