"""The forms of the contrast by name, and what each needs."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from torch import Tensor

from csgisnet.objective.authors import triplet_of_authors
from csgisnet.objective.config import LossConfig
from csgisnet.objective.contrast import (
    Features,
    contrast_positive,
    contrast_push,
    contrast_ratio,
    contrast_triplet,
)
from csgisnet.objective.directional import closer_than, contrast_directional


class Compared(NamedTuple):
    """What a contrast compares."""

    result: Tensor
    """(B, 3, H, W)"""
    label: Tensor
    """(B, 3, H, W)"""
    negatives: Tensor
    """(B, N, 3, H, W)"""
    features: Features
    gate: Tensor | None
    """Which negatives count, (B, N); None for all."""


Contrast: TypeAlias = Callable[[Compared, LossConfig], Tensor]

FORMS: dict[str, Contrast] = {
    "ratio": lambda x, c: contrast_ratio(
        *x[:4], layers=c.contrast_layers, eps=c.contrast_eps, gate=x.gate
    ),
    "triplet": lambda x, c: contrast_triplet(
        *x[:4], image_margin=c.image_margin, gram_margin=c.gram_margin, gate=x.gate
    ),
    "directional": lambda x, _: contrast_directional(*x[:3], x.gate),
    "push": lambda x, c: contrast_push(*x[:4], layers=c.contrast_layers, gate=x.gate),
    "positive": lambda x, c: contrast_positive(
        x.result, x.label, x.features, layers=c.contrast_layers
    ),
    "authors": lambda x, c: triplet_of_authors(
        *x[:4], image_margin=c.image_margin, gram_margin=c.gram_margin
    ),
}
"""Name in `LossConfig.contrast_form` to the function that computes it."""

WITHOUT_FEATURES = frozenset({"directional"})
"""Forms that compare images alone."""

USING_LAYERS = frozenset({"ratio", "push", "positive"})
"""Forms in which every feature layer has its weight."""


def needs_features(config: LossConfig) -> bool:
    """Tell whether the contrast is in use, in a form that needs a feature extractor."""
    return "contrast" in config.terms and config.contrast_form not in WITHOUT_FEATURES


def contrast_loss(
    result: Tensor, label: Tensor, negatives: Tensor, features: Features, config: LossConfig
) -> Tensor:
    """Return the contrast in the form that `config` names, gated if it says so."""
    gate = closer_than(result, label, negatives) if config.contrast_gate else None
    return FORMS[config.contrast_form](Compared(result, label, negatives, features, gate), config)
