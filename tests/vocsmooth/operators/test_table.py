"""What all operators promise, each checked for every one of them."""

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import vocsmooth
from vocsmooth.operators.table import OPERATORS, check_params, smooth

Array = NDArray[Any]

EVERY = pytest.mark.parametrize("name", OPERATORS)
RANGE_KEPT = ("rtv", "rolling", "sd")
# L0 and SD decide by all channels together, SD with unequal ones (Lab).
CHANNELS_ALONE = ("guided", "rolling", "ils")
# A pixel's weight comes from its forward differences, which a flip turns into backward ones.
FORWARD_DIFFERENCES = ("l0", "rtv")
# What else scales by s where the image does. L0 starts from a penalty, and RTV divides by floors,
# that know no scale.
SCALED: dict[str, Callable[[float], dict[str, float]]] = {
    "guided": lambda s: {"eps": 0.01 * s**2},
    "rolling": lambda s: {"sigma_range": 0.1 * s},
    "pyramid": lambda s: {"sigma_range": 0.05 * s},
    "ils": lambda s: {"gamma": 0.04 * s},
    "sd": lambda s: {},
}


def photo(dtype: type = np.float64, shape: tuple[int, ...] = (22, 17, 3)) -> Array:
    """Steps, a ramp and noise."""
    rng = np.random.default_rng(7)
    y, x = np.indices(shape[:2])
    steps = 0.3 + 0.3 * (x > 8) + 0.2 * (y > 12) - 0.005 * y
    noise = rng.normal(0, 0.04, shape)
    image = steps[..., np.newaxis] if len(shape) == 3 else steps
    noisy: Array = np.clip(image + noise, 0, 1).astype(dtype)
    return noisy


@EVERY
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(22, 17), (22, 17, 1), (22, 17, 3), (22, 17, 4)])
def test_shape_and_dtype_are_kept_and_the_input_untouched(
    name: str, dtype: type, shape: tuple[int, ...]
) -> None:
    image = photo(dtype, shape)
    before = image.copy()
    image.flags.writeable = False
    result = smooth(image, name)
    assert (result.shape, result.dtype) == (image.shape, image.dtype)
    assert result.flags.writeable
    assert result.flags.c_contiguous
    assert not np.shares_memory(result, image)
    np.testing.assert_array_equal(image, before)
    assert np.isfinite(result).all()
    assert np.abs(result - image).max() > 0.01


@EVERY
def test_float32_and_float64_agree(name: str) -> None:
    single = smooth(photo(np.float32), name)
    double = smooth(photo(np.float32).astype(np.float64), name)
    assert np.mean(np.abs(single - double) * 255 < 0.5) >= 0.999


@EVERY
@pytest.mark.parametrize("value", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (2, 2, 3), (13, 11, 3)])
def test_a_constant_stays_constant(name: str, value: float, shape: tuple[int, ...]) -> None:
    np.testing.assert_allclose(smooth(np.full(shape, value), name), value, atol=1e-6)


@EVERY
@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 1), (1, 30, 3), (31, 1, 3), (2, 3), (3, 3)])
def test_the_smallest_sides(name: str, shape: tuple[int, ...]) -> None:
    image = photo(shape=shape)
    result = smooth(image, name)
    assert result.shape == shape
    assert np.isfinite(result).all()


@EVERY
def test_views_give_what_copies_give(name: str) -> None:
    large = photo(np.float32, (44, 51, 3))
    for view in (large[::2, ::3], large[5:, 3:, ::-1], large.transpose(1, 0, 2), large[::-1]):
        copy = np.ascontiguousarray(view)
        np.testing.assert_array_equal(smooth(view, name), smooth(copy, name))
    swapped = large.astype(">f4")
    result = smooth(swapped, name)
    assert result.dtype == swapped.dtype
    np.testing.assert_array_equal(result, smooth(large, name))


