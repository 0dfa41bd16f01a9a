"""Files of weights load bit for bit; every damage, foreign file or misfit is one clear error."""

import contextlib
import json
from pathlib import Path

import pytest
import safetensors.torch
import torch

from csgisnet.checkpoints.format import (
    Weights,
    is_ours,
    load_weights,
    read_safetensors,
    save_weights,
)
from csgisnet.errors import CheckpointError
from csgisnet.networks.smoothing import NetworkConfig


def draw(kind: str = "network") -> Weights:
    torch.manual_seed(0)
    tensors = {
        "weight": torch.randn(3, 5),
        "half": torch.randn(7).bfloat16(),
        "count": torch.tensor(4),
        "none": torch.zeros(0, 2),
    }
    metadata = {"step": 3, "scores": [1.5, None], "name": "café"}
    return Weights(kind=kind, config={"width": 8}, metadata=metadata, tensors=tensors)


def test_round_trip(tmp_path: Path) -> None:
    save_weights(tmp_path / "w", draw())
    loaded = load_weights(tmp_path / "w", "network")
    assert (loaded.config, loaded.metadata) == (draw().config, draw().metadata)
    assert loaded.tensors.keys() == draw().tensors.keys()
    for name, tensor in draw().tensors.items():
        assert torch.equal(loaded.tensors[name], tensor)
        assert loaded.tensors[name].dtype == tensor.dtype


def test_equal_weights_are_equal_files_and_nothing_else_is_left(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_weights(tmp_path / name, draw())
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_strided_and_shared_tensors_are_written_as_they_look(tmp_path: Path) -> None:
    base = torch.arange(6.0).reshape(2, 3)
    weights = Weights(kind="network", config={}, metadata={}, tensors={"t": base.T, "b": base})
    save_weights(tmp_path / "w", weights)
    loaded = load_weights(tmp_path / "w", "network").tensors
    assert torch.equal(loaded["t"], base.T)
    assert torch.equal(loaded["b"], base)


def test_every_flipped_bit_and_every_truncation_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "w"
    save_weights(path, draw())
    whole = path.read_bytes()
    for position in range(len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 1 << position % 8
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"w (is|has|holds) "):
            load_weights(path, "network")
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(CheckpointError, match="truncated"):
            load_weights(path, "network")


def test_other_kinds_say_what_they_are(tmp_path: Path) -> None:
    save_weights(tmp_path / "w", draw("segmenter"))
    with pytest.raises(CheckpointError, match="weights of a segmenter, expected a network"):
        load_weights(tmp_path / "w", "network")


def test_safetensors_of_others_are_refused(tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(safetensors.torch.save({"a": torch.zeros(2)}))
    with pytest.raises(CheckpointError, match="another project wrote it"):
        load_weights(tmp_path / "w", "network")
    header = json.dumps({"format": "csgisnet-weights", "kind": "network"})
    (tmp_path / "w").write_bytes(safetensors.torch.save({}, {"csgisnet": header}))
    with pytest.raises(CheckpointError, match="another project wrote it"):
        load_weights(tmp_path / "w", "network")


def test_missing_file_and_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"no checkpoint .*absent"):
        load_weights(tmp_path / "absent", "network")
    with pytest.raises(CheckpointError, match=str(tmp_path)):
        load_weights(tmp_path, "network")


def test_config_of_another_version_is_named() -> None:
    with pytest.raises(CheckpointError, match=r"file: config: unknown key 'widht'.*'width'"):
        Weights(kind="network", config={"widht": 8}, metadata={}, tensors={}).config_as(
            NetworkConfig, Path("file")
        )


def test_ours_are_told_from_others_even_when_damaged(tmp_path: Path) -> None:
    path = tmp_path / "w"
    save_weights(path, draw())
    assert is_ours(path)
    whole = path.read_bytes()
    start = whole.index(b'"csgisnet"')
    for position in range(start, start + 60):
        damaged = bytearray(whole)
        damaged[position] ^= 1
        path.write_bytes(damaged)
        with contextlib.suppress(CheckpointError):  # damage to the file's own format
            assert is_ours(path)
    path.write_bytes(safetensors.torch.save({"a": torch.zeros(2)}, {"format": "pt"}))
    assert not is_ours(path)
    torch.save({"a": torch.zeros(2)}, path)
    assert not is_ours(path)


def test_any_safetensors_file_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "w"
    path.write_bytes(safetensors.torch.save({"a": torch.ones(2)}, {"made_by": "others"}))
    metadata, tensors = read_safetensors(path)
    assert metadata == {"made_by": "others"}
    assert torch.equal(tensors["a"], torch.ones(2))
