"""Quality on whole images of a split, of the result and of the untouched input beside it."""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from csgisnet.evaluation.metrics import psnr, ssim
from csgisnet.evaluation.samples import spread_evenly
from csgisnet.prediction.smoother import Smoother
from csgisnet.training.distributed import Processes
from vocsmooth.shards import Split

_ROWS = 3

_SIDE = 192

_MAX_PSNR = 100.0
"""Stands for the infinite PSNR of equal images, so that means stay finite."""

_MIN_SIDE = 11


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scores:
    """Means over samples; PSNR in dB, SSIM by Wang's definition."""

    samples: int
    psnr_input: float
    psnr_result: float
    ssim_input: float
    ssim_result: float


def choose_samples(split: Split, count: int) -> list[int]:
    """Return `count` samples spread evenly (0: all) of those large enough to be measured."""
    large = np.flatnonzero((split.shapes >= _MIN_SIDE).all(axis=1))
    return [int(large[number]) for number in spread_evenly(len(large), count)]


def score(smoother: Smoother, split: Split, samples: list[int], processes: Processes) -> Scores:
    """Smooth whole samples and compare with their labels; processes share the work."""
    own = [_score_one(smoother, split, i) for i in samples[processes.rank :: processes.world]]
    sums = np.sum(own, axis=0) if own else np.zeros(4)
    # float64 on the CPU; MPS has none, and no processes to share with either.
    kind = torch.float64 if processes.device.type != "mps" else torch.float32
    total = processes.total(torch.tensor(sums, dtype=kind, device=processes.device))
    means = (total / max(1, len(samples))).tolist()
    return Scores(
        samples=len(samples),
        psnr_input=means[0],
        psnr_result=means[1],
        ssim_input=means[2],
        ssim_result=means[3],
    )


def _score_one(smoother: Smoother, split: Split, index: int) -> list[float]:
    """Return PSNR and SSIM of input and result of one sample, in the order of `Scores`."""
    maps = split.read(index, ("input", "label"))
    image, label = _to_float(maps["input"]), _to_float(maps["label"])
    result = smoother.smooth(image)
    quality = [min(psnr(x, label), _MAX_PSNR) for x in (image, result)]
    return [*quality, ssim(image, label), ssim(result, label)]


def _to_float(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Scale 0..255 to [0, 1]."""
    return pixels.astype(np.float32) / np.float32(255)


def draw_panel(
    smoother: Smoother, split: Split, samples: list[int], negatives: tuple[str, ...]
) -> Tensor:
    """Return a picture (3, H, W) uint8: a row a sample of input, result, label and negatives."""
    names = ("input", "label", *(n for n in negatives if n != "input"))
    rows = []
    for index in samples[:: max(1, len(samples) // _ROWS)][:_ROWS]:
        maps = {name: _centre(pixels) for name, pixels in split.read(index, names).items()}
        result = smoother.smooth(maps["input"].astype(np.float32) / np.float32(255))
        first, *others = maps.values()
        rows.append(np.hstack([first, np.rint(result * 255).astype(np.uint8), *others]))
    return torch.from_numpy(np.vstack(rows)).permute(2, 0, 1)


def _centre(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Cut the middle out of an image; a smaller one is filled up with black."""
    top, left = (max(0, (side - _SIDE) // 2) for side in pixels.shape[:2])
    part = pixels[top : top + _SIDE, left : left + _SIDE]
    return np.pad(part, [(0, _SIDE - n) for n in part.shape[:2]] + [(0, 0)])
