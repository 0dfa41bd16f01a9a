"""Measure how well the gradient of a smoothed photograph finds boundaries that people drew.

Texture has gradients everywhere, and people draw boundaries where objects meet: a smoother that
removes the first and keeps the second leaves a gradient that is a boundary map. The gradient is
the plain one, so that the smoother alone makes the difference.

References
----------
.. [1] S. Di Zenzo, "A note on the gradient of a multi-image", Computer Vision, Graphics, and Image
       Processing 33, 1986.
.. [2] P. Arbelaez et al., "Contour detection and hierarchical image segmentation", IEEE TPAMI
       33(5), 2011: ODS, OIS and the matching within 0.75 % of the diagonal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import maximum_flow
from scipy.spatial import cKDTree

Strength = NDArray[np.float32]
"""(H, W) of a boundary at each pixel; 0 where there is none."""

REACH = 0.0075
"""Largest distance of a match, as a share of the image's diagonal."""

_SIGMA = 1.5  # pixels of the Gaussian whose derivative is the gradient


class Counts(NamedTuple):
    """Counts of pixels at each threshold, as arrays of one length."""

    found: NDArray[np.int64]
    """Pixels found that lie on a boundary that somebody drew."""
    detected: NDArray[np.int64]
    """Pixels found."""
    recalled: NDArray[np.int64]
    """Drawn pixels that were found, summed over everyone who drew."""
    drawn: NDArray[np.int64]
    """Drawn pixels, summed over everyone who drew."""


class BoundaryScore(NamedTuple):
    """F-measures in [0, 1]; 1 is best."""

    ods: float
    """At the one threshold that is best for all photographs together."""
    ois: float
    """At the threshold that is best for each photograph."""
    precision: float
    """Share of the found pixels that somebody drew, at the threshold of `ods`."""
    recall: float
    """Share of the drawn pixels that were found, at the threshold of `ods`."""
    threshold: float
    """The threshold of `ods`."""


def gradient_boundaries(image: NDArray[np.float32]) -> Strength:
    """Return the thinned gradient of a colour image.

    Parameters
    ----------
    image : (H, W, 3) float32 in [0, 1]
        RGB.

    Returns
    -------
    (H, W) float32 ndarray
        Largest rate of change over all directions, per pixel, where it is a ridge; 0 elsewhere.

    Examples
    --------
    >>> step = np.zeros((16, 16, 3), np.float32)
    >>> step[:, 8:] = 1
    >>> np.flatnonzero(gradient_boundaries(step)[8])  # one column of the two beside the step
    array([7])
    """
    smooth = cv2.GaussianBlur(image, (0, 0), _SIGMA, borderType=cv2.BORDER_REFLECT)
    dx = cv2.Sobel(smooth, cv2.CV_32F, 1, 0, ksize=3, scale=1 / 8)
    dy = cv2.Sobel(smooth, cv2.CV_32F, 0, 1, ksize=3, scale=1 / 8)
    xx, xy, yy = (dx * dx).sum(2), (dx * dy).sum(2), (dy * dy).sum(2)
    root = np.sqrt((xx - yy) ** 2 + 4 * xy**2)
    strength = np.asarray(np.sqrt(np.maximum((xx + yy + root) / 2, 0)), np.float32)
    return _thin(strength, np.arctan2(2 * xy, xx - yy) / 2)


def count_matches(
    strength: Strength, drawn: Sequence[NDArray[np.bool_]], thresholds: NDArray[np.float64]
) -> Counts:
    """Match boundaries to those that people drew, pixel by pixel, at each threshold of strength.

    Parameters
    ----------
    strength : (H, W) float32
        Thin boundaries.
    drawn : sequence of (H, W) bool
        What each person drew.
    thresholds : (T,) float64
        Above 0, rising.
    """
    rows, columns = np.nonzero(strength >= thresholds[0])
    points = np.stack([rows, columns], axis=1)
    values = strength[rows, columns]
    reach = REACH * float(np.hypot(*strength.shape))
    counts = np.zeros((4, len(thresholds)), np.int64)
    pairs = [_close_pairs(np.argwhere(person), points, reach) for person in drawn]
    for place, threshold in enumerate(thresholds):
        kept = values >= threshold
        on_boundary = np.zeros(len(points), bool)
        for close in pairs:
            matched = _matched(close[:, kept])
            on_boundary[np.flatnonzero(kept)[matched]] = True
            counts[2, place] += len(matched)
        counts[:2, place] = on_boundary.sum(), kept.sum()
    counts[3] = sum(int(person.sum()) for person in drawn)
    return Counts(*counts)


