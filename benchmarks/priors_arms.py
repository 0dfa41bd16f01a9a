"""The arms of the study of priors: what each changes, placebos and the oracle among them."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from csgisnet.networks.smoothing import Smoothing, SmoothingNetwork
from csgisnet.objective.config import LossConfig
from csgisnet.objective.losses import Batch, Teachers, total_loss

CLASSES = 7
"""Classes of the scenes of `vocsmooth generate --family classes`, the ground included."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Arm:
    """What is trained differently."""

    losses: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Settings of the losses beside those of the baseline."""
    shuffled: Literal["mask", "negatives"] | None = None
    """What is that of another sample of the batch, if anything."""
    oracle: bool = False
    """Whether the network also sees the mask."""
    noise: float = 0.0
    """Share of a random gradient in the result."""

    def config(self, base: LossConfig) -> LossConfig:
        """Return the losses of the arm."""
        return dataclasses.replace(base, **self.losses)


def contrast(form: str, share: float, **more: object) -> Arm:
    """A form of the contrast at a share of the gradient."""
    return Arm(losses={"contrast_form": form, "contrast_share": share, **more})


BASELINE = "none"

ARMS: dict[str, Arm] = {
    BASELINE: Arm(),
    "oracle": Arm(oracle=True),
    "semantic 0.1": Arm(losses={"semantic_share": 0.1}),
    "semantic shuffled 0.1": Arm(losses={"semantic_share": 0.1}, shuffled="mask"),
    "ratio 0.1": contrast("ratio", 0.1),
    "directional 0.1": contrast("directional", 0.1),
    "directional shuffled 0.1": dataclasses.replace(
        contrast("directional", 0.1), shuffled="negatives"
    ),
    "region 0.1": Arm(losses={"region_share": 0.1}),
    "region shuffled 0.1": Arm(losses={"region_share": 0.1}, shuffled="mask"),
    "inversion 0.1": Arm(losses={"inversion_share": 0.1}),
    "positives only 0.1": contrast("positive", 0.1),
    "noise 0.1": Arm(noise=0.1),
    "ratio gated 0.1": contrast("ratio", 0.1, contrast_gate=True),
    "triplet 0.1": contrast("triplet", 0.1),
    "copies 0.1": contrast("push", 0.1, contrast_copies=(50,)),
    "both 0.1": contrast("ratio", 0.1, semantic_share=0.1),
    "semantic 0.3": Arm(losses={"semantic_share": 0.3}),
    "semantic shuffled 0.3": Arm(losses={"semantic_share": 0.3}, shuffled="mask"),
    "ratio 0.3": contrast("ratio", 0.3),
    "directional 0.3": contrast("directional", 0.3),
    "directional shuffled 0.3": dataclasses.replace(
        contrast("directional", 0.3), shuffled="negatives"
    ),
    "region 0.3": Arm(losses={"region_share": 0.3}),
    "region shuffled 0.3": Arm(losses={"region_share": 0.3}, shuffled="mask"),
    "inversion 0.3": Arm(losses={"inversion_share": 0.3}),
    "positives only 0.3": contrast("positive", 0.3),
    "noise 0.3": Arm(noise=0.3),
    "ratio gated 0.3": contrast("ratio", 0.3, contrast_gate=True),
    "triplet 0.3": contrast("triplet", 0.3),
    "copies 0.3": contrast("push", 0.3, contrast_copies=(50,)),
}
"""Every arm by name, in the order in which they are trained."""


def prepare(arm: Arm, network: SmoothingNetwork) -> SmoothingNetwork:
    """Return the network that the arm goes on with, a copy."""
    network = copy.deepcopy(network)
    # Training asks no more of a network than an oracle has.
    return cast("SmoothingNetwork", Oracle(network)) if arm.oracle else network


def changed(arm: Arm, batch: Batch) -> Batch:
    """Return a batch as the arm sees it."""
    if arm.shuffled:
        batch = batch._replace(**{arm.shuffled: getattr(batch, arm.shuffled).roll(1, dims=0)})
    if arm.oracle:
        batch = batch._replace(input=with_mask(batch.input, batch.mask))
    return batch


def with_mask(image: Tensor, mask: Tensor) -> Tensor:
    """Append a mask (B, H, W) to images (B, 3, H, W), a channel a class; none where it is void."""
    known = torch.where(mask < CLASSES, mask, CLASSES)
    planes = functional.one_hot(known, CLASSES + 1)[..., :CLASSES]
    return torch.cat([image, planes.movedim(-1, 1).to(image.dtype)], dim=1)


class Oracle(nn.Module):
    """A smoothing network whose first layer also sees the mask, at first without effect."""

    def __init__(self, network: SmoothingNetwork) -> None:
        super().__init__()
        self.network = network
        config = network.config
        self.first = _WithMask(network.descriptor.conv_in, config.width, config.shuffle)
        network.descriptor.add_module("conv_in", self.first)

    def forward(self, image: Tensor) -> Smoothing:
        """Smooth images (B, 3 + CLASSES, H, W), as `with_mask` returns them."""
        self.first.mask = image[:, 3:]
        smoothing: Smoothing = self.network(image[:, :3])
        return smoothing


class _WithMask(nn.Module):
    """A first layer plus one that sees the mask at the layer's resolution."""

    def __init__(self, layer: nn.Module, width: int, factor: int) -> None:
        super().__init__()
        self.layer, self.factor = layer, factor
        self.of_mask = nn.Conv2d(CLASSES, width, 3, padding=1, bias=False)
        nn.init.zeros_(self.of_mask.weight)
        self.mask: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.mask is None:
            raise ValueError("No mask has been given.")
        mask = functional.avg_pool2d(self.mask, self.factor, ceil_mode=True)
        features: Tensor = self.layer(x) + self.of_mask(mask)
        return features


def objective_of(arm: Arm, seed: int) -> Callable[..., tuple[Tensor, dict[str, Tensor]]]:
    """Return `total_loss`, with a random gradient of the arm's share added to that in the result.

    The random part has the norm of the rest times the share, and adds nothing to the value.
    """
    if not arm.noise:
        return total_loss
    generator = torch.Generator().manual_seed(seed)

    def noisy(
        smoothing: Smoothing,
        batch: Batch,
        teachers: Teachers,
        config: LossConfig,
        weights: Mapping[str, float] | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        total, terms = total_loss(smoothing, batch, teachers, config, weights)
        (slope,) = torch.autograd.grad(total, smoothing.result, retain_graph=True)
        noise = torch.randn(slope.shape, generator=generator)
        noise *= arm.noise * slope.norm() / noise.norm()
        along = (noise * smoothing.result).sum()
        return total + along - along.detach(), terms

    return noisy
