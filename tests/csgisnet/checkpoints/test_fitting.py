"""Tensors reach a module only if each of them fits it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from csgisnet.checkpoints.fitting import load_into
from csgisnet.errors import CheckpointError


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"weight": None}, r"it lacks 'weight'\. Give"),
        ({"gain": torch.ones(1)}, "it has an unexpected 'gain'"),
        ({"bias": [0.0, 0.0]}, "bias must be a tensor, got list"),
        ({"bias": torch.zeros(3)}, r"bias must be torch.float32 of shape \(2,\), got .* \(3,\)"),
        ({"bias": torch.zeros(2).int()}, "got torch.int32"),
        ({"bias": torch.tensor([0, 1e300]).double()}, "not finite"),
        ({"bias": torch.tensor([0, torch.nan])}, "not finite"),
        ({"bias": torch.zeros(2, device="meta")}, "has a shape and no values"),
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


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(dtype: torch.dtype) -> None:
    with torch.device("meta"):
        module = nn.Linear(3, 2)
    tensors = {"weight": torch.full((2, 3), 0.5, dtype=dtype), "bias": torch.ones(2, dtype=dtype)}
    load_into(module, tensors, Path("file"))
    assert module.weight.dtype == module.bias.dtype == torch.float32
    assert torch.equal(module.weight, torch.full((2, 3), 0.5))


def test_counters_that_old_files_lack_are_zero() -> None:
    state = nn.Sequential(nn.BatchNorm2d(3)).state_dict()
    del state["0.num_batches_tracked"]
    module = nn.Sequential(nn.BatchNorm2d(3))
    load_into(module, state, Path("file"))
    assert module.state_dict()["0.num_batches_tracked"] == 0
