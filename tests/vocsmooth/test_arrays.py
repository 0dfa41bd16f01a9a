"""The gate that every operator's image passes, and the way from pixels to floats and back."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vocsmooth.arrays import (
    as_channels,
    check_count,
    check_image,
    check_number,
    like,
    to_8_bit,
    to_float,
    to_uint,
)


@pytest.mark.parametrize("shape", [(1, 1), (3, 5), (1, 7, 1), (4, 2, 3), (2, 2, 9)])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_takes_any_size_and_number_of_channels(
    shape: tuple[int, ...], dtype: type[np.floating]
) -> None:
    check_image(np.full(shape, 0.5, dtype))


def test_takes_views_of_either_byte_order() -> None:
    check_image(np.zeros((6, 8))[::2, ::-1].T)
    check_image(np.zeros((2, 2), dtype=">f4"))


@pytest.mark.parametrize(
    ("dtype", "advice"),
    [
        (np.uint8, r"got uint8: use x.astype\(numpy.float32\) / 255"),
        (np.uint16, r"got uint16: use .* / 65535"),
        (np.int64, "got int64: divide by its largest possible value"),
        (np.bool_, r"got bool: use x.astype\(numpy.float32\)"),
        (np.float16, "got float16: use"),
        (np.complex64, "got complex64: give real numbers"),
    ],
)
def test_another_dtype_is_refused_with_its_conversion(dtype: type, advice: str) -> None:
    with pytest.raises(TypeError, match=advice):
        check_image(np.zeros((2, 2), dtype))


def test_a_list_is_refused() -> None:
    with pytest.raises(TypeError, match="guide must be a NumPy array, got list"):
        check_image([[0.0]], "guide")  # type: ignore[arg-type]


@pytest.mark.parametrize("shape", [(), (3,), (0, 4), (4, 0, 3), (4, 4, 0), (2, 2, 2, 2)])
def test_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"must have shape \(H, W\) or \(H, W, C\)"):
        check_image(np.zeros(shape))


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.nan, "has 1 NaN or infinite values"),
        (np.inf, "has 1 NaN or infinite values"),
        (-np.inf, "has 1 NaN or infinite values"),
        (255.0, r"must lie in \[0, 1\], got 0 to 255"),
        (-0.01, r"got -0.01 to 0"),
    ],
)
def test_a_value_outside_is_refused(value: float, message: str) -> None:
    image = np.zeros((3, 4))
    image[1, 2] = value
    with pytest.raises(ValueError, match=message):
        check_image(image)


def test_the_rounding_of_earlier_work_is_allowed() -> None:
    check_image(np.array([[-5e-7, 1 + 5e-7]]))


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 3)])
def test_like_undoes_as_channels(shape: tuple[int, ...]) -> None:
    image: NDArray[np.float32] = np.random.default_rng(0).random(shape).astype(np.float32)
    channels = as_channels(image)
    assert channels.shape == (4, 5, shape[2] if len(shape) == 3 else 1)
    assert np.shares_memory(channels, image)
    back = like(channels.astype(np.float64), image)
    assert back.dtype == np.float32
    np.testing.assert_array_equal(back, image)


@pytest.mark.parametrize("value", [True, "3", None, [1.0]])
def test_a_parameter_must_be_a_number(value: object) -> None:
    with pytest.raises(TypeError, match="eps must be a number"):
        check_number("eps", value)  # type: ignore[arg-type]


def test_a_number_must_be_finite_and_in_range() -> None:
    check_number("eps", np.float32(0.1), above=0)
    with pytest.raises(ValueError, match="eps must be finite, got nan"):
        check_number("eps", float("nan"))
    with pytest.raises(ValueError, match="eps must be greater than 0, got 0"):
        check_number("eps", 0, above=0)
    with pytest.raises(ValueError, match="lam must be at least 0, got -1"):
        check_number("lam", -1, at_least=0)


@pytest.mark.parametrize("value", [2.0, True, "2"])
def test_a_count_must_be_whole(value: object) -> None:
    with pytest.raises(TypeError, match="radius must be a whole number"):
        check_count("radius", value)  # type: ignore[arg-type]


def test_a_count_has_a_least_value() -> None:
    check_count("radius", np.int32(1))
    with pytest.raises(ValueError, match="radius must be at least 1, got 0"):
        check_count("radius", 0)


def test_conversions_round_and_return() -> None:
    for dtype in (np.uint8, np.uint16):
        values: NDArray[Any] = np.arange(np.iinfo(dtype).max + 1).reshape(16, -1).astype(dtype)
        floats = to_float(values)
        assert floats.dtype == np.float32
        assert (floats.min(), floats.max()) == (0, 1)
        np.testing.assert_array_equal(to_uint(floats, dtype), values)
    deep = np.arange(65536, dtype=np.uint16)
    np.testing.assert_array_equal(to_8_bit(deep), np.rint(deep / 257))
    floats64 = np.array([[-0.2, 0.4999 / 255, 0.5001 / 255, 254.5001 / 255, 1.3]])
    np.testing.assert_array_equal(to_uint(floats64, np.uint8), [[0, 0, 1, 255, 255]])
    with pytest.raises(ValueError, match="NaN"):
        to_uint(np.array([[np.nan]]), np.uint8)


def test_a_number_beyond_floats_is_refused() -> None:
    with pytest.raises(ValueError, match="lam is too large"):
        check_number("lam", 10**400)
    with pytest.raises(ValueError, match="radius is too large"):
        check_count("radius", 10**400)
