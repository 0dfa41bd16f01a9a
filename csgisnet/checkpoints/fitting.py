"""Load a state dict into a module, after checking every tensor against it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from csgisnet.errors import CheckpointError

_CONVERTED = (torch.float16, torch.bfloat16, torch.float64)
"""Types of weights that are converted to float32, in which every network here computes."""

_COUNTER = "num_batches_tracked"
"""A counter that torch before 0.4.1 did not save, and that nothing here reads."""


def load_into(module: nn.Module, tensors: Mapping[str, Any], path: Path) -> None:
    """Load weights into `module`, which may be on the meta device, after checking every one.

    Weights in half or double precision, which shared networks may have, become float32.

    Raises
    ------
    CheckpointError
        A name is missing or unknown, or a tensor has another shape, type or layout, or values that
        are not finite.
    """
    expected = module.state_dict()
    counters = {name: torch.tensor(0) for name in expected if name.endswith(f".{_COUNTER}")}
    tensors = {**counters, **tensors}
    for label, names in (
        ("lacks", expected.keys() - tensors.keys()),
        ("has an unexpected", tensors.keys() - expected.keys()),
    ):
        if names:
            more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
            raise CheckpointError(
                f"{path} does not fit a {type(module).__name__}: it {label} {min(names)!r}{more}. "
                "Give a checkpoint of this network, with its own settings."
            )
    fitting = {
        name: _fitting(tensors[name], wanted, f"{path}: {name}")
        for name, wanted in expected.items()
    }
    masks = {name for name, buffer in module.named_buffers() if _is_mask(buffer)}
    for name, value in fitting.items():
        if name not in masks and not value.isfinite().all():
            raise CheckpointError(f"{path}: {name} has values that are not finite.")
    module.load_state_dict(fitting, assign=True)


def _fitting(value: Any, wanted: Tensor, where: str) -> Tensor:
    """Return `value` in the wanted type; raise CheckpointError unless it is a dense tensor."""
    if not isinstance(value, Tensor):
        raise CheckpointError(f"{where} must be a tensor, got {type(value).__name__}.")
    if value.layout != torch.strided or value.is_quantized:
        raise CheckpointError(f"{where} must be a dense tensor, got layout {value.layout}.")
    if value.is_meta:
        raise CheckpointError(f"{where} has a shape and no values (device meta).")
    converted = wanted.dtype == torch.float32 and value.dtype in _CONVERTED
    if value.shape != wanted.shape or not (converted or value.dtype == wanted.dtype):
        raise CheckpointError(
            f"{where} must be {wanted.dtype} of shape {tuple(wanted.shape)}, "
            f"got {value.dtype} of shape {tuple(value.shape)}."
        )
    return value.to(wanted.dtype)


def _is_mask(buffer: Tensor) -> bool:
    """Tell whether a buffer of the module itself is infinite, as masks of attention are."""
    return not buffer.is_meta and bool(buffer.isinf().any())
