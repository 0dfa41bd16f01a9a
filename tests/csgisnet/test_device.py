"""Devices are checked before anything runs."""

from __future__ import annotations

import pytest
import torch

from csgisnet.device import autocast, pick_device
from csgisnet.errors import ConfigError


def test_auto_finds_a_device_and_a_name_is_taken_as_it_is() -> None:
    assert pick_device().type in ("cpu", "cuda", "mps")
    assert pick_device("cpu") == torch.device("cpu")


def test_an_unknown_device_is_an_error_that_names_the_known() -> None:
    with pytest.raises(ConfigError, match=r"'gpu'.*auto, cpu, cuda or mps"):
        pick_device("gpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_device_that_is_not_there_is_an_error_that_says_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"'cuda' is not available.*auto or cpu"):
        pick_device("cuda")


def test_precision_decides_the_type_of_products() -> None:
    cpu, weight = torch.device("cpu"), torch.eye(2)
    for precision, expected in (("auto", torch.float32), ("bfloat16", torch.bfloat16)):
        with autocast(cpu, precision):  # type: ignore[arg-type]
            assert (weight @ weight).dtype == expected
