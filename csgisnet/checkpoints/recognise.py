"""Recognise a file or state dict that is not the weights expected, and say what to give instead."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from csgisnet.errors import CheckpointError

_HEAD = 512
"""Bytes at the start of a file that tell its kind."""

_LARGEST_HEADER = 100_000_000
"""Bytes that the header of a safetensors file may have, by its own definition."""

_UNPACK = "Unpack it, and give the file of weights in it."
_OTHERS = "Give a checkpoint of csgisnet, or weights that torch.save or safetensors wrote."
_EXPORTED = (
    "It is an export for other programs, which cannot be read back: give the checkpoint that it "
    "was made from."
)
_AGAIN = "Its copy or download broke off: get it again."

_KINDS = (
    (
        rb"version https://git-lfs",
        "a pointer of Git LFS, which only stands for the file",
        "Get the file itself with `git lfs pull`.",
    ),
    (
        rb"(?i)(\xef\xbb\xbf)?\s*<(!doctype|html|head|body|\?xml)",
        "a web page",
        "The download gave a page instead of the file: open it in a browser to see why.",
    ),
    (
        rb"csgisnet-state ",
        "the training state of a run",
        "Give the run's folder, or the best weights in it.",
    ),
    (rb"\x08[\x01-\x7f][\x12\x1a\x22\x3a\x42]", "an ONNX model", _EXPORTED),
    (rb"\0{9}", "a file of zeros", _AGAIN),
    (rb"\xff\xfe|\xfe\xff", "a text file", _OTHERS),
    (rb"\x93NUMPY", "a NumPy array", _OTHERS),
    (rb"\x89HDF\r\n", "an HDF5 file", _OTHERS),
    (rb"GGUF", "a GGUF model", _OTHERS),
    (rb"\x89PNG|\xff\xd8\xff|GIF8|RIFF....WEBP|II\*\0|MM\0\*", "a picture", _OTHERS),
    (rb"\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!|.{257}ustar", "a packed archive", _UNPACK),
)
"""Pattern of the first bytes, what such a file is, and what to do."""

_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f]")
"""Bytes that no text has."""

_NETWORKS = {
    "descriptor.conv_in.weight": "a smoothing network",
    "classifier.classifier.3.weight": "a DeepLabV3+ segmenter",
    "features.0.weight": "VGG or a network like it",
    "layer1.0.conv1.weight": "a ResNet",
    "backbone.layer1.0.conv1.weight": "a segmenter on a ResNet",
}
"""Networks by a name in their state dict."""

_SHOWN, _SHOWN_LENGTH = 3, 60


def missing(path: Path) -> CheckpointError:
    """Return the error for a file that does not exist."""
    return CheckpointError(f"There is no checkpoint {path}.")


def is_safetensors(path: Path) -> bool:
    """Tell a safetensors file from others by its first bytes, whatever its name.

    Raises
    ------
    CheckpointError
        The file cannot be read, or is known to hold no weights; the message says what it is.
    """
    head = _read_head(path)
    length = int.from_bytes(head[:8], "little")
    if head[8:9] == b"{" and length <= _LARGEST_HEADER:
        return True
    found = _kind_of(path, head)
    if found is not None:
        kind, advice = found
        raise CheckpointError(f"{path} is {kind}, expected a file of weights. {advice}")
    return False


def find_weight(
    tensors: Mapping[str, Any], name: str, network: str, advice: str, path: Path
) -> Tensor:
    """Return the weight of a convolution whose shape tells the size of a network.

    Parameters
    ----------
    tensors : mapping
        A state dict.
    name : str
        The weight's name.
    network, advice : str
        Which network it belongs to, and where to get one, for the error.
    path : Path
        The file that the state dict comes from, for the error.

    Raises
    ------
    CheckpointError
        The state dict belongs to something else.
    """
    if name not in tensors:
        raise CheckpointError(f"{path} holds {describe(tensors)}, expected {network}. {advice}")
    weight = tensors[name]
    if not isinstance(weight, Tensor) or weight.dim() != 4:
        got = tuple(weight.shape) if isinstance(weight, Tensor) else type(weight).__name__
        raise CheckpointError(f"{path}: {name} must be a tensor of four dimensions, got {got}.")
    return weight


def describe(names: Collection[str]) -> str:
    """Say which network the names in a state dict belong to."""
    for name, network in _NETWORKS.items():
        if name in names:
            return f"{network} (by its name {name!r})"
    if not names:
        return "no weights at all"
    shown = ", ".join(repr(name[:_SHOWN_LENGTH]) for name in sorted(names)[:_SHOWN])
    return f"an unknown network (its names are {shown}{', ...' if len(names) > _SHOWN else ''})"


def _read_head(path: Path) -> bytes:
    """Return the first bytes of a file."""
    try:
        if path.exists() and not path.is_file():  # a pipe would be waited for, and read only once
            raise CheckpointError(f"{path} is not a regular file; give a file of weights.")
        with path.open("rb") as file:
            return file.read(_HEAD)
    except FileNotFoundError:
        raise missing(path) from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error}.") from None


def _kind_of(path: Path, head: bytes) -> tuple[str, str] | None:
    """Return what a file is, and what to do, if it is known to hold no weights."""
    if not head:
        return "an empty file", _AGAIN
    if head.startswith(b"PK\x03\x04"):
        return _kind_of_zip(path)
    for pattern, kind, advice in _KINDS:
        if re.match(pattern, head, re.DOTALL):
            return kind, advice
    return None if _CONTROL.search(head) else ("a text file", _OTHERS)


def _kind_of_zip(path: Path) -> tuple[str, str] | None:
    """Return what a ZIP archive is, and what to do, unless torch.save wrote it."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError):
        return "damaged or incomplete", _AGAIN
    last = {name.rpartition("/")[2] for name in names}
    if "constants.pkl" in last:
        return "a TorchScript module", _EXPORTED
    if "archive_format" in last:
        return "a program of torch.export", _EXPORTED
    if "data.pkl" in last:
        return None
    if last and all(name.endswith(".npy") for name in last):
        return "an archive of NumPy arrays", _OTHERS
    return "a ZIP archive that torch.save did not write", _UNPACK
