"""Every public function of arrays by every kind of array: the right value, or one clear error.

A function either gives what it gives for the plain array of the same values, whatever its byte
order, strides and flags, or says in one TypeError or ValueError what it wants. It never changes
what it was given.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import vocsmooth
from csgisnet.evaluation import metrics
from csgisnet.networks.smoothing import COMPACT, SmoothingNetwork
from csgisnet.prediction.smoother import Smoother
from vocsmooth.arrays import to_8_bit, to_float, to_uint
from vocsmooth.images.reading import Picture
from vocsmooth.images.writing import write_picture
from vocsmooth.operators import abstract, blend, detail_enhance, smooth_frames, strength_map
from vocsmooth.operators.edges import find_edges, luminance, sobel

Array = NDArray[Any]

LEVELS = np.random.default_rng(0).integers(0, 256, (13, 15, 3))

FLOATS = LEVELS / 255

OTHER = FLOATS[::-1].copy()


def image_functions() -> dict[str, Callable[[Array], Any]]:
    """Functions of (H, W, 3) float32 or float64 images in [0, 1]."""
    operators = {
        name: lambda x, name=name: vocsmooth.smooth(x, name) for name in vocsmooth.OPERATORS
    }
    return operators | {
        "guide": lambda x: vocsmooth.guided_filter(OTHER, guide=x),
        "blend of": lambda x: blend(x, OTHER, 0.5),
        "blend with": lambda x: blend(OTHER, x, 0.5),
        "detail_enhance": lambda x: detail_enhance(x, OTHER),
        "abstract": abstract,
        "smooth_frames": lambda x: list(
            smooth_frames([x, x], vocsmooth.guided_filter, persistence=0.5)
        )[1],
        "to_uint": lambda x: to_uint(x, np.uint8),
        "luminance": luminance,
        "psnr": lambda x: metrics.psnr(x, OTHER),
        "ssim": lambda x: metrics.ssim(x, OTHER),
        "gradient_magnitude": metrics.gradient_magnitude,
        "texture_residual": lambda x: metrics.texture_residual(x, OTHER, FLOATS[:, :, 0] > 0.9),
        "boundary_retention": lambda x: metrics.boundary_retention(x, OTHER, FLOATS[:, :, 0] > 0.5),
    }


IMAGE_FUNCTIONS = image_functions()

PLANE_FUNCTIONS: dict[str, Callable[[Array], Any]] = {
    "sobel": sobel,
    "strength": lambda x: blend(FLOATS, OTHER, x),
}
"""Functions of (H, W) floats."""


def write(pixels: Array) -> None:
    write_picture("/nonexistent/a.png", Picture(pixels=pixels))


PIXEL_FUNCTIONS: dict[str, Callable[[Array], Any]] = {
    "to_float": to_float,
    "to_8_bit": to_8_bit,
    "find_edges": find_edges,
    "write_picture": write,
}
"""Functions of (H, W, 3) integers."""


def unaligned(array: Array) -> Array:
    moved = b"\0" + array.tobytes()
    return np.frombuffer(moved, array.dtype, offset=1).reshape(array.shape)


def read_only(array: Array) -> Array:
    array = array.copy()
    array.flags.writeable = False
    return array


SAME_VALUES: dict[str, Callable[[Array], Array]] = {
    "big-endian": lambda x: x.astype(x.dtype.newbyteorder(">")),
    "Fortran order": np.asfortranarray,
    "read-only": read_only,
    "negative strides": lambda x: x[::-1, ::-1].copy()[::-1, ::-1],
    "every other pixel": lambda x: x.repeat(2, 0).repeat(2, 1)[::2, ::2],
    "unaligned": unaligned,
    "shared memory": lambda x: np.broadcast_to(x, (2, *x.shape))[1],
}
"""Arrays with the values of a plain one, which must give the same results."""

REFUSED: dict[str, Callable[[Array], Any]] = {
    "float16": lambda x: x.astype(np.float16),
    "longdouble": lambda x: x.astype(np.longdouble),
    "int64": lambda x: (x * 255).astype(np.int64),
    "bool": lambda x: x > 0,
    "complex": lambda x: x.astype(complex),
    "object": lambda x: x.astype(object),
    "text": lambda x: x.astype(str),
    "masked": lambda x: np.ma.masked_greater(x, x.mean()),
    "masked nowhere": np.ma.masked_array,
    "matrix": lambda x: x.reshape(len(x), -1).view(np.matrix),
    "list": lambda x: x.tolist(),
    "tensor": torch.from_numpy,
    "tensor with a gradient": lambda x: torch.from_numpy(x * 1.0).requires_grad_(),
    "PIL image": lambda x: Image.fromarray((x * 255).astype(np.uint8)),
    "None": lambda _: None,
    "path": lambda _: "photo.png",
    "complex number": lambda _: 1j,
}
"""What is no array of the right kind: a TypeError."""

NO_IMAGE: dict[str, Callable[[Array], Any]] = {
    "NaN": lambda x: np.where(x == x.max(), np.nan, x),
    "infinity": lambda x: np.where(x == x.max(), np.inf, x),
    "0 to 255": lambda x: x * 255,
    "-1 to 0": lambda x: x - 1,
    "0-d": lambda x: x[0, 0, 0, ...],
    "1-d": lambda x: x[0, :, 0],
    "4-d": lambda x: x[None],
    "no rows": lambda x: x[:0],
    "no channels": lambda x: x[:, :, :0],
    "2**31 columns": lambda x: np.broadcast_to(x[:1, :1], (1, 2**31, 3)),
    "2**31 rows": lambda x: np.broadcast_to(x[:1, :1], (2**31, 1, 3)),
}
"""Arrays of floats that are no images: a ValueError."""

ANY_RANGE = {"NaN", "infinity", "0 to 255", "-1 to 0"}
"""Luminance is of any units, and what is stored as integers is clipped but for NaN."""


def returned_by(function: Callable[[Any], Any], array: Any) -> Any:
    """Call a function and check that it left its argument alone."""
    before = array.copy() if isinstance(array, np.ndarray) else None
    result = function(array)
    if before is not None:
        np.testing.assert_array_equal(array, before)
    return result


def assert_same(result: Any, wanted: Any) -> None:
    assert type(result) is type(wanted)
    np.testing.assert_allclose(result, wanted, rtol=1e-12, atol=1e-12)
    if isinstance(result, np.ndarray):
        assert result.dtype.newbyteorder("=") == wanted.dtype


@pytest.mark.parametrize("kind", SAME_VALUES)
@pytest.mark.parametrize("name", IMAGE_FUNCTIONS)
def test_an_image_of_the_same_values_gives_the_same(name: str, kind: str) -> None:
    function = IMAGE_FUNCTIONS[name]
    assert_same(returned_by(function, SAME_VALUES[kind](FLOATS)), function(FLOATS))


@pytest.mark.parametrize("kind", SAME_VALUES)
@pytest.mark.parametrize("name", PLANE_FUNCTIONS)
def test_a_plane_of_the_same_values_gives_the_same(name: str, kind: str) -> None:
    function, plane = PLANE_FUNCTIONS[name], FLOATS[:, :, 0].copy()
    assert_same(returned_by(function, SAME_VALUES[kind](plane)), function(plane))


@pytest.mark.parametrize("kind", SAME_VALUES)
@pytest.mark.parametrize("name", sorted(PIXEL_FUNCTIONS.keys() - {"write_picture"}))
def test_pixels_of_the_same_values_give_the_same(name: str, kind: str) -> None:
    function, pixels = PIXEL_FUNCTIONS[name], LEVELS.astype(np.uint8)
    assert_same(returned_by(function, SAME_VALUES[kind](pixels)), function(pixels))


@pytest.mark.parametrize("name", IMAGE_FUNCTIONS)
def test_float32_gives_what_float64_does(name: str) -> None:
    function = IMAGE_FUNCTIONS[name]
    result = returned_by(function, FLOATS.astype(np.float32))
    if isinstance(result, np.ndarray) and name not in {"guide", "blend with"}:
        assert result.dtype in (np.float32, function(FLOATS).dtype)
    np.testing.assert_allclose(result, function(FLOATS), atol=1e-4)


def takes(name: str, kind: str) -> bool:
    """Return whether a function of images takes a kind that operators refuse."""
    if name == "luminance":  # of any number of pixels, too
        return kind in ANY_RANGE | {"float16", "longdouble", "int64", *BEYOND_INT}
    return (name == "to_uint" and kind in {"0 to 255", "-1 to 0", *SHAPES}) or (
        name == "guide" and kind == "None"
    )


BEYOND_INT = {"2**31 columns", "2**31 rows"}

SHAPES = {"0-d", "1-d", "4-d", "no rows", "no channels", *BEYOND_INT}

CASES = [
    *((name, kind) for name in IMAGE_FUNCTIONS for kind in REFUSED if not takes(name, kind)),
    *((name, kind) for name in IMAGE_FUNCTIONS for kind in NO_IMAGE if not takes(name, kind)),
]


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_what_is_no_image_is_refused(name: str, kind: str) -> None:
    refused = kind in REFUSED
    make = REFUSED[kind] if refused else NO_IMAGE[kind]
    array = make(FLOATS)
    with pytest.raises(TypeError if refused else ValueError, match=r"must|NaN") as caught:
        IMAGE_FUNCTIONS[name](array)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("kind", sorted(REFUSED.keys() - {"float16", "longdouble"}))
@pytest.mark.parametrize("name", PLANE_FUNCTIONS)
def test_what_is_no_plane_of_floats_is_refused(name: str, kind: str) -> None:
    with pytest.raises(TypeError, match=r"must be"):
        PLANE_FUNCTIONS[name](REFUSED[kind](FLOATS[:, :, 0].copy()))


@pytest.mark.parametrize("kind", [*REFUSED, "float64"])
@pytest.mark.parametrize("name", PIXEL_FUNCTIONS)
def test_what_is_no_array_of_pixels_is_refused(name: str, kind: str) -> None:
    pixels = FLOATS if kind == "float64" else REFUSED[kind](LEVELS.astype(np.uint8))
    with pytest.raises((TypeError, ValueError), match=r"must be|must have"):
        PIXEL_FUNCTIONS[name](pixels)


@pytest.mark.parametrize(
    "mask",
    [
        LEVELS[:, :, 0].astype(np.int64),
        np.ma.masked_array(np.zeros((2, 2), np.uint8)),
        np.zeros((2, 2, 1), np.uint8),
        np.full((2, 2), 21, np.uint8),
        torch.zeros((2, 2), dtype=torch.uint8),
        Image.new("P", (2, 2)),
        [[0]],
        0,
        None,
    ],
    ids=["int64", "masked", "3-d", "class 21", "tensor", "PIL", "list", "number", "None"],
)
def test_what_is_no_mask_is_refused(mask: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="mask must be"):
        strength_map(mask, {"person": 0.2})


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, ">u2"])
@pytest.mark.parametrize("name", ["psnr", "ssim", "gradient_magnitude"])
def test_measures_take_integers_over_their_own_range(name: str, dtype: Any) -> None:
    levels = LEVELS.astype(np.uint16) * (np.iinfo(dtype).max // 255)
    function = IMAGE_FUNCTIONS[name]
    assert_same(returned_by(function, levels.astype(dtype)), function(FLOATS))


@pytest.fixture(scope="module")
def smoother() -> Smoother:
    return Smoother(SmoothingNetwork(COMPACT), device="cpu")


@pytest.mark.parametrize("kind", sorted(SAME_VALUES.keys() - {"big-endian"}))
def test_the_network_gives_the_same_for_the_same_values(smoother: Smoother, kind: str) -> None:
    cases: dict[Callable[[Any], Any], Array] = {
        smoother.smooth: FLOATS.astype(np.float32),
        smoother.smooth_pixels: LEVELS.astype(np.uint8),
    }
    for function, array in cases.items():
        result = returned_by(function, SAME_VALUES[kind](array))
        np.testing.assert_array_equal(result[0], function(array)[0])


@pytest.mark.parametrize("kind", REFUSED)
def test_the_network_refuses_other_types(smoother: Smoother, kind: str) -> None:
    for function in (smoother.smooth, smoother.smooth_pixels):
        with pytest.raises(TypeError, match="image must be"):
            function(REFUSED[kind](FLOATS))


@pytest.mark.parametrize("kind", NO_IMAGE)
def test_the_network_refuses_what_is_no_image(smoother: Smoother, kind: str) -> None:
    with pytest.raises(ValueError, match=r"image must|NaN"):
        smoother.smooth(NO_IMAGE[kind](FLOATS.astype(np.float32)).astype(np.float32, copy=False))
