"""Files of weights load bit for bit; every damage, foreign file or misfit is one clear error."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

from csgisnet.checkpoints.format import Weights, load_into, load_weights, read_pickled, save_weights
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
    with pytest.raises(CheckpointError, match=r"no checkpoint .*absent"):
        read_pickled(tmp_path / "absent")
    with pytest.raises(CheckpointError, match=str(tmp_path)):
        load_weights(tmp_path, "network")
    with pytest.raises(CheckpointError, match=str(tmp_path)):
        read_pickled(tmp_path)


def test_config_of_another_version_is_named() -> None:
    with pytest.raises(CheckpointError, match=r"file: config: unknown key 'widht'.*'width'"):
        Weights(kind="network", config={"widht": 8}, metadata={}, tensors={}).config_as(
            NetworkConfig, Path("file")
        )


@pytest.mark.parametrize("zipped", [True, False])
def test_pickled_state_is_read_beside_numpy_scores(zipped: bool, tmp_path: Path) -> None:
    content = {"state": {"a": torch.ones(2)}, "score": np.float64(3), "small": np.float32(1)}
    torch.save(content, tmp_path / "w", _use_new_zipfile_serialization=zipped)
    assert torch.equal(read_pickled(tmp_path / "w", "state")["a"], torch.ones(2))
    assert read_pickled(tmp_path / "w").keys() == content.keys()


class _Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("evil"),)


def test_pickled_code_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"state": _Evil()}, "w")
    with pytest.raises(CheckpointError, match="only running its code") as refused:
        read_pickled(Path("w"))
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
            read_pickled(path)
        except CheckpointError:
            refused += 1
    assert refused > 200


def test_content_that_is_no_state_dict_is_refused(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "w")
    with pytest.raises(CheckpointError, match="holds a list, expected a state dict"):
        read_pickled(tmp_path / "w")
    torch.save({"net": {0: torch.ones(1)}}, tmp_path / "w")
    with pytest.raises(CheckpointError, match="expected a state dict"):
        read_pickled(tmp_path / "w", "net")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": None}, "it lacks 'weight'"),
        ({"gain": torch.ones(1)}, "it has an unexpected 'gain'"),
        ({"bias": [0.0, 0.0]}, "bias must be a tensor, got list"),
        ({"bias": torch.zeros(3)}, r"bias must be torch.float32 of shape \(2,\), got .* \(3,\)"),
        ({"bias": torch.zeros(2).double()}, "got torch.float64"),
        ({"bias": torch.zeros(2).to_sparse()}, "dense tensor, got layout torch.sparse_coo"),
        ({"bias": torch.tensor([0, torch.inf])}, "not finite"),
    ],
)
def test_tensors_that_do_not_fit_are_named(change: dict[str, Any], message: str) -> None:
    with torch.device("meta"):
        module = nn.Linear(3, 2)
    tensors = {"weight": torch.zeros(2, 3), "bias": torch.zeros(2), **change}
    fitting = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    with pytest.raises(CheckpointError, match=message):
        load_into(module, fitting, Path("file"))
    assert module.weight.is_meta
