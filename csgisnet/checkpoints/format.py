"""Files of weights: our own (safetensors, with a header and a digest) and other projects' pickles.

No code in a file is ever run. No tensor reaches a module before its shape and type have been
checked against it. A flipped bit is an error, though safetensors and torch.load both accept one
silently.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import pickle
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import safetensors.torch
import torch
from torch import Tensor, nn

from csgisnet.errors import CheckpointError
from vocsmooth import settings
from vocsmooth.errors import InputError
from vocsmooth.files import write_atomically

T = TypeVar("T")

FORMAT = "csgisnet-weights"

VERSION = 1

_WRAPPERS = ("state_dict", "model")
"""Keys under which trainers nest a state dict, besides the one that a project is known for."""

_PREFIXES = ("module.", "_orig_mod.")
"""What DataParallel and torch.compile put before every name."""

_HALF = (torch.float16, torch.bfloat16)

_HEADER_KEYS = {"version", "kind", "config", "metadata"}

# What damaged or foreign bytes make torch.load raise, besides its own UnpicklingError.
_DAMAGE = (
    pickle.UnpicklingError,
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    EOFError,
    OverflowError,
    AssertionError,
    struct.error,
)


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
    write_atomically(path, safetensors.torch.save(tensors, {"csgisnet": text}))


def load_weights(path: Path, kind: str) -> Weights:
    """Read a file of `save_weights` and check its digest.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, not one of ours, or holds another kind of weights.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise missing(path) from None
    except (safetensors.SafetensorError, OSError) as error:
        raise CheckpointError(
            f"{path} is not a complete safetensors file ({error}). It is truncated, or has another "
            "format; copy it again, or use an earlier checkpoint."
        ) from None
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


def is_safetensors(path: Path) -> bool:
    """Tell a safetensors file from a pickle by its first bytes, whatever its name."""
    if path.exists() and not path.is_file():  # a pipe would be waited for, and read only once
        raise CheckpointError(f"{path} is not a regular file; give a file of weights.")
    try:
        with path.open("rb") as file:
            return file.read(9)[8:] == b"{"
    except FileNotFoundError:
        raise missing(path) from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error}.") from None


def read_pickled(path: Path, key: str | None = None) -> dict[str, Any]:
    """Read a state dict that another project saved with torch.save, running nothing in it.

    Parameters
    ----------
    path : Path
        The file.
    key : str, optional
        Where the state dict may lie, as it may under "state_dict" or "model"; without any of these
        the file itself is taken for one.

    Returns
    -------
    dict
        Name to tensor, without the prefixes of DataParallel ("module.") and torch.compile
        ("_orig_mod.").

    Raises
    ------
    CheckpointError
        The file is missing, damaged, or holds more than tensors and plain values.
    """
    content = load_plain(path, path)
    for wrapper in (key, *_WRAPPERS):
        if isinstance(content, dict) and isinstance(content.get(wrapper), dict):
            content = content[wrapper]
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, expected a state dict.")
    return _without_prefixes(content)


def _without_prefixes(tensors: dict[str, Any]) -> dict[str, Any]:
    """Take off the prefixes that wrappers put before every name."""
    for prefix in _PREFIXES * 2:  # in either order
        if tensors and all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return tensors


def load_plain(source: Path | io.BytesIO, path: Path) -> Any:
    """Return the tensors and plain values that torch.save wrote to `source`; errors name `path`."""
    try:
        with torch.serialization.safe_globals(_HARMLESS):
            return torch.load(source, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise missing(path) from None
    except (OSError, *_DAMAGE) as error:
        reason = str(error).split("\n", maxsplit=1)[0]
        if isinstance(
            error, pickle.UnpicklingError
        ):  # torch's advice is to run what is in the file
            reason = "not plain weights"
        raise CheckpointError(
            f"{path} cannot be read as weights ({type(error).__name__}: {reason}). It is damaged, "
            "or holds objects that only running its code could restore; such files are refused."
        ) from None


def load_into(module: nn.Module, tensors: Mapping[str, Any], path: Path) -> None:
    """Load weights into `module`, which may be on the meta device, after checking every one.

    Half-precision weights, which shared networks may have, are widened.

    Raises
    ------
    CheckpointError
        A name is missing or unknown, or a tensor has another shape, type or layout, or values that
        are not finite.
    """
    expected = module.state_dict()
    what = type(module).__name__
    for label, names in (
        ("lacks", expected.keys() - tensors.keys()),
        ("has an unexpected", tensors.keys() - expected.keys()),
    ):
        if names:
            raise CheckpointError(
                f"{path} does not fit a {what}: it {label} {min(names)!r} (and {len(names) - 1} "
                "more). Give a checkpoint of this network, with its own settings."
            )
    for name, wanted in expected.items():
        _check_tensor(tensors[name], wanted, f"{path}: {name}")
    widened = {name: tensors[name].to(wanted.dtype) for name, wanted in expected.items()}
    module.load_state_dict(widened, assign=True)


def missing(path: Path) -> CheckpointError:
    """Return the error for a file that does not exist."""
    return CheckpointError(f"There is no checkpoint {path}.")


def _check_tensor(value: Any, wanted: Tensor, where: str) -> None:
    """Raise CheckpointError unless `value` is dense, finite, and of the wanted shape and type."""
    if not isinstance(value, Tensor):
        raise CheckpointError(f"{where} must be a tensor, got {type(value).__name__}.")
    if value.layout != torch.strided or value.is_quantized:
        raise CheckpointError(f"{where} must be a dense tensor, got layout {value.layout}.")
    fits = value.dtype == wanted.dtype or (wanted.dtype == torch.float32 and value.dtype in _HALF)
    if not fits or value.shape != wanted.shape:
        raise CheckpointError(
            f"{where} must be {wanted.dtype} of shape {tuple(wanted.shape)}, "
            f"got {value.dtype} of shape {tuple(value.shape)}."
        )
    if not value.isfinite().all():
        raise CheckpointError(f"{where} has values that are not finite.")


def _parse_header(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    """Return our JSON header, checked for format and version."""
    try:
        header = json.loads(metadata["csgisnet"])
        ours = header["format"] == FORMAT and header.keys() >= _HEADER_KEYS
    except (KeyError, TypeError, ValueError):
        ours = False
    if not ours:
        raise CheckpointError(
            f"{path} is a safetensors file without csgisnet's header, so another project wrote "
            "it. Give a file that csgisnet wrote, or a .pth of the authors."
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


class _Ignored:
    """Stands in for NumPy scalars (such as a best score) that public checkpoints carry along."""

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


_HARMLESS: list[Any] = [
    (_Ignored, f"numpy.{module}.multiarray.scalar") for module in ("core", "_core")
] + [(_Ignored, "numpy.dtype")]
