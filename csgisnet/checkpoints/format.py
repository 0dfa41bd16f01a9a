"""The format of our own weights: safetensors with a header, and a digest over everything.

A flipped bit is an error, though safetensors alone accepts one silently.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import safetensors.torch
import torch
from torch import Tensor

from csgisnet.checkpoints.recognise import is_safetensors, missing
from csgisnet.errors import CheckpointError
from vocsmooth import settings
from vocsmooth.errors import InputError
from vocsmooth.files import is_utf8, write_atomically

T = TypeVar("T")

FORMAT = "csgisnet-weights"

VERSION = 1

_HEADER = "csgisnet"
"""Key of our header among a file's metadata."""

_HEADER_KEYS = {"version", "kind", "config", "metadata"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Weights:
    """The content of one of our weight files."""

    kind: str
    """Which module the weights belong to: "network" or "segmenter"."""
    config: dict[str, Any]
    """The settings from which the module can be rebuilt."""
    metadata: dict[str, Any]
    """Whatever else the writer recorded: the resolved configuration, scores, the step."""
    tensors: dict[str, Tensor]
    """The module's state dict."""

    def config_as(self, cls: type[T], path: Path) -> T:
        """Return `config` as the dataclass `cls`; if it does not fit, the error names `path`."""
        try:
            return settings.from_dict(cls, self.config, f"{path}: config")
        except InputError as error:
            raise CheckpointError(str(error)) from None


def save_weights(path: Path, weights: Weights) -> None:
    """Write weights atomically as safetensors, with a JSON header and a digest over everything."""
    tensors = {name: t.detach().cpu().contiguous() for name, t in weights.tensors.items()}
    header = {
        "format": FORMAT,
        "version": VERSION,
        "kind": weights.kind,
        "config": weights.config,
        "metadata": weights.metadata,
    }
    header["sha256"] = _digest(header, tensors)
    # One key only: safetensors writes several in random order, and equal weights must make equal
    # files.
    text = json.dumps(header, sort_keys=True, allow_nan=False)
    write_atomically(path, safetensors.torch.save(tensors, {_HEADER: text}))


def load_weights(path: Path, kind: str) -> Weights:
    """Read a file of `save_weights` and check its digest.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, not one of ours, or holds another kind of weights.
    """
    metadata, tensors = read_safetensors(path)
    header = _parse_header(path, metadata)
    stated = header.pop("sha256", None)
    if stated != _digest(header, tensors):
        raise CheckpointError(
            f"{path} is damaged: its content does not match the digest inside. Copy it again, or "
            "use an earlier checkpoint."
        )
    if header["kind"] != kind:
        raise CheckpointError(
            f"{path} holds the weights of a {header['kind']}, expected a {kind}. Give a checkpoint "
            f"of a {kind}."
        )
    return Weights(kind=kind, config=header["config"], metadata=header["metadata"], tensors=tensors)


def is_ours(path: Path) -> bool:
    """Return whether `save_weights` wrote a file, even if it is damaged now.

    Raises
    ------
    CheckpointError
        The file is missing, or is known to hold no weights.
    """
    if not is_safetensors(path):
        return False
    metadata = read_safetensors(path, with_tensors=False)[0]
    # A flipped bit in our key must not turn one of ours into a foreign file, which has no digest.
    return _HEADER in metadata or any(FORMAT in text for text in metadata.values())


def read_safetensors(
    path: Path, *, with_tensors: bool = True
) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Return the metadata and the tensors of any safetensors file.

    Raises
    ------
    CheckpointError
        The file is missing or incomplete.
    """
    try:
        with (
            _path_in_utf8(path) as name,
            safetensors.safe_open(name, framework="pt") as file,
        ):
            keys = file.keys() if with_tensors else ()
            return file.metadata() or {}, {key: file.get_tensor(key) for key in keys}
    except FileNotFoundError:
        raise missing(path) from None
    except (safetensors.SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is not a complete safetensors file ({error}). It is truncated, or has another "
            "format; copy it again, or use an earlier checkpoint."
        ) from None


@contextlib.contextmanager
def _path_in_utf8(path: Path) -> Iterator[str | Path]:
    """Yield a path under which safetensors, which takes UTF-8 only, can open a file."""
    if is_utf8(path):
        yield path
        return
    with path.open("rb") as file:
        yield f"/dev/fd/{file.fileno()}"  # only Linux has names that are not UTF-8


def _parse_header(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return our JSON header, checked for format and version."""
    try:
        header = json.loads(metadata[_HEADER])
        ours = header["format"] == FORMAT and header.keys() >= _HEADER_KEYS
    except (KeyError, TypeError, ValueError, RecursionError):
        ours = False
    if not ours:
        raise CheckpointError(
            f"{path} is a safetensors file without csgisnet's header, so another project wrote "
            "it, or it is damaged. Give a file that csgisnet wrote."
        )
    if header["version"] != VERSION:
        raise CheckpointError(
            f"{path} has format version {header['version']}, expected {VERSION}. Use the version "
            "of csgisnet that wrote it."
        )
    return dict(header)


def _digest(header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of the header and of every tensor's name, type, shape and bytes."""
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"\n{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
