"""The precision that "auto" means: a fast one only where the network's results stay the same."""

from __future__ import annotations

import dataclasses
import platform
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import trained_network

from csgisnet.checkpoints.calibrations import load_calibration
from csgisnet.checkpoints.networks import load_network
from csgisnet.checkpoints.pretrained import find_weights
from csgisnet.device import int8_instructions
from csgisnet.errors import ConfigError
from csgisnet.networks.quantising import calibrate
from csgisnet.networks.smoothing import COMPACT, SmoothingNetwork
from csgisnet.prediction import compiled, precision
from csgisnet.prediction.int8 import has_int8_convolution
from csgisnet.prediction.precision import LARGEST_MEAN, choose, difference, prepare
from csgisnet.prediction.smoother import Smoother
from csgisnet.prediction.winograd import has_winograd, pays

CPU = torch.device("cpu")

needs_int8 = pytest.mark.skipif(
    not (int8_instructions() and has_int8_convolution()),
    reason="needs a processor that multiplies int8, and torch 2.12 to tell",
)


@pytest.fixture
def bundled() -> SmoothingNetwork:
    return load_network(find_weights())


def on_a_processor_with(monkeypatch: pytest.MonkeyPatch, *instructions: str) -> None:
    """Let torch find these; what is tested is the choice, which computes anywhere."""
    found = dict.fromkeys(instructions, True)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found, raising=False)
    monkeypatch.setattr(compiled, "pays", lambda: False)


def photograph() -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    y, x = np.mgrid[:150, :210] / np.float32(210)
    grain = np.random.default_rng(1).normal(0, 0.05, (150, 210, 3))
    shape = np.stack([x, y, (x > 0.4) * 0.5], axis=2)
    clipped: np.ndarray[tuple[int, ...], np.dtype[np.float32]]
    clipped = (shape + grain).clip(0, 1).astype(np.float32)
    return clipped


def test_difference_is_in_grey_levels() -> None:
    one = np.zeros((2, 5, 1), np.float32)
    other = one.copy()
    other[0, 0] = 3 / 255
    found = difference(one, other)
    assert found.largest == pytest.approx(3)
    assert found.mean == pytest.approx(0.3)
    assert found.within_two == pytest.approx(0.9)


