"""Read weights that other projects saved, as pickles or safetensors, but run no code in them."""

from __future__ import annotations

import argparse
import contextlib
import io
import pickle
import re
import struct
from pathlib import Path
from typing import Any, NamedTuple

import torch

from csgisnet.checkpoints.format import read_safetensors
from csgisnet.checkpoints.recognise import is_safetensors, missing
from csgisnet.errors import CheckpointError

_WRAPPERS = (
    "state_dict",
    "model_state_dict",
    "model_state",
    "model",
    "net",
    "params_ema",
    "params",
)
"""Keys under which trainers nest a state dict, besides the one that a project is known for."""

_DEEPEST = 3
"""How deep a state dict may be nested."""

_PREFIXES = ("module.", "_orig_mod.", "model.", "net.")
"""What DataParallel, torch.compile and trainers put before every name."""

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


class Foreign(NamedTuple):
    """The content of another project's file."""

    tensors: dict[str, Any]
    """The state dict: tensors by name, which are not checked yet."""
    about: Any
    """All that the file holds: beside the state dict perhaps the settings of its training."""


def read_foreign(path: Path, key: str | None = None) -> Foreign:
    """Read a state dict that another project saved, running nothing in the file.

    Parameters
    ----------
    path : Path
        A safetensors file, or one of torch.save.
    key : str, optional
        Where the state dict may lie, as it may under "state_dict" or "model", say; without any of
        these the content itself is taken for one.

    Returns
    -------
    Foreign
        Names are without the prefixes of DataParallel ("module."), torch.compile ("_orig_mod.")
        and trainers ("model.", "net.").

    Raises
    ------
    CheckpointError
        The file is missing, damaged, of another kind, or holds more than tensors and plain values.
    """
    if is_safetensors(path):
        metadata, tensors = read_safetensors(path)
        return Foreign(_without_prefixes(tensors), metadata)
    content = about = load_plain(path, path)
    wrappers = (key, *_WRAPPERS)
    for _ in range(_DEEPEST):
        if isinstance(content, dict):
            nested = [content[name] for name in wrappers if isinstance(content.get(name), dict)]
            content = nested[0] if nested else content
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise CheckpointError(
            f"{path} holds an object of type {type(content).__name__}, expected a state dict, "
            "which has names and tensors."
        )
    return Foreign(_without_prefixes(content), about)


def _without_prefixes(tensors: dict[str, Any]) -> dict[str, Any]:
    """Take off the prefixes that wrappers put before every name, in whatever order."""
    for prefix in _PREFIXES * len(_PREFIXES):
        if tensors and all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return tensors


def load_plain(source: Path | io.BytesIO, path: Path) -> Any:
    """Return the tensors and plain values that torch.save wrote to `source`; errors name `path`."""
    try:
        with contextlib.ExitStack() as stack:
            # An open file: of a path, torch believes what its name ends in.
            file = stack.enter_context(source.open("rb")) if isinstance(source, Path) else source
            stack.enter_context(torch.serialization.safe_globals(_HARMLESS))
            return torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise missing(path) from None
    except (OSError, *_DAMAGE) as error:
        # torch's own advice, to run what is in the file, is not passed on.
        if (found := re.search(r"GLOBAL (\S+) ", str(error))) is not None:
            raise CheckpointError(
                f"{path} holds a Python object ({found[1]}) that only running its code could "
                "restore; such files are refused. If it is a whole network, whoever trusts it can "
                "load it in its own project and save its state dict: "
                "torch.save(network.state_dict(), 'weights.pth')."
            ) from None
        advises = isinstance(error, pickle.UnpicklingError) or "weights_only" in str(error)
        reason = "no plain weights" if advises else str(error).split("\n", maxsplit=1)[0]
        raise CheckpointError(
            f"{path} cannot be read as weights ({type(error).__name__}: {reason}). It is damaged, "
            "or torch.save did not write it; copy or download it again."
        ) from None


class _UnreadObject:
    """Stands in for other objects in public checkpoints, such as a best score or a path."""

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass


_NUMPY = [
    f"numpy.{module}.multiarray.{name}"
    for module in ("core", "_core")
    for name in ("scalar", "_reconstruct")
]
_PATHS = [
    f"{module}.{name}"
    for module in ("pathlib", "pathlib._local")
    for name in ("PosixPath", "WindowsPath")
]

_HARMLESS: list[Any] = [
    argparse.Namespace,
    *((_UnreadObject, name) for name in ("numpy.dtype", "numpy.ndarray", *_NUMPY, *_PATHS)),
]
