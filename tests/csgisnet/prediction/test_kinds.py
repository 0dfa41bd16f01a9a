"""Pictures of other kinds: what they are, and that ranges measured on them serve all kinds."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from networks import trained_network
from numpy.typing import NDArray

from csgisnet.networks.quantising import calibrate
from csgisnet.prediction.fused import Image
from csgisnet.prediction.kinds import (
    KINDS,
    calibration_pictures,
    contrasted,
    judge,
    noise,
    text,
)
from csgisnet.prediction.precision import missing_for_int8
from csgisnet.prediction.smoother import Smoother


def test_contrast_is_three_times_that_of_the_middle_and_clipped() -> None:
    image = np.full((300, 20, 3), 0.9, np.float32)
    image[22:278] = np.linspace(0.4, 0.6, 256, dtype=np.float32)[:, None, None]
    found = contrasted(image)
    assert found.shape == (256, 20, 3)
    assert (found[0, 0, 0], found[-1, 0, 0]) == pytest.approx((0.2, 0.8), abs=1e-4)
    assert contrasted(np.eye(8, dtype=np.float32)[..., None].repeat(3, 2)).max() == 1


@pytest.mark.parametrize("seed", range(6))
def test_noise_and_text_are_images_of_more_than_one_value(seed: int) -> None:
    for make in (noise, text):
        image = make(seed)
        assert image.shape == (256, 256, 3)
        assert image.dtype == np.float32
        assert 0 <= image.min() < image.max() <= 1
        np.testing.assert_array_equal(image, make(seed))
    rows: NDArray[np.float64] = np.asarray(np.corrcoef(noise(seed)[:, :, 0]))
    assert np.abs(rows[~np.eye(256, dtype=bool)]).max() < 0.4


def test_calibration_is_on_all_kinds_or_on_nothing() -> None:
    photograph: Image = np.random.default_rng(0).random((40, 50, 3), np.float32)
    shapes = [tuple(picture.shape) for picture in calibration_pictures([photograph])]
    assert shapes == [(1, 3, 40, 50)] * 2 + [(1, 3, 256, 256)] * 6
    assert list(calibration_pictures([])) == []


@pytest.mark.skipif(
    missing_for_int8(torch.device("cpu")) is not None, reason="needs int8 in hardware"
)
def test_ranges_from_all_kinds_serve_other_pictures_of_each() -> None:
    network = trained_network()
    faint = np.random.default_rng(0).random((60, 70, 3)) / 4 + 0.4
    photographs: list[Image] = [faint.astype(np.float32)]
    calibration = calibrate(network, calibration_pictures(photographs))
    exact = Smoother(network, device="cpu", precision="float32")
    fast = Smoother(network, device="cpu", precision="int8", calibration=calibration)
    found = judge(fast, exact, photographs)
    assert tuple(found) == KINDS
    assert all(0 < apart.mean < 1 for apart in found.values())