def test_the_bundled_network_is_fast_where_it_can_be_and_nearly_the_same(
    bundled: SmoothingNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_a_processor_with(monkeypatch, "avx512_bf16")
    fast, exact = (
        Smoother(bundled, device="cpu"),
        Smoother(bundled, device="cpu", precision="float32"),
    )
    assert (fast.precision, exact.precision) == ("bfloat16", "float32")
    assert "AVX-512 BF16" in fast.reason
    assert exact.reason == "as asked for"
    assert fast.pixels > exact.pixels
    image = photograph()
    apart = difference(fast.smooth(image), exact.smooth(image))
    assert 0 < apart.mean < LARGEST_MEAN
    assert apart.within_two >= 0.999
    fast.pixels = 1  # the smallest tiles
    tiled = fast.smooth(image)
    assert difference(tiled, exact.smooth(image)).mean < LARGEST_MEAN


@needs_int8
def test_a_calibrated_network_runs_in_int8_if_asked(
    bundled: SmoothingNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    calibration = load_calibration(find_weights(), bundled)
    assert calibration is not None
    on_a_processor_with(monkeypatch, "avx512_vnni", "avx512_bf16")
    fast = Smoother(bundled, device="cpu", precision="int8", calibration=calibration)
    exact = Smoother(bundled, device="cpu", precision="float32")
    assert fast.precision == "int8"
    image = photograph()
    apart = difference(fast.smooth(image), exact.smooth(image))
    assert 0 < apart.mean < 1
    assert apart.within_two >= 0.9
    # never by itself: other pictures than those of the calibration come out less exact
    assert Smoother(bundled, device="cpu", calibration=calibration).precision == "bfloat16"


@needs_int8
@pytest.mark.parametrize("damage", ["high", "shift", "weight"])
def test_ranges_and_weights_of_no_use_are_refused(bundled: SmoothingNetwork, damage: str) -> None:
    """Whole numbers are never NaN, and give a picture whatever they mean."""
    calibration = dict(load_calibration(find_weights(), bundled) or {})
    measured = calibration["interpreter2.4"]
    if damage == "high":
        calibration = {k: r._replace(high=r.high * 1e4) for k, r in calibration.items()}
    elif damage == "shift":
        calibration["interpreter2.4"] = measured._replace(shift=measured.shift + 1e3)
    else:
        with torch.no_grad():
            bundled.get_parameter("interpreter2.0.weight").fill_(torch.nan)
    with pytest.raises(ConfigError, match=r"needs other ranges.*grey levels off.*--calibrate"):
        prepare(bundled, "int8", CPU, calibration)


@needs_int8
def test_ranges_of_another_network_are_refused(bundled: SmoothingNetwork) -> None:
    other = calibrate(trained_network(), [torch.rand(1, 3, 16, 16)])
    with pytest.raises(ConfigError, match="needs a calibration of this network"):
        prepare(bundled, "int8", CPU, other)


def test_what_int8_lacks_is_said(
    bundled: SmoothingNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    calibration = calibrate(bundled, [torch.rand(1, 3, 16, 16)])
    on_a_processor_with(monkeypatch, "avx2")
    with pytest.raises(ConfigError, match=r"needs a processor with AVX-512 VNNI.*Take auto"):
        prepare(bundled, "int8", CPU, calibration)
    with pytest.raises(ConfigError, match="needs a processor, and runs on cuda"):
        prepare(bundled, "int8", torch.device("cuda"), calibration)
    on_a_processor_with(monkeypatch, "avx_vnni")
    with pytest.raises(ConfigError, match=r"needs a calibration.*csgisnet export --calibrate"):
        prepare(bundled, "int8", CPU)
    monkeypatch.setattr(precision, "has_int8_convolution", lambda: False)
    with pytest.raises(ConfigError, match="needs another build of torch"):
        prepare(bundled, "int8", CPU, calibration)


@pytest.mark.parametrize(
    ("instructions", "width", "expected"),
    [
        (["avx512_bf16"], 48, "float32"),
        (["avx512_bf16"], 44, "bfloat16"),  # the kernels compute eight channels side by side
        (["avx512_bf16", "amx_bf16"], 48, "bfloat16"),
    ],
)
def test_auto_is_float32_where_the_networks_convolutions_are_our_own(
    instructions: list[str], width: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_a_processor_with(monkeypatch, *instructions)
    monkeypatch.setattr(compiled, "pays", lambda: True)
    config = dataclasses.replace(COMPACT, width=width)
    choice = choose("auto", config, CPU)
    assert choice.precision == expected
    assert ("Winograd" in choice.reason) == (expected == "float32")
    assert choose("bfloat16", config, CPU) == ("bfloat16", "as asked for")


@pytest.mark.skipif(
    platform.machine() != "x86_64" or not Path("/proc/cpuinfo").exists() or not has_winograd(),
    reason="needs the kernels, and a Linux that tells its x86 processor's family",
)
def test_winograd_pays_without_avx512_and_on_amds_family_25() -> None:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    found = {key.strip(): value.strip() for key, _, value in (n.partition(":") for n in lines)}
    family_25 = (found["vendor_id"], found["cpu family"]) == ("AuthenticAMD", "25")
    assert pays() == (family_25 or "avx512f" not in found["flags"].split())


def test_without_the_instructions_auto_is_float32_to_the_bit(
    bundled: SmoothingNetwork, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_a_processor_with(monkeypatch, "avx2")
    chosen, exact = (
        Smoother(bundled, device="cpu"),
        Smoother(bundled, device="cpu", precision="float32"),
    )
    assert chosen.precision == "float32"
    assert "neither" in chosen.reason
    np.testing.assert_array_equal(chosen.smooth(photograph()), exact.smooth(photograph()))


@pytest.mark.parametrize("damage", ["factor", "nan"])
def test_a_network_that_bfloat16_would_change_is_run_in_float32(
    bundled: SmoothingNetwork, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_a_processor_with(monkeypatch, "avx512_bf16")
    weight = bundled.get_parameter("refine.5.weight")  # of its last layer
    with torch.no_grad():
        weight.mul_(30) if damage == "factor" else weight.fill_(torch.nan)
    _, choice = prepare(bundled, "auto", CPU)
    assert choice.precision == "float32"
    assert "bfloat16 would change this network's results by" in choice.reason
    assert prepare(bundled, "bfloat16", CPU)[1] == ("bfloat16", "as asked for")
