"""A smoother takes what people hold, gives back the same kind, and refuses the rest clearly."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from csgisnet.networks.smoothing import NetworkConfig, SmoothingNetwork
from csgisnet.prediction.smoother import Smoother

RGB = np.random.default_rng(4).integers(0, 256, (2, 21, 30, 3), np.uint8)
GREY = RGB[0, :, :, 1]


@pytest.fixture(scope="module")
def smoother() -> Smoother:
    config = NetworkConfig(width=8, blocks=1, coarse_blocks=1, refine_blocks=1, shuffle=2)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return Smoother(SmoothingNetwork(config), device="cpu", precision="float32")


def floats(pixels: NDArray[Any]) -> NDArray[np.float32]:
    return pixels.astype(np.float32) / np.float32(255)


@pytest.mark.parametrize(
    ("dtype", "exact"),
    [(torch.float32, 0), (torch.float64, 0), (torch.float16, 1e-3), (torch.bfloat16, 5e-3)],
)
def test_tensors_have_their_channels_first(
    smoother: Smoother, dtype: torch.dtype, exact: float
) -> None:
    image = torch.from_numpy(floats(RGB)).movedim(-1, 1).to(dtype)
    result = smoother(image, 0.5)
    assert (result.shape, result.dtype, result.device) == (image.shape, dtype, image.device)
    for one, whole in zip(image, result, strict=True):
        expected = smoother.smooth(one.float().movedim(0, -1).numpy(), 0.5)
        np.testing.assert_allclose(whole.float().movedim(0, -1), expected, rtol=0, atol=exact)
        assert torch.equal(smoother(one, 0.5), whole)
        grey = smoother(one[:1])
        assert grey.shape == (1, 21, 30)
        plane = smoother.smooth(one[0].float().numpy())
        np.testing.assert_allclose(grey[0].float(), plane, rtol=0, atol=exact)


def test_tensors_of_integers_and_in_any_layout(smoother: Smoother) -> None:
    image = torch.from_numpy(RGB).movedim(-1, 1)  # not contiguous
    expected = np.stack([smoother.smooth_pixels(one)[0] for one in RGB])
    assert torch.equal(smoother(image), torch.from_numpy(expected).movedim(-1, 1))
    assert torch.equal(smoother(image.contiguous()), smoother(image))


def test_a_tensor_that_wants_a_gradient_gets_none(smoother: Smoother) -> None:
    image = torch.rand(3, 8, 8, requires_grad=True)
    assert not smoother(image).requires_grad


@pytest.mark.parametrize("dtype", ["f4", ">f4", "f8", ">f8"])
def test_arrays_of_floats_keep_their_type(smoother: Smoother, dtype: str) -> None:
    for pixels in (GREY, RGB[0], RGB):
        image = floats(pixels).astype(dtype)
        result = smoother(image)
        assert (result.shape, result.dtype) == (image.shape, image.dtype)
        ones = result if image.ndim == 4 else [result]
        for one, found in zip(image if image.ndim == 4 else [image], ones, strict=True):
            np.testing.assert_array_equal(found, smoother.smooth(one.astype(np.float32)))


@pytest.mark.parametrize("dtype", ["u1", "u2", ">u2"])
def test_arrays_of_integers_keep_their_type(smoother: Smoother, dtype: str) -> None:
    image = RGB.astype(dtype)
    result = smoother(image, 2.0)
    assert (result.shape, result.dtype) == (image.shape, image.dtype)
    native = image.astype(image.dtype.newbyteorder("="))
    for one, found in zip(native, result, strict=True):
        np.testing.assert_array_equal(found, smoother.smooth_pixels(one, 2.0)[0])


@pytest.mark.parametrize("mode", ["L", "RGB", "I;16"])
def test_pictures_come_back_as_pictures(smoother: Smoother, mode: str) -> None:
    pixels = {"L": GREY, "RGB": RGB[0], "I;16": GREY.astype(np.uint16) * 257}[mode]
    picture = Image.fromarray(pixels)
    picture.info["icc_profile"] = b"profile"
    result = smoother(picture)
    assert (result.mode, result.size) == (mode, picture.size)
    assert result.info == picture.info
    np.testing.assert_array_equal(np.asarray(result), smoother.smooth_pixels(pixels)[0])


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_pictures_keep_their_alpha(smoother: Smoother, mode: str) -> None:
    opaque = Image.fromarray(GREY if mode == "LA" else RGB[0])
    alpha = Image.fromarray(RGB[1, :, :, 0])
    picture = opaque.copy()
    picture.putalpha(alpha)
    result = smoother(picture)
    assert result.mode == picture.mode == mode
    np.testing.assert_array_equal(np.asarray(result)[..., -1], np.asarray(alpha))
    colours = result.convert(opaque.mode)
    np.testing.assert_array_equal(np.asarray(colours), np.asarray(smoother(opaque)))


def test_a_batch_may_be_computed_at_once(smoother: Smoother) -> None:
    config = NetworkConfig(width=8, blocks=1, coarse_blocks=1, refine_blocks=1)
    network = SmoothingNetwork(config)
    one, four = (Smoother(network, device="cpu", precision="float32", batch=n) for n in (1, 4))
    images = np.concatenate([floats(RGB)] * 4)
    np.testing.assert_allclose(four(images), one(images), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("image", "error", "words"),
    [
        ([[0.5]], TypeError, "a torch tensor or a picture of Pillow, got list"),
        ("photo.jpg", TypeError, r"got str. Open files with PIL.Image.open"),
        (np.zeros((4, 4), np.int64), TypeError, "floats in .*, uint8 or uint16, got int64"),
        (np.zeros((4, 4), bool), TypeError, "got bool"),
        (np.ma.zeros((4, 4)), TypeError, "plain NumPy array, got a masked one"),
        (np.zeros((3, 4, 4)), ValueError, r"\(H, W\) or \(H, W, 3\), got shape \(3, 4, 4\)"),
        (np.zeros((0, 4, 4, 3)), ValueError, r"got shape \(0, 4, 4, 3\)"),
        (np.zeros((1, 4, 4, 2)), ValueError, r"got shape \(4, 4, 2\)"),
        (np.full((4, 4), 255.0), ValueError, r"must lie in \[0, 1\], got 255"),
        (np.full((4, 4), 1e300), ValueError, "infinite"),
        (torch.zeros(4, 4, 3), ValueError, r"got \(4, 4, 3\). Bring .* x.movedim"),
        (torch.zeros(4, 4), ValueError, r"got \(4, 4\)"),
        (torch.zeros(0, 3, 4, 4), ValueError, "at least one pixel"),
        (torch.zeros(3, 4, 4, dtype=torch.int32), TypeError, "got torch.int32"),
        (torch.zeros(3, 4, 4, device="meta"), TypeError, "dense tensor with values"),
        (torch.zeros(3, 4, 4).to_sparse(), TypeError, "dense tensor"),
        (torch.full((2, 3, 4, 4), float("nan")), ValueError, "NaN"),
        (Image.new("P", (4, 4)), TypeError, r"got P: use image.convert\('RGB'\)"),
        (Image.new("CMYK", (4, 4)), TypeError, "L, LA, RGB, RGBA or I;16, got CMYK"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else value[:20],
)
def test_everything_else_is_refused(
    smoother: Smoother, image: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        smoother(image)
