"""What is given in place of weights is named, and what to do about it."""

import gzip
import io
import json
import os
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image

from csgisnet.checkpoints.networks import load_network
from csgisnet.checkpoints.recognise import describe, is_safetensors
from csgisnet.checkpoints.segmenters import load_features, load_segmenter
from csgisnet.checkpoints.states import save_state
from csgisnet.errors import CheckpointError
from csgisnet.networks.segmenter import Segmenter, SegmenterConfig
from csgisnet.networks.smoothing import NetworkConfig, SmoothingNetwork

LOADERS: tuple[Callable[..., Any], ...] = (load_network, load_segmenter, load_features)


def archive(*names: str) -> bytes:
    """Return a ZIP archive of files that each hold a letter."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name in names:
            file.writestr(name, "x")
    return buffer.getvalue()


def written(write: Callable[[io.BytesIO], Any]) -> bytes:
    """Return what a function writes into a file."""
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()


def tarred() -> bytes:
    """Return a tar archive of an empty file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        file.addfile(tarfile.TarInfo("weights.pth"))
    return buffer.getvalue()


def traced() -> bytes:
    """Return a module exported to TorchScript."""
    module = torch.jit.trace(torch.nn.ReLU(), torch.zeros(1))  # type: ignore[no-untyped-call]
    return written(lambda buffer: torch.jit.save(module, buffer))


def truncated() -> bytes:
    """Return the first half of a file of torch.save."""
    data = written(lambda buffer: torch.save({"a": torch.zeros(99)}, buffer))
    return data[: len(data) // 2]


ARRAY = np.zeros(3, np.float32)
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
ONNX = b"\x08\x0a\x12\x07pytorch\x1a\x062.10.0:\x90\x04"

WRONG: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "an empty file.*again"),
    "git-lfs": (lambda: POINTER, "pointer of Git LFS.*git lfs pull"),
    "web page": (lambda: b"\n <!DOCTYPE html><html><head>", "a web page.*download"),
    "web page, bare": (lambda: b"<HTML>Not found", "a web page"),
    "XML": (lambda: b"<?xml version='1.0'?><Error>AccessDenied", "a web page"),
    "text": ("Gewichte für später".encode, "a text file"),
    "JSON": (lambda: json.dumps({"message": {"error": 404}}).encode(), "a text file"),
    "JSON like a header": (lambda: b'{"abcd":{"error": 404}}', "a text file"),
    "UTF-16": (lambda: "later".encode("utf-16"), "a text file"),
    "zeros": (lambda: bytes(600), "a file of zeros.*again"),
    "ONNX": (lambda: ONNX, "an ONNX model.*cannot be read back"),
    "TorchScript": (traced, "a TorchScript module.*cannot be read back"),
    "torch.export": (lambda: archive("net/archive_format", "net/data.pkl"), "of torch.export"),
    "npy": (lambda: written(lambda buffer: np.save(buffer, ARRAY)), "a NumPy array"),
    "npz": (lambda: written(lambda buffer: np.savez(buffer, ARRAY)), "an archive of NumPy"),
    "zip": (lambda: archive("weights.pth"), "a ZIP archive.*Unpack"),
    "gzip": (lambda: gzip.compress(b"weights"), "a packed archive.*Unpack"),
    "tar": (tarred, "a packed archive.*Unpack"),
    "picture": (
        lambda: written(lambda buffer: Image.new("RGB", (3, 3)).save(buffer, "png")),
        "a picture",
    ),
    "truncated": (truncated, "damaged or incomplete.*again"),
    "pickle of arrays": (lambda: pickle.dumps({"a": ARRAY}), "cannot be read as weights|state"),
    "noise": (lambda: bytes(range(256)), "cannot be read as weights"),
}
"""Content, and what the error says."""


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("kind", WRONG)
def test_wrong_kinds_of_files_are_named(kind: str, tmp_path: Path) -> None:
    content, message = WRONG[kind]
    path = tmp_path / "weights.pth"
    path.write_bytes(content())
    for load in LOADERS:
        with pytest.raises(CheckpointError, match=message) as refused:
            load(path)
        assert str(path) in str(refused.value)