@EVERY
@pytest.mark.parametrize("turn", ["transpose", "flip"])
def test_turning_commutes(name: str, turn: str) -> None:
    if turn == "flip" and name in FORWARD_DIFFERENCES:
        pytest.skip("defined by forward differences at a pixel")
    turned: dict[str, Callable[[Array], Array]] = {
        "transpose": lambda image: image.swapaxes(0, 1),
        "flip": lambda image: image[::-1, ::-1],
    }
    image = photo()
    result = smooth(turned[turn](image), name)
    np.testing.assert_allclose(result, turned[turn](smooth(image, name)), atol=2e-3)


@EVERY
def test_channels_permute(name: str) -> None:
    if name == "sd":
        pytest.skip("compares three channels as RGB, in Lab")
    image = photo()
    np.testing.assert_allclose(
        smooth(image[:, :, [2, 0, 1]], name), smooth(image, name)[:, :, [2, 0, 1]], atol=2e-3
    )


@pytest.mark.parametrize("name", CHANNELS_ALONE)
def test_channels_are_smoothed_alone(name: str) -> None:
    image = photo()
    alone = [smooth(image[:, :, c], name) for c in range(3)]
    np.testing.assert_allclose(smooth(image, name), np.stack(alone, axis=2), atol=1e-12)


@pytest.mark.parametrize("name", SCALED)
@pytest.mark.parametrize("scale", [0.5, 0.03])
def test_contrast_scales_with_its_parameters(name: str, scale: float) -> None:
    image = photo(shape=(22, 17))
    expected = scale * smooth(image, name, **SCALED[name](1.0))
    result = smooth(scale * image, name, **SCALED[name](scale))
    np.testing.assert_allclose(result, expected, atol=2e-5)


@pytest.mark.parametrize("name", ["l0", *SCALED])
def test_brightness_is_added_back(name: str) -> None:
    image = photo(shape=(22, 17)) / 2
    result = smooth(image + 0.4, name)
    np.testing.assert_allclose(result, smooth(image, name) + 0.4, atol=2e-5)


@pytest.mark.parametrize("name", RANGE_KEPT)
def test_averages_keep_the_range(name: str) -> None:
    image = photo()
    result = smooth(image, name)
    assert image.min() - 1e-4 <= result.min()
    assert result.max() <= image.max() + 1e-4


@EVERY
@pytest.mark.parametrize("bad", [np.nan, np.inf, 2.0])
def test_bad_values_and_dtypes_are_refused(name: str, bad: float) -> None:
    image = photo()
    image[3, 4, 1] = bad
    with pytest.raises(ValueError, match="image "):
        smooth(image, name)
    with pytest.raises(TypeError, match="got uint8: use"):
        smooth(np.zeros((4, 4), np.uint8), name)


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"No operator 'rollin'\. Did you mean 'rolling'\?"):
        smooth(photo(), "rollin")
    with pytest.raises(TypeError, match=r"'rtv' has no parameter 'sigm'\. Did you mean 'sigma'\?"):
        check_params("rtv", {"lam": 0.01, "sigm": 3})
    with pytest.raises(TypeError, match=r"'l0' has no parameter 'image'\. Choose from: kappa, lam"):
        check_params("l0", {"image": 1})


def test_the_package_exports_every_operator_lazily() -> None:
    code = (
        "import sys, vocsmooth\n"
        "heavy = {'numpy', 'scipy', 'cv2', 'torch'} & set(sys.modules)\n"
        "names = [getattr(vocsmooth, name) for name in vocsmooth.__all__]\n"
        "from vocsmooth import *\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    functions = {vocsmooth.OPERATORS[name].__name__ for name in OPERATORS}
    assert functions < set(vocsmooth.__all__)
    assert set(vocsmooth.__all__) <= set(dir(vocsmooth))
    with pytest.raises(AttributeError, match="no attribute 'l1_smooth'"):
        _ = vocsmooth.l1_smooth
