"""Turn parts of photographs into pictures of flat regions: structure as ragged as nature makes it.

Drawn shapes have smooth contours and few neighbours of like colour. The regions of a photograph
have contours of fur, leaves and clouds, and neighbours a few grey levels apart.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.measure import label as number_regions

from vocsmooth.arrays import to_uint
from vocsmooth.sources.drawing import Paint
from vocsmooth.sources.shapes import Rng

_SAMPLES = 4000  # pixels from which the colours of a posterised picture are found


def posterise(rng: Rng, picture: Paint) -> Paint:
    """Return a picture of flat regions, with the main contours of a photograph.

    Parameters
    ----------
    rng : numpy.random.Generator
        Decides the way and how much detail is left.
    picture : (H, W, 3) float32 in [0, 1]
        Part of a photograph, at its final size.
    """
    way = WAYS[str(rng.choice(list(WAYS)))]
    flat = way(rng, np.asarray(to_uint(picture, np.uint8), np.uint8))
    if rng.random() < 0.5:  # photographs have contours a little softer than a pixel
        flat = np.asarray(cv2.GaussianBlur(flat, (0, 0), rng.uniform(0.3, 0.8)), np.float32)
    return flat.clip(0, 1)


def _by_colour(rng: Rng, pixels: NDArray[np.uint8]) -> Paint:
    """Leave few colours, found by k-means in Lab; stray pixels join the majority around them."""
    lab = cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB).reshape(-1, 3).astype(np.float32)
    chosen = lab[rng.integers(len(lab), size=_SAMPLES)]
    count = int(rng.integers(6, 48))
    colours = chosen[rng.choice(len(chosen), count, replace=False)]
    for _ in range(6):  # cv2.kmeans draws from a global generator
        nearest = _nearest(chosen, colours)
        sums = np.stack([np.bincount(nearest, chosen[:, c], count) for c in range(3)], axis=1)
        sizes = np.bincount(nearest, minlength=count)[:, None]
        colours = np.where(sizes, sums / np.maximum(sizes, 1), colours).astype(np.float32)
    classes = _nearest(lab, colours).astype(np.uint8).reshape(pixels.shape[:2])
    # Sorted by lightness, the median of classes is close to their majority.
    order = np.argsort(np.argsort(colours[:, 0])).astype(np.uint8)
    smooth = cv2.medianBlur(order[classes], int(rng.choice([3, 5, 7])))
    return _mean_of_regions(pixels, np.asarray(smooth, np.uint8))


def _by_shift(rng: Rng, pixels: NDArray[np.uint8]) -> Paint:
    """Apply mean shift: flat regions with contours where the colour changes, and slow gradients."""
    shifted = cv2.pyrMeanShiftFiltering(pixels, rng.uniform(5, 14), rng.uniform(10, 40))
    return np.asarray(shifted).astype(np.float32) / np.float32(255)


def _by_tone(rng: Rng, pixels: NDArray[np.uint8]) -> Paint:
    """Leave two to eight levels of lightness, as the inks of a screen print."""
    grey = cv2.GaussianBlur(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), (0, 0), rng.uniform(0.8, 2.5))
    cuts = np.quantile(grey, np.sort(rng.uniform(0.02, 0.98, int(rng.integers(1, 8)))))
    classes = np.searchsorted(cuts, grey.ravel()).reshape(grey.shape).astype(np.uint8)
    if rng.random() < 0.5:
        return _mean_of_regions(pixels, classes)
    inks = np.asarray(rng.uniform(0, 1, (len(cuts) + 1, 3)), np.float32)
    return inks[classes]


WAYS: dict[str, Callable[[Rng, NDArray[np.uint8]], Paint]] = {
    "colour": _by_colour,
    "shift": _by_shift,
    "tone": _by_tone,
}
"""The ways to posterise; each makes flat regions of (H, W, 3) uint8 RGB."""


def _nearest(lab: NDArray[np.float32], colours: NDArray[np.float32]) -> NDArray[np.int64]:
    """Return the number of the nearest colour to each of (N, 3) pixels."""
    distances = (colours**2).sum(axis=1) - 2 * lab @ colours.T
    return np.asarray(distances.argmin(axis=1))


def _mean_of_regions(pixels: NDArray[np.uint8], classes: NDArray[np.uint8]) -> Paint:
    """Fill each connected region of one class with its mean colour."""
    numbered = number_regions(classes, background=-1, connectivity=1)  # type: ignore[no-untyped-call]
    regions = np.asarray(numbered, np.int64).ravel()
    sizes = np.maximum(np.bincount(regions), 1)
    flat = pixels.reshape(-1, 3)
    means = np.stack([np.bincount(regions, flat[:, c]) / sizes for c in range(3)], axis=1)
    return np.asarray(means[regions].reshape(pixels.shape) / 255, np.float32)
