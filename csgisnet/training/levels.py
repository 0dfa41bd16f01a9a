"""Labels for a network with a level, from the exact label to what people draw as boundaries."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from csgisnet.checkpoints.networks import load_network
from csgisnet.device import Precision, use_precision
from csgisnet.errors import ChannelOrderWarning, ConfigError
from csgisnet.networks.smoothing import SmoothingNetwork
from csgisnet.objective.losses import Batch
from csgisnet.prediction.fused import executable
from csgisnet.training.data import DataConfig


class LevelLabels:
    """Mixes each label with a simpler version of itself, by the level of its sample.

    What remains when a network is applied at half the resolution again and again, and once more at
    the whole, comes close to what people draw: on photographs of BSDS500 the gradient of such a
    result agrees better with them than that of one pass, and than that of RTV or L0 after one pass.
    A level between 0 and 1 may be that of one pass at the whole resolution: a blend of the other
    two shows faint structure at half its contrast, which is neither kept nor removed.

    Parameters
    ----------
    smoother : SmoothingNetwork
        Trained weights; they are copied.
    passes : int
        How many times it is applied at half the resolution.
    one_pass_level : float
        Level in [0, 1) of what it makes in one pass at the whole resolution; 0 for none.
    device : torch.device
        Where batches are.
    precision : Precision
        Of its forward pass.
    """

    def __init__(
        self,
        smoother: SmoothingNetwork,
        passes: int,
        one_pass_level: float,
        device: torch.device,
        precision: Precision,
    ) -> None:
        self._smooth, self._passes = frozen(smoother, device, precision), passes
        self._one_pass_level = one_pass_level

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch with the labels of its levels."""
        level, middle, label = batch.level[:, None, None, None], self._one_pass_level, batch.label
        if middle:
            label = torch.lerp(label, self._smooth(label), (level / middle).clamp(max=1))
        simple = self.simplify(batch.label)
        return batch._replace(label=torch.lerp(label, simple, beyond(level, middle)))

    @torch.no_grad()
    def simplify(self, label: Tensor) -> Tensor:
        """Return the labels of level 1, for labels (B, 3, H, W) in [0, 1] of level 0."""
        simple = functional.interpolate(label, scale_factor=0.5, mode="area")
        for _ in range(self._passes):
            simple = self._smooth(simple)
        simple = functional.interpolate(simple, size=label.shape[-2:], mode="bicubic")
        return self._smooth(simple.clamp(0, 1))  # its contours become sharp again


def beyond(level: Tensor, middle: float) -> Tensor:
    """Return how far levels are on the way from a middle one to 1; 0 for those below."""
    return ((level - middle) / (1 - middle)).clamp(min=0)


def frozen(
    network: SmoothingNetwork, device: torch.device, precision: Precision
) -> Callable[..., Tensor]:
    """Return what a network does now, whatever becomes of its weights.

    The function takes images (B, 3, H, W) in [0, 1] and, if the network does, their levels (B,); it
    returns images smoothed and clipped, without a gradient.
    """
    copy = executable(network, "bfloat16" if precision == "bfloat16" else "float32", device)

    @torch.no_grad()
    def smooth(images: Tensor, *level: Tensor) -> Tensor:
        with use_precision(precision, device):
            result: Tensor = copy(images, *level).result
        return result.float().clamp(0, 1)

    return smooth


def load_simplifier(path: Path, data: DataConfig) -> SmoothingNetwork:
    """Load a network that makes the labels of level 1.

    Raises
    ------
    ConfigError
        Nothing would ask it, or its file does not say the order of its channels.
    CheckpointError
        The file is missing, damaged, or not a smoothing network.
    """
    if not data.level_passes:
        raise ConfigError(
            f"A simplifier is given ({path}), but data.level_passes is 0, so nothing would ask it. "
            "Set data.level_passes, or leave out --simplifier."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("error", ChannelOrderWarning)
        try:
            return load_network(path)
        except ChannelOrderWarning:
            raise ConfigError(
                f"{path} does not say the order of its channels. Convert it first: `csgisnet "
                "export --checkpoint FILE --channel-order ORDER --out FILE.safetensors`."
            ) from None
