"""The choice of a photograph's label: smoothed candidates judged by its segmentation mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vocsmooth.operators import smooth
from vocsmooth.recipe import Labels, Operator
from vocsmooth.voc import VOID

Image = NDArray[np.float32]
Flags = NDArray[np.bool_]

REACH = 3
"""How far from a pixel the sides of a class boundary are looked for: just across VOC's void rims of
five pixels, so that a blurred boundary counts as partly lost."""

MARGIN = 4
"""How far from other classes and void a pixel must lie to count as inside a region."""

BOUNDARY_WEIGHT = 1.5
"""How many times as much a kept boundary counts as removed texture: with 1 the winners wash out
faces and soft outlines to the eye, with 2 they keep coarse texture."""


@dataclass(frozen=True, kw_only=True)
class Boundary:
    """Where a class meets others, and the photograph's contrast there."""

    own: Flags
    """(H, W), pixels of the class."""
    other: Flags
    """(H, W), pixels of any other class."""
    where: Flags
    """(H, W), pixels within `REACH` of both."""
    contrast: NDArray[np.float32]
    """(N, 3), for the N pixels of `where`: mean of the one side minus mean of the other."""


@dataclass(frozen=True, kw_only=True)
class Structure:
    """What a mask says about a photograph: where its structure is and where there is none."""

    boundaries: tuple[Boundary, ...]
    """One a class."""
    inside: Flags
    """(H, W), pixels well inside a region."""
    energy: float
    """Mean gradient magnitude of the photograph over `inside`."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A judged candidate."""

    operator: Operator
    """How it was made."""
    kept: float
    """Share of the contrast at class boundaries that it keeps, in [0, 1]."""
    left: float
    """Share of the gradient inside regions that it leaves, 0 or more."""
    score: float
    """See `score`, in [0, 1]."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A label and how it was found."""

    image: Image
    """(H, W, 3) float32 in [0, 1]."""
    operator: Operator
    """What made it."""
    method: str
    """"screened", "fixed", or "fallback" where the mask shows no boundary to judge by."""
    score: float | None = None
    """The best candidate's score; None unless screened."""
    candidates: tuple[Candidate, ...] = ()
    """All candidates, in the recipe's order."""


def choose_label(photo: Image, structure: Structure | None, labels: Labels) -> Choice:
    """Smooth a photograph with every candidate and take the one that its mask likes best.

    Parameters
    ----------
    photo : ndarray, (H, W, 3) float32 in [0, 1]
        RGB.
    structure : Structure or None
        From `find_structure`; None if there is nothing to judge by.
    labels : Labels
        The recipe's part. With a fixed operator nothing is judged; without structure the fallback
        operator is used.

    Returns
    -------
    Choice
        The first of those with the best score; whether it is good enough is for the caller to say.
    """
    if labels.fixed:
        return Choice(image=_apply(photo, labels.fixed), operator=labels.fixed, method="fixed")
    if structure is None:
        image = _apply(photo, labels.fallback)
        return Choice(image=image, operator=labels.fallback, method="fallback")
    return _screen(photo, structure, labels.expand())


def find_structure(photo: Image, mask: NDArray[np.uint8]) -> Structure | None:
    """Locate class boundaries and regions; None if the mask lacks the one or the other."""
    classes = [c for c in np.unique(mask) if c != VOID]
    boundaries = [_find_boundary(photo, mask == c, (mask != c) & (mask != VOID)) for c in classes]
    boundaries = [boundary for boundary in boundaries if boundary.where.any()]
    inside = _find_inside(mask)
    if not boundaries or not inside.any():
        return None
    energy = float(_gradient(photo)[inside].mean())
    return Structure(boundaries=tuple(boundaries), inside=inside, energy=energy)


def boundary_kept(structure: Structure, image: Image) -> float:
    """Return the share of the photograph's contrast at class boundaries that `image` keeps.

    The contrast at a pixel is the difference between the mean colours of the two classes within
    `REACH`, a vector: texture averages out of it. What counts is its part along the photograph's
    own, no more than that; sums run over all boundary pixels, so strong boundaries weigh more.

    Returns
    -------
    float
        In [0, 1].
    """
    kept = total = 0.0
    for boundary in structure.boundaries:
        contrast = _contrast(image, boundary.own, boundary.other, boundary.where)
        strength = np.linalg.norm(boundary.contrast, axis=1)
        along = (contrast * boundary.contrast).sum(1) / np.maximum(strength, 1e-6)
        kept += float(np.clip(along, 0, strength).sum())
        total += float(strength.sum())
    return kept / max(total, 1e-6)


