"""Training states: everything that a run needs to resume exactly, checked by a digest."""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from csgisnet.checkpoints.foreign import load_plain
from csgisnet.checkpoints.recognise import missing
from csgisnet.errors import CheckpointError
from vocsmooth.files import read_file, write_atomically

_STATE_HEADER = re.compile(rb"csgisnet-state (\d) ([0-9a-f]{64})\n")

_STATE_VERSION = b"2"

_STATE_HEADER_BYTES = 82


class Latest(NamedTuple):
    """The newest undamaged training state of a run."""

    state: dict[str, Any]
    path: Path
    refused: tuple[str, ...]
    """Why newer states were not used, one message for each, for the caller to report."""


def save_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a training state (dicts, lists, tensors, plain values) atomically, with a digest.

    Raises
    ------
    TypeError
        The state holds an object that `load_state` would refuse.
    """
    _check_plain(state, "state")
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    data = buffer.getvalue()
    digest = hashlib.sha256(data).hexdigest()
    write_atomically(path, f"csgisnet-state {_STATE_VERSION.decode()} {digest}\n".encode() + data)


def load_state(path: Path) -> dict[str, Any]:
    """Read a file of `save_state`; its tensors are loaded onto the CPU.

    Raises
    ------
    CheckpointError
        The file is missing, damaged, or not a training state.
    """
    try:
        data = read_file(path)
    except FileNotFoundError:
        raise missing(path) from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error}.") from None
    header = _STATE_HEADER.fullmatch(data[:_STATE_HEADER_BYTES])
    if header is None:
        raise CheckpointError(
            f"{path} is not a training state. Give a state that `csgisnet train` wrote; a run "
            "cannot resume from weights alone."
        )
    version, digest = header.groups()
    if version != _STATE_VERSION:
        raise CheckpointError(
            f"{path} is a training state of another version of csgisnet, which this one cannot "
            "resume. Start a new run from the best weights beside it, with --init."
        )
    content = memoryview(data)[_STATE_HEADER_BYTES:]
    if hashlib.sha256(content).hexdigest().encode() != digest:
        raise CheckpointError(
            f"{path} is damaged: its content does not match its digest. Use an earlier state."
        )
    state: dict[str, Any] = load_plain(io.BytesIO(content), path)
    return state


def save_latest(folder: Path, step: int, state: Mapping[str, Any], keep: int = 2) -> Path:
    """Write the state of a run after `step` steps; keep it and the `keep` - 1 before it.

    All other states are removed, those of later steps too: the run was resumed from before them.
    """
    path = folder / f"state-{step:09d}.pt"
    save_state(path, state)
    states = _states(folder)
    newest = states.index(path)
    for other in states[:newest] + states[newest + keep :]:
        other.unlink()
    return path


def load_latest(folder: Path) -> Latest | None:
    """Read the newest undamaged state of a run; None if the run has no state yet.

    Raises
    ------
    CheckpointError
        The run has states, and all of them are damaged.
    """
    refused: list[str] = []
    for path in _states(folder):
        try:
            return Latest(load_state(path), path, tuple(refused))
        except CheckpointError as error:  # noqa: PERF203
            refused.append(str(error))
    if refused:
        raise CheckpointError(
            f"None of the states in {folder} can be resumed from. {' '.join(refused)}"
        )
    return None


def _states(folder: Path) -> list[Path]:
    """Return the states of a run, the newest first."""
    return sorted(folder.glob("state-*.pt"), reverse=True)


def _check_plain(value: object, where: str) -> None:
    """Raise TypeError if `value` holds anything that a weights-only load would refuse."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            _check_plain(item, f"{where}[{key!r}]")
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            _check_plain(item, f"{where}[{index}]")
    elif type(value) not in (bool, int, float, str, bytes, type(None)) and not isinstance(
        value, Tensor
    ):
        raise TypeError(f"{where} must be plain values or tensors, got {type(value).__name__}.")
