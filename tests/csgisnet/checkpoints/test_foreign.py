"""Other projects' weights: read from whatever they are wrapped in, and no code in them is run."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from csgisnet.checkpoints.foreign import read_foreign
from csgisnet.errors import CheckpointError


@pytest.mark.parametrize("zipped", [True, False])
def test_pickled_state_is_read_beside_numpy_scores(zipped: bool, tmp_path: Path) -> None:
    content = {"state": {"a": torch.ones(2)}, "score": np.float64(3), "small": np.float32(1)}
    torch.save(content, tmp_path / "w", _use_new_zipfile_serialization=zipped)
    assert torch.equal(read_foreign(tmp_path / "w", "state").tensors["a"], torch.ones(2))
    assert read_foreign(tmp_path / "w").about.keys() == content.keys()


class _Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("evil"),)


def test_pickled_code_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state": _Evil()}, "w")
    with pytest.raises(CheckpointError, match="only running its code") as refused:
        read_foreign(Path("w"))
    assert "weights_only" not in str(refused.value)  # torch's advice to read it all the same
    assert [path.name for path in tmp_path.iterdir()] == ["w"]


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("zipped", [True, False])
def test_damaged_pickles_are_errors_of_ours(zipped: bool, tmp_path: Path) -> None:
    path, generator = tmp_path / "w", np.random.default_rng(0)
    torch.save({"a": torch.ones(2)}, path, _use_new_zipfile_serialization=zipped)
    whole = path.read_bytes()
    refused = 0
    for _ in range(300):
        damaged = bytearray(whole[: generator.integers(1, len(whole) + 1)])
        for position in generator.integers(0, len(damaged), 3):
            damaged[position] = generator.integers(256)
        path.write_bytes(damaged)
        try:
            read_foreign(path)
        except CheckpointError:
            refused += 1
    assert refused > 200


def test_content_that_is_no_state_dict_is_refused(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "w")
    with pytest.raises(CheckpointError, match="type list, expected a state dict"):
        read_foreign(tmp_path / "w")
    torch.save({"net": {0: torch.ones(1)}}, tmp_path / "w")
    with pytest.raises(CheckpointError, match="expected a state dict"):
        read_foreign(tmp_path / "w", "net")


@pytest.mark.parametrize(
    "prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."]
)
@pytest.mark.parametrize("wrapper", [None, "net", "state_dict", "model"])
def test_prefixes_and_wrappers_of_trainers_are_taken_off(
    prefix: str, wrapper: str | None, tmp_path: Path
) -> None:
    state: dict[str, object] = {f"{prefix}a": torch.ones(2), f"{prefix}module.b": torch.zeros(1)}
    torch.save({wrapper: state, "epoch": 3} if wrapper else state, tmp_path / "w")
    assert read_foreign(tmp_path / "w", "net").tensors.keys() == {"a", "module.b"}


def test_a_prefix_of_only_some_names_belongs_to_them(tmp_path: Path) -> None:
    torch.save({"module.a": torch.ones(2), "b": torch.zeros(1)}, tmp_path / "w")
    assert read_foreign(tmp_path / "w").tensors.keys() == {"module.a", "b"}


def test_safetensors_are_read_like_pickles(tmp_path: Path) -> None:
    data = safetensors.torch.save({"module.a": torch.ones(2)}, {"output_stride": "8"})
    (tmp_path / "w").write_bytes(data)
    content = read_foreign(tmp_path / "w")
    assert torch.equal(content.tensors["a"], torch.ones(2))
    assert content.about == {"output_stride": "8"}


def test_settings_and_arrays_beside_the_weights_are_read_or_left_out(tmp_path: Path) -> None:
    content = {
        "state_dict": {"a": torch.ones(2)},
        "args": argparse.Namespace(lr=0.1, out=Path("runs")),
        "confusion": np.zeros((2, 2)),
    }
    torch.save(content, tmp_path / "w")
    found = read_foreign(tmp_path / "w")
    assert found.tensors.keys() == {"a"}
    assert found.about["args"].lr == 0.1


def test_a_dict_that_holds_itself_ends(tmp_path: Path) -> None:
    content: dict[str, Any] = {"a": torch.ones(2)}
    content["model"] = content
    torch.save(content, tmp_path / "w")
    assert read_foreign(tmp_path / "w").tensors.keys() == {"a", "model"}


def test_a_whole_module_is_named_and_the_way_out(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "w")
    with pytest.raises(
        CheckpointError, match=r"torch\.nn\.modules\.linear\.Linear.*state_dict\(\)"
    ):
        read_foreign(tmp_path / "w")