def energy_left(structure: Structure, image: Image) -> float:
    """Return the gradient of `image` inside regions, as a share of the photograph's.

    The gradient is summed as a magnitude, not squared: a few strong edges inside an object then
    weigh less than texture everywhere.

    Returns
    -------
    float
        0 for flat regions, 1 for the photograph itself.
    """
    return float(_gradient(image)[structure.inside].mean()) / max(structure.energy, 1e-6)


def score(kept: float, left: float) -> float:
    """Weigh boundaries kept against texture removed: their F-measure, 0 if either is 0.

    With r = max(0, 1 - left) and b = `BOUNDARY_WEIGHT` it is (1 + b^2) kept r / (b^2 r + kept),
    the harmonic mean for b = 1.

    Returns
    -------
    float
        In [0, 1].

    References
    ----------
    C. J. van Rijsbergen, "Information Retrieval", 2nd ed., 1979, chapter 7 (the measure).
    """
    removed = max(0.0, 1 - left)
    weight = BOUNDARY_WEIGHT**2
    return (1 + weight) * kept * removed / max(weight * removed + kept, 1e-6)


def _screen(photo: Image, structure: Structure, operators: Sequence[Operator]) -> Choice:
    """Judge every operator's result; only the best image so far is held."""
    best, judged = photo, list[Candidate]()
    for operator in operators:
        image = _apply(photo, operator)
        kept, left = boundary_kept(structure, image), energy_left(structure, image)
        candidate = Candidate(operator=operator, kept=kept, left=left, score=score(kept, left))
        if all(candidate.score > other.score for other in judged):
            best, winner = image, candidate
        judged.append(candidate)
    return Choice(
        image=best,
        operator=winner.operator,
        method="screened",
        score=winner.score,
        candidates=tuple(judged),
    )


def _apply(photo: Image, operator: Operator) -> Image:
    """Smooth with a recipe's operator."""
    return np.asarray(smooth(photo, operator.operator, **operator.params), np.float32)


def _find_boundary(photo: Image, own: Flags, other: Flags) -> Boundary:
    """Find where a class meets others and measure the photograph there."""
    window = np.ones((2 * REACH + 1, 2 * REACH + 1), np.uint8)
    near = [cv2.dilate(side.astype(np.uint8), window) > 0 for side in (own, other)]
    where = near[0] & near[1]
    contrast = _contrast(photo, own, other, where)
    return Boundary(own=own, other=other, where=where, contrast=contrast)


def _contrast(image: Image, own: Flags, other: Flags, where: Flags) -> NDArray[np.float32]:
    """Return the difference of the two sides' mean colours at the pixels of `where`, (N, 3)."""
    return _side_mean(image, own)[where] - _side_mean(image, other)[where]


def _side_mean(image: Image, side: Flags) -> NDArray[np.float32]:
    """Return the mean of an image over the pixels of one side within `REACH`."""
    weight = side.astype(np.float32)
    size = (2 * REACH + 1, 2 * REACH + 1)
    total = cv2.blur(image * weight[..., None], size)
    share = cv2.blur(weight, size)
    return np.asarray(total / np.maximum(share, 1e-6)[..., None], np.float32)


def _find_inside(mask: NDArray[np.uint8]) -> Flags:
    """Return the pixels around which there is one class only, and no void."""
    window = np.ones((2 * MARGIN + 1, 2 * MARGIN + 1), np.uint8)
    same = cv2.erode(mask, window) == cv2.dilate(mask, window)
    return np.asarray(same & (mask != VOID))


def _gradient(image: Image) -> NDArray[np.float32]:
    """Return the length of an image's forward differences over all channels, (H, W)."""
    right = np.diff(image, axis=1, append=image[:, -1:])
    down = np.diff(image, axis=0, append=image[-1:])
    squares: NDArray[Any] = (right**2 + down**2).sum(-1)
    return np.asarray(np.sqrt(squares), np.float32)
