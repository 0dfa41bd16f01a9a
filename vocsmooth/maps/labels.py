"""Choose a photograph's label: smooth candidates, and judge them by the segmentation mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vocsmooth.classes import VOID
from vocsmooth.maps.recipe import Labels, Operator
from vocsmooth.operators.table import smooth

Image = NDArray[np.float32]

Flags = NDArray[np.bool_]

REACH = 3
"""How far from a pixel both sides of a class boundary are sought: just across VOC's void rims of
five pixels, so that a blurred boundary counts as partly lost."""

MARGIN = 4
"""How far from other classes and void a pixel must lie to count as inside a region."""

_WINDOW = (2 * REACH + 1, 2 * REACH + 1)

BOUNDARY_WEIGHT = 1.5
"""How many times as much a kept boundary counts as removed texture: with 1 the winners wash out
faces and soft outlines to the eye, with 2 they keep coarse texture."""


@dataclass(frozen=True, kw_only=True)
class Boundary:
    """Where a class meets others."""

    own: Flags
    """(H, W), pixels of the class."""
    where: Flags
    """(H, W), the N pixels within `REACH` of the class and of another one."""
    own_share: NDArray[np.float32]
    """(N, 1), share of the class in the window around each of them."""
    other_share: NDArray[np.float32]
    """(N, 1), share of all other classes, void not counted."""


@dataclass(frozen=True, kw_only=True)
class Structure:
    """What a mask says about a photograph: where its structure is and where there is none."""

    valid: Flags
    """(H, W), pixels that are not void."""
    boundaries: tuple[Boundary, ...]
    """One for each class."""
    contrasts: tuple[NDArray[np.float32], ...]
    """(N, 3) for each boundary: the photograph's mean over the class minus that over the others."""
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
    operator: Operator | None
    """What made it; None for an exact one."""
    method: str
    """"screened", "fixed", "exact", or "fallback" where the mask shows no boundary to judge by."""
    score: float | None = None
    """The best candidate's score; None unless screened."""
    candidates: tuple[Candidate, ...] = ()
    """All candidates, in the recipe's order."""


def choose_label(photo: Image, structure: Structure | None, labels: Labels) -> Choice:
    """Smooth a photograph with every candidate, and take the best one as judged by the mask.

    Parameters
    ----------
    photo : ndarray, (H, W, 3) float32 in [0, 1]
        RGB.
    structure : Structure or None
        From `find_structure`; None if there is nothing to judge by.
    labels : Labels
        The recipe's part. With a fixed operator or exact photographs nothing is judged; without
        structure the fallback operator is used.

    Returns
    -------
    Choice
        The first of those with the best score; whether it is good enough is for the caller to say.
    """
    if labels.exact:
        return Choice(image=photo, operator=None, method="exact")
    if labels.fixed:
        return Choice(image=_apply(photo, labels.fixed), operator=labels.fixed, method="fixed")
    if structure is None:
        image = _apply(photo, labels.fallback)
        return Choice(image=image, operator=labels.fallback, method="fallback")
    return _screen(photo, structure, labels.expand())


def find_structure(photo: Image, mask: NDArray[np.uint8]) -> Structure | None:
    """Locate class boundaries and regions; return None if the mask lacks either."""
    valid, inside = mask != VOID, _find_inside(mask)
    shares = _window_sum(None, valid)
    found = [_find_boundary(mask == c, shares) for c in np.unique(mask[valid])]
    boundaries = tuple(boundary for boundary in found if boundary.where.any())
    if not boundaries or not inside.any():
        return None
    total = _window_sum(photo, valid)
    return Structure(
        valid=valid,
        boundaries=boundaries,
        contrasts=tuple(_contrast(photo, boundary, total) for boundary in boundaries),
        inside=inside,
        energy=float(_gradient(photo)[inside].mean()),
    )


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
    kept = there = 0.0
    total = _window_sum(image, structure.valid)
    for boundary, reference in zip(structure.boundaries, structure.contrasts, strict=True):
        strength = np.linalg.norm(reference, axis=1)
        product = (_contrast(image, boundary, total) * reference).sum(1)
        along = product / np.maximum(strength, 1e-6)
        kept += float(np.clip(along, 0, strength).sum())
        there += float(strength.sum())
    return kept / max(there, 1e-6)


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
    """Judge the results of one or more operators, keeping only the best image so far in memory."""
    best: tuple[Candidate, Image] | None = None
    judged = list[Candidate]()
    for operator in operators:
        image = _apply(photo, operator)
        kept, left = boundary_kept(structure, image), energy_left(structure, image)
        candidate = Candidate(operator=operator, kept=kept, left=left, score=score(kept, left))
        judged.append(candidate)
        if best is None or candidate.score > best[0].score:
            best = candidate, image
    if best is None:
        raise ValueError("there are no label candidates to screen")
    winner, image = best
    return Choice(
        image=image,
        operator=winner.operator,
        method="screened",
        score=winner.score,
        candidates=tuple(judged),
    )


def _apply(photo: Image, operator: Operator) -> Image:
    """Smooth with a recipe's operator."""
    return np.asarray(smooth(photo, operator.operator, **operator.params), np.float32)


def _find_boundary(own: Flags, shares: Image) -> Boundary:
    """Find where a class meets others; `shares` is the share of all classes in each window."""
    own_share = _window_sum(None, own)
    other_share = shares - own_share
    least = 0.5 / _WINDOW[0] ** 2  # half a pixel: more than rounding
    where = (own_share > least) & (other_share > least)
    return Boundary(
        own=own,
        where=where,
        own_share=own_share[where][:, None],
        other_share=other_share[where][:, None],
    )


def _contrast(image: Image, boundary: Boundary, total: Image) -> NDArray[np.float32]:
    """Return the mean of the class minus that of the others around each boundary pixel, (N, 3)."""
    own = _window_sum(image, boundary.own)[boundary.where]
    others = total[boundary.where] - own
    return np.asarray(own / boundary.own_share - others / boundary.other_share, np.float32)


def _window_sum(image: Image | None, side: Flags) -> Image:
    """Sum an image over one side within `REACH`; without an image, count the pixels.

    In units of the window's pixel number; what lies outside the image counts as mirrored.
    """
    weight = side.astype(np.float32)
    return np.asarray(cv2.blur(weight if image is None else image * weight[..., None], _WINDOW))


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