def test_files_that_a_test_cannot_write_in_a_line_are_named(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "shard.h5", "w") as file:
        file["a"] = ARRAY
    save_state(tmp_path / "state-000000001.pt", {"step": 1})
    os.mkfifo(tmp_path / "pipe")
    for name, message in (
        ("shard.h5", "an HDF5 file"),
        ("state-000000001.pt", "training state of a run.*folder"),
        ("pipe", "is not a regular file"),
        ("absent.pth", "There is no checkpoint"),
        (".", "is not a regular file"),
    ):
        for load in LOADERS:
            with pytest.raises(CheckpointError, match=message):
                load(tmp_path / name)


def test_weights_of_any_make_are_not_taken_for_something_else(tmp_path: Path) -> None:
    path, state = tmp_path / "w", {"a": torch.zeros(2)}
    for zipped in (True, False):
        torch.save(state, path, _use_new_zipfile_serialization=zipped)
        assert not is_safetensors(path)
    for count in (1, 8, 300):  # whose headers have lengths of one to three bytes
        tensors = {f"a{number:03d}": torch.zeros(1) for number in range(count)}
        path.write_bytes(safetensors.torch.save(tensors))
        assert is_safetensors(path)


def test_networks_are_told_by_their_names() -> None:
    assert describe({"features.0.weight", "features.0.bias"}).startswith("VGG")
    assert describe(set()) == "no weights at all"
    assert describe({"b", "a"}) == "an unknown network (its names are 'a', 'b')"
    assert describe({"d\n" * 99, "c", "b", "a"}).endswith("'a', 'b', 'c', ...)")


@pytest.mark.parametrize("value", [ARRAY, torch.zeros(3), None])
def test_a_weight_that_is_none_is_named(value: Any, tmp_path: Path) -> None:
    for name, load in (
        ("descriptor.conv_in.weight", load_network),
        ("classifier.classifier.3.weight", load_segmenter),
    ):
        torch.save({name: value}, tmp_path / "w")
        with pytest.raises(CheckpointError, match=f"{name} must be a tensor of four dimensions"):
            load(tmp_path / "w")


def states() -> dict[str, dict[str, torch.Tensor]]:
    """Return a state dict of each kind of network that users have at hand."""
    small = NetworkConfig(width=4, blocks=1, coarse_blocks=1, refine_blocks=1)
    return {
        "a smoothing network": SmoothingNetwork(small).state_dict(),
        "a DeepLabV3": Segmenter(SegmenterConfig(width=0.125, head_width=8)).state_dict(),
        "VGG": {"features.0.weight": torch.zeros(64, 3, 3, 3), "features.0.bias": torch.zeros(64)},
        "a ResNet": {"layer1.0.conv1.weight": torch.zeros(64, 64, 3, 3)},
        "an unknown network": {"encoder.0.weight": torch.zeros(3)},
    }


@pytest.mark.parametrize("form", ["pickle", "safetensors"])
@pytest.mark.parametrize("kind", states())
def test_another_network_is_named_whatever_holds_it(kind: str, form: str, tmp_path: Path) -> None:
    path, state = tmp_path / "w", states()[kind]
    if form == "pickle":
        torch.save({"state_dict": {f"module.{name}": t for name, t in state.items()}}, path)
    else:
        path.write_bytes(safetensors.torch.save(state))
    if kind != "a smoothing network":
        with pytest.raises(CheckpointError, match=f"holds {kind}.*expected a smoothing network"):
            load_network(path)
    if kind != "a DeepLabV3":
        with pytest.raises(CheckpointError, match=f"holds {kind}.*expected a DeepLabV3"):
            load_segmenter(path)
