"""Every operator against a plain program of its paper, and those against the authors' outputs.

The first part runs in every checkout; the second one needs the authors' outputs beside it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyramid_reference
import pytest
import references
from numpy.typing import NDArray
from PIL import Image

from vocsmooth.operators.table import OPERATORS

Array = NDArray[np.float64]

EXACT, RTV_BOUND, SD_BOUND = 1e-7, 0.25 / 255, 0.01 / 255

SHAPES = [(23, 31, 3), (29, 17), (1, 13, 3), (19, 1), (2, 2, 3), (1, 1)]
"""Odd sides, prime ones, single lines; grey and colour."""

CASES: list[tuple[str, dict[str, Any], float]] = [
    ("l0", {}, EXACT),
    ("l0", {"lam": 0.005, "kappa": 1.5}, EXACT),
    ("rtv", {}, RTV_BOUND),
    ("rtv", {"lam": 0.05, "sigma": 1.0, "sharpness": 0.005, "num_iter": 3}, RTV_BOUND),
    ("guided", {"radius": 3, "eps": 1e-4}, EXACT),
    ("guided", {"radius": 40, "eps": 0.01}, EXACT),
    ("rolling", {}, EXACT),
    ("rolling", {"sigma_space": 1.5, "sigma_range": 0.3, "num_iter": 3}, EXACT),
    ("pyramid", {}, EXACT),
    ("pyramid", {"sigma_space": 2.0, "sigma_range": 0.2, "levels": 4, "scale": 0.5}, EXACT),
    ("ils", {}, EXACT),
    ("ils", {"lam": 1.0, "penalty": "charbonnier", "num_iter": 4}, EXACT),
    ("sd", {}, SD_BOUND),
    ("sd", {"lam": 30.0, "mu": 5.0, "nu": 100.0, "num_iter": 3}, SD_BOUND),
]


def scene(shape: tuple[int, ...]) -> Array:
    """Blocks of colour under a fine grid and noise."""
    rng = np.random.default_rng(21)
    height, width = shape[:2]
    blocks = rng.random((-(-height // 8), -(-width // 8), *shape[2:]))
    image = blocks.repeat(8, 0).repeat(8, 1)[:height, :width] * 0.7 + 0.1
    grid = 0.15 * (np.indices(shape[:2]).sum(0) % 3 == 0)
    scene: Array = np.clip((image.T + grid.T).T + rng.normal(0, 0.02, shape), 0, 1)
    return scene


def guided_by_itself(image: Array, **params: Any) -> Array:
    """The guided filter with every channel as its own guide, as the operator's default."""
    channels = references.as_channels(image)
    filtered = [references.guided(p, p, **params) for p in np.moveaxis(channels, 2, 0)]
    return np.stack(filtered, 2).reshape(image.shape)


PLAIN: dict[str, Callable[..., Array]] = {
    "l0": references.l0,
    "rtv": references.rtv,
    "guided": guided_by_itself,
    "rolling": references.rolling,
    "pyramid": pyramid_reference.pyramid,
    "ils": references.ils,
    "sd": references.sd,
}


def test_there_is_a_reference_for_every_operator() -> None:
    assert set(PLAIN) == set(OPERATORS) == {name for name, _, _ in CASES}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("name", "params", "bound"), CASES)
def test_operators_do_what_their_papers_say(
    name: str, params: dict[str, Any], bound: float, shape: tuple[int, ...], backend: str
) -> None:
    image = scene(shape)
    expected = PLAIN[name](image, **params)
    np.testing.assert_allclose(OPERATORS[name](image, **params), expected, rtol=0, atol=bound)


@pytest.mark.parametrize("guides", [1, 3])
def test_the_guided_filter_takes_another_guide(guides: int, backend: str) -> None:
    image, guide = scene((21, 27, 3)), scene((27, 21, guides)).swapaxes(0, 1)
    expected = references.guided(image, guide, 4, 1e-3)
    result = OPERATORS["guided"](image, guide, 4, 1e-3)
    np.testing.assert_allclose(result, expected, rtol=0, atol=EXACT)


@pytest.mark.parametrize("name", ["l0", "guided", "rolling", "pyramid"])
def test_single_precision_costs_no_grey_level(name: str, backend: str) -> None:
    image = scene((37, 29, 3)).astype(np.float32)
    expected = PLAIN[name](image.astype(np.float64))
    np.testing.assert_allclose(OPERATORS[name](image), expected, rtol=0, atol=0.01 / 255)


AUTHORS: dict[str, tuple[Callable[..., Array], dict[str, Any], float]] = {
    "l0_0p02": (references.l0, {}, 1e-4),
    "rtv_0p015_3": (references.rtv, {"lam": 0.015}, 1e-4),
    "guided_gray_r4_0p01": (guided_by_itself, {}, 1e-4),
    "rgf_4_0p1_4": (references.rolling, {}, 1e-4),
    "ils_welsch_30_10_10": (references.ils, {}, 2e-3),  # theirs is in single precision
    "ils_lnorm_1_0p8": (
        references.ils, {"lam": 1.0, "penalty": "charbonnier", "num_iter": 4}, 2e-3
    ),
    "sdf_3_50_400_10": (references.sd, {}, 0.01),
}  # fmt: skip
"""Key of the authors' outputs to reference, parameters and largest difference in grey levels."""


@pytest.mark.parametrize("key", AUTHORS)
def test_references_agree_with_the_authors(shared: Path, key: str) -> None:
    reference, params, levels = AUTHORS[key]
    file = shared / "operators/gray_113x90.npz"
    image = np.asarray(Image.open(file.with_suffix(".png"))) / 255
    with np.load(file) as outputs:
        if key not in outputs:
            pytest.skip("the authors' program takes colour images only")
        expected = outputs[key]
    np.testing.assert_allclose(reference(image, **params), expected, rtol=0, atol=levels / 255)