def score_boundaries(
    photographs: Sequence[Counts], thresholds: NDArray[np.float64]
) -> BoundaryScore:
    """Return the F-measures of counts from several photographs.

    Parameters
    ----------
    photographs : sequence of Counts
        At least one, from `count_matches` with the same thresholds.
    thresholds : (T,) float64
        Those of the counts.
    """
    counts = np.array(photographs)  # (photographs, 4, T)
    together = counts.sum(axis=0)
    precision, recall, f = _measures(together)
    best = int(f.argmax())
    own = np.stack([one[:, _measures(one)[2].argmax()] for one in counts]).sum(axis=0)
    return BoundaryScore(
        ods=float(f[best]),
        ois=float(_measures(own[:, None])[2][0]),
        precision=float(precision[best]),
        recall=float(recall[best]),
        threshold=float(thresholds[best]),
    )


def _measures(
    counts: NDArray[np.int64],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return precision, recall and F of counts (4, T); all are 0 where nothing was found."""
    found, detected, recalled, drawn = counts.astype(np.float64)
    precision = found / np.maximum(detected, 1)
    recall = recalled / np.maximum(drawn, 1)
    f = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return precision, recall, f


def _thin(strength: Strength, angle: NDArray[np.float32]) -> Strength:
    """Keep pixels no less than both neighbours across the ridge; of equal ones, keep one."""
    rows, columns = np.indices(strength.shape, np.float32)
    across = (np.cos(angle), np.sin(angle))
    sides = [
        cv2.remap(
            strength,
            columns + sign * across[0],
            rows + sign * across[1],
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REPLICATE,
        )
        for sign in (-1, 1)
    ]
    tiny = np.float32(1e-6)  # of two equal neighbours the first one stays
    ridge = (strength > sides[0] + tiny) & (strength >= sides[1] - tiny)
    return np.where(ridge, strength, np.float32(0))


def _close_pairs(points: NDArray[np.int64], others: NDArray[np.int64], reach: float) -> csr_matrix:
    """Return which points are within reach of which others, a row for each point."""
    shape = (len(points), len(others))
    if not all(shape):
        return csr_matrix(shape, dtype=bool)
    near = cKDTree(points).query_ball_tree(cKDTree(others), reach)
    ends = np.cumsum([0, *map(len, near)])
    columns = np.concatenate([np.asarray(n, np.int64) for n in near])
    return csr_matrix((np.ones(len(columns), bool), columns, ends), shape=shape)


def _matched(close: csr_matrix) -> NDArray[np.int64]:
    """Return the columns that a largest matching of rows to columns takes.

    It is the largest flow from a source through rows and columns to a sink: that takes hundredths
    of a second, where `scipy.sparse.csgraph.maximum_bipartite_matching` does not end within minutes
    for some photographs.
    """
    rows, columns = close.shape
    places = close.tocoo()
    source, sink = rows + columns, rows + columns + 1
    first, second = np.arange(rows), rows + np.arange(columns)
    begins = np.concatenate([np.full(rows, source), places.row, second])
    ends = np.concatenate([first, rows + places.col, np.full(columns, sink)])
    pipes = csr_matrix((np.ones(len(begins), np.int32), (begins, ends)), shape=(sink + 1, sink + 1))
    flow = maximum_flow(pipes, source, sink, method="dinic").flow.tocoo()
    into_sink = (flow.col == sink) & (flow.data > 0)
    return np.asarray(flow.row[into_sink] - rows, np.int64)
