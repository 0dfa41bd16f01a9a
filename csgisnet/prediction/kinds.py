"""Pictures of other kinds than photographs, to find and to judge the ranges for int8.

With ranges from photographs alone, values that only noise, print and full contrast reach are
clipped: their results were 3 to 9 grey levels off on average.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont
from torch import Tensor

from csgisnet.prediction.fused import Image
from csgisnet.prediction.precision import Difference, difference
from csgisnet.prediction.smoother import Smoother

KINDS = ("photographs", "contrast", "noise", "text")

_SIDE = 256

_MADE = 3
"""Pictures of noise and of text."""

_CALIBRATION, _JUDGEMENT = 0, 1
"""Seeds, so that ranges are judged on other pictures than they come from."""

_LARGEST = 1024
"""Side of the part of a photograph that is looked at: ten of a camera took minutes."""

_MOST_JUDGED = 10
"""Photographs on which ranges are judged."""


def contrasted(image: Image) -> Image:
    """Return the middle of an image (H, W, 3) with its contrast times three, clipped to [0, 1]."""
    window = _middle(image, _SIDE)
    stronger: Image = (3 * (window - window.mean()) + 0.5).clip(0, 1).astype(np.float32)
    return stronger


def noise(seed: int) -> Image:
    """Return white noise, (256, 256, 3): every value is drawn by itself, from all or 0 and 1."""
    rng = np.random.default_rng(seed)
    values = rng.random((_SIDE, _SIDE, 3), np.float32)
    return values if seed % 2 else (values > 0.5).astype(np.float32)


def text(seed: int) -> Image:
    """Return lines of letters, (256, 256, 3): black on white, white on black, or coloured."""
    rng = np.random.default_rng(seed)
    paper, ink = [((255, 255, 255), (0, 0, 0)), ((0, 0, 0), (255, 255, 255))][seed % 2]
    if seed % 3 == 2:
        red, green, blue, *other = (int(value) for value in rng.integers(0, 256, 6))
        paper, ink = (red, green, blue), (other[0], other[1], other[2])
    canvas = Pillow.new("RGB", (_SIDE, _SIDE), paper)
    draw, top = ImageDraw.Draw(canvas), 0
    while top < _SIDE:
        size = int(rng.integers(9, 40))
        letters = "".join(rng.choice(list("ABCDEFGHKLMNRSTVXYZabdeghkmnrst0123456789 .,:"), 40))
        draw.text((4, top), letters, fill=ink, font=ImageFont.load_default(size))
        top += size + 4
    pixels: NDArray[np.uint8] = np.asarray(canvas)
    return pixels.astype(np.float32) / np.float32(255)


def calibration_pictures(photographs: Iterable[Image]) -> Iterator[Tensor]:
    """Yield all kinds as (1, 3, H, W), for `csgisnet.networks.quantising.calibrate`.

    Parameters
    ----------
    photographs : iterable of (H, W, 3) float32 in [0, 1]
        Without one, nothing is yielded.
    """
    some = False
    for photograph in photographs:
        some = True
        yield as_batch(_middle(photograph, _LARGEST))
        yield as_batch(contrasted(photograph))
    if some:
        for make in (noise, text):
            for k in range(_MADE):
                yield as_batch(make(_MADE * 2 * _CALIBRATION + k))


def judge(
    fast: Smoother, exact: Smoother, photographs: Iterable[Image]
) -> Mapping[str, Difference]:
    """Return how far the results of one smoother are from another's, for each of `KINDS`.

    Noise and text are not those of `calibration_pictures`; of the photographs at most ten are
    looked at, in the middle.
    """
    shown = [_middle(image, 2 * _SIDE) for image in itertools.islice(photographs, _MOST_JUDGED)]
    seeds = [_MADE * 2 * _JUDGEMENT + k for k in range(_MADE)]
    pictures = {
        "photographs": shown,
        "contrast": [contrasted(image) for image in shown],
        "noise": [noise(seed) for seed in seeds],
        "text": [text(seed) for seed in seeds],
    }
    return {kind: _apart(fast, exact, pictures[kind]) for kind in KINDS}


def _apart(fast: Smoother, exact: Smoother, images: Iterable[Image]) -> Difference:
    """Return the difference over all values of some images."""
    ones, others = [], []
    for image in images:
        ones.append(fast.smooth(image).ravel())
        others.append(exact.smooth(image).ravel())
    return difference(np.concatenate(ones), np.concatenate(others))


def _middle(image: Image, side: int) -> Image:
    """Return a copy of the middle of an image (H, W, 3), of at most this side."""
    top, left = (max(0, (length - side) // 2) for length in image.shape[:2])
    return image[top : top + side, left : left + side].copy()


def as_batch(image: Image) -> Tensor:
    """Return an image as a batch of one, (1, 3, H, W)."""
    return torch.from_numpy(image).permute(2, 0, 1)[None]
