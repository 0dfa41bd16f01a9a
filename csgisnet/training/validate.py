"""Score a network on full-size images of a split, beside the untouched input."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from csgisnet.device import Precision
from csgisnet.evaluation.measure import finite_psnr
from csgisnet.evaluation.metrics import SMALLEST_SIDE, ssim
from csgisnet.evaluation.samples import spread_evenly
from csgisnet.networks.levels import at_level
from csgisnet.networks.own import OwnNetwork
from csgisnet.networks.smoothing import SmoothingNetwork
from csgisnet.prediction.fused import Image, apply_network
from csgisnet.prediction.smoother import Smoother
from csgisnet.training.config import Config
from csgisnet.training.distributed import Processes
from vocsmooth.arrays import to_float, to_uint
from vocsmooth.shards import Split

_ROWS = 3
"""Samples in a panel."""

_SIDE = 192
"""Side of each of a panel's images, in pixels."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scores:
    """Means over samples; PSNR in dB, SSIM by Wang's definition."""

    samples: int
    psnr_input: float
    psnr_result: float
    ssim_input: float
    ssim_result: float


class Quality(NamedTuple):
    """How close an image is to its label."""

    psnr: float
    ssim: float


class Smooths(Protocol):
    """What can be validated."""

    def smooth(self, image: Image) -> Image:
        """Return an image (H, W, 3) in [0, 1], smoothed."""


class OwnSmoother:
    """Smooths whole images with a network of the caller's own: nothing is known of its tiles."""

    def __init__(self, network: OwnNetwork, device: torch.device, precision: Precision) -> None:
        self._network, self._device, self._precision = network, device, precision

    def smooth(self, image: Image) -> Image:
        """Return an image (H, W, 3) in [0, 1], smoothed and clipped."""
        result = apply_network(self._network, self._precision, self._device, [image])[0][0]
        clipped: Image = result.clip(0, 1)
        return clipped


class Validation:
    """Measures a network in training on the same samples each time.

    Parameters
    ----------
    split : Split
        What to validate on.
    config : Config
        Settings of the run: how many samples, in which precision, which negatives to show.
    processes : Processes
        Who shares the work, and on which device.
    """

    def __init__(self, split: Split, config: Config, processes: Processes) -> None:
        self._split, self._config, self._processes = split, config, processes
        self._samples = choose_samples(split, config.run.validate_samples)
        self._measure_input = functools.cache(functools.partial(_measure_input, split))

    def score(self, network: SmoothingNetwork | OwnNetwork) -> Scores:
        """Return the network's scores; all processes must call together.

        The inputs are measured the first time only: they never change.
        """
        smoother, measure = self._smoother(network), self._measure_input
        return score(smoother, self._split, self._samples, self._processes, measure)

    def draw_panel(self, network: SmoothingNetwork | OwnNetwork) -> Tensor:
        """Return a picture of some of the results, see `draw_panel`."""
        negatives = self._config.data.negatives
        return draw_panel(self._smoother(network), self._split, self._samples, negatives)

    def _smoother(self, network: SmoothingNetwork | OwnNetwork) -> Smooths:
        """Wrap the network as it is now."""
        device = self._processes.device
        precision = self._config.run.precision_on(device)
        if isinstance(network, OwnNetwork):
            return OwnSmoother(network, device, precision)
        if self._config.data.level_passes:  # whichever level it is used at, labels are those of 0
            network = at_level(network, 0.0)
        return Smoother(network, device=str(device), precision=precision)


def choose_samples(split: Split, count: int) -> list[int]:
    """Return `count` samples, spread evenly over those large enough to be measured; 0 takes all."""
    large = np.flatnonzero((split.shapes >= SMALLEST_SIDE).all(axis=1))
    return [int(large[number]) for number in spread_evenly(len(large), count)]


def score(
    smoother: Smooths,
    split: Split,
    samples: list[int],
    processes: Processes,
    measure: Callable[[int], Quality] | None = None,
) -> Scores:
    """Smooth samples at full size and compare them with their labels; processes share the work.

    `measure` returns the quality of a sample's input, for callers that know it already.
    """
    measure = measure or functools.partial(_measure_input, split)
    own = [
        (*measure(index), *_measure_result(smoother, split, index))
        for index in samples[processes.rank :: processes.world]
    ]
    sums = np.sum(own, axis=0) if own else np.zeros(4)
    # float64 on the CPU; MPS has none, and no processes to share with either.
    kind = torch.float64 if processes.device.type != "mps" else torch.float32
    total = processes.total(torch.tensor(sums, dtype=kind, device=processes.device))
    means = (total / max(1, len(samples))).tolist()
    return Scores(
        samples=len(samples),
        psnr_input=means[0],
        ssim_input=means[1],
        psnr_result=means[2],
        ssim_result=means[3],
    )


def _measure_input(split: Split, index: int) -> Quality:
    """Compare the input of a sample with its label."""
    maps = split.read(index, ("input", "label"))
    return _measure(to_float(maps["input"]), to_float(maps["label"]))


def _measure_result(smoother: Smooths, split: Split, index: int) -> Quality:
    """Smooth the input of a sample and compare the result with its label."""
    maps = split.read(index, ("input", "label"))
    return _measure(smoother.smooth(to_float(maps["input"])), to_float(maps["label"]))


def _measure(image: Image, label: Image) -> Quality:
    """Compare an image with a label."""
    return Quality(finite_psnr(image, label), ssim(image, label))


def draw_panel(
    smoother: Smooths, split: Split, samples: list[int], negatives: tuple[str, ...]
) -> Tensor:
    """Return a picture (3, H, W) uint8: one row a sample, with input, result, label, negatives."""
    names = ("input", "label", *(n for n in negatives if n != "input"))
    rows = []
    for index in samples[:: max(1, len(samples) // _ROWS)][:_ROWS]:
        maps = {name: _centre(pixels) for name, pixels in split.read(index, names).items()}
        result = np.nan_to_num(smoother.smooth(to_float(maps["input"])))  # NaN shows as black
        first, *others = maps.values()
        rows.append(np.hstack([first, to_uint(result, np.uint8), *others]))
    return torch.from_numpy(np.vstack(rows)).permute(2, 0, 1)


def _centre(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Cut out the centre of an image, padded with black at the bottom and right if smaller."""
    top, left = (max(0, (side - _SIDE) // 2) for side in pixels.shape[:2])
    centre = pixels[top : top + _SIDE, left : left + _SIDE]
    return np.pad(centre, [(0, _SIDE - n) for n in centre.shape[:2]] + [(0, 0)])
