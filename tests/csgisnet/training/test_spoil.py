"""Spoilt inputs: JPEG as a real encoder makes it, noise of the strength asked for."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from csgisnet.training.augment import sample_keys
from csgisnet.training.spoil import add_noise, compress, draw_noise


def picture(height: int = 96, width: int = 112) -> Tensor:
    """Return colourful waves under grain, (1, 3, H, W) in whole levels."""
    rng = np.random.default_rng(4)
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(x / a + c) + np.cos(y / b) for a, b, c in ((9, 14, 0), (17, 6, 1), (5, 23, 2))]
    image = 0.5 + 0.2 * np.stack(waves) + 0.03 * rng.standard_normal((3, height, width))
    return torch.from_numpy((image.clip(0, 1) * 255).round().astype(np.float32) / 255)[None]


def stored(image: Tensor, quality: int) -> Tensor:
    """Return what a real encoder and decoder leave of an image."""
    pixels = (image[0].permute(1, 2, 0) * 255).round().byte().numpy()
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=2)
    read = np.asarray(Image.open(file), np.float32) / 255
    return torch.from_numpy(read).permute(2, 0, 1)[None]


@pytest.mark.parametrize("quality", [10, 40, 50, 75, 90, 96])
def test_compression_is_that_of_a_real_encoder(quality: int) -> None:
    image = picture()
    real, ours = stored(image, quality), compress(image, torch.tensor([float(quality)]))
    loss = (real - image).abs().mean()
    assert 255 * (ours - real).abs().mean() < 1.3
    assert 0.98 < (ours - image).abs().mean() / loss < 1.02


def test_sides_need_not_be_multiples_of_a_block() -> None:
    image = picture(45, 61)
    ours = compress(image, torch.tensor([60.0]))
    assert ours.shape == image.shape
    assert 255 * (ours - stored(image, 60)).abs().mean() < 1.3


def test_each_image_has_its_quality_and_0_leaves_it_alone() -> None:
    images = picture().repeat(3, 1, 1, 1)
    spoilt = compress(images, torch.tensor([0.0, 5.0, 90.0]))
    assert torch.equal(spoilt[0], images[0])
    assert torch.equal(spoilt[1:2], compress(images[:1], torch.tensor([5.0])))
    assert (spoilt[1] - images[1]).abs().mean() > 2 * (spoilt[2] - images[2]).abs().mean()


def test_noise_has_the_deviation_of_its_image() -> None:
    keys = sample_keys(1, np.array([0, 0]), np.array([5, 6]))
    noise = draw_noise(keys, 64)
    grey = torch.full((2, 3, 64, 64), 0.5)
    spoilt = add_noise(grey, noise, torch.tensor([0.0, 0.05]))
    assert torch.equal(spoilt[0], grey[0])
    assert float((spoilt[1] - 0.5).std()) == pytest.approx(0.05, rel=0.03)
    assert torch.equal(draw_noise(keys[1:], 64)[0], noise[1])
    assert not torch.equal(noise[0], noise[1])
