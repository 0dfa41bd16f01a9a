"""Settings of the objective: which terms it has, in which form, and with which weight."""

from __future__ import annotations

import dataclasses
from typing import Literal, TypeAlias

TERMS = ("l1", "structure", "edge", "contrast", "semantic", "inversion", "region", "tv")
"""Names of the terms: the weights in `LossConfig`, and what `total_loss` logs."""

BASE = ("l1", "structure")
"""The terms that a share is relative to: they say what the result should be, pixel by pixel."""

PRIORS = ("contrast", "semantic", "inversion", "region")
"""The terms whose weight can be given as a share of the gradient."""

Form: TypeAlias = Literal["ratio", "triplet", "directional", "push", "positive", "authors"]
"""Forms of the contrast, see `csgisnet.objective.forms.FORMS`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Weights and forms of the terms; a term of weight 0 and share 0 is left out.

    A share takes the place of a weight: on the first 16 batches after the warm-up, the weight is
    set so that the term's gradient in the network's weights has this share of the norm of the
    gradient of L1 and structure, on average. Until then the term is only logged.
    """

    l1: float = 1.0
    """Mean absolute error of result and coarse image."""
    structure: float = 0.1
    """SSIM loss over four scales, of result and coarse image."""
    coarse: float = 1.0
    """Weight of the coarse image in these two terms, relative to the result's."""
    structure_pool: Literal["max", "average"] = "max"
    """How the scales are computed; the paper's code pools by maximum."""
    structure_border: Literal["inside", "zeros"] = "inside"
    """Count only windows inside the image, or, as the authors, zeros around it."""
    edge: float = 131.072
    """Balanced cross-entropy of the edges; equals the authors' 0.001 x sum over 8 x 128 x 128."""
    edge_form: Literal["mean", "authors"] = "mean"
    """Mean with a least weight, or the authors' sum over the batch, which is 0 without an edge."""
    contrast: float = 0.1
    """Weight of closeness to the label relative to closeness to the negatives."""
    contrast_share: float = 0.0
    """Share of the gradient, in the place of `contrast`."""
    contrast_form: Form = "ratio"
    """What the contrast compares, and how."""
    contrast_gate: bool = False
    """Let a negative count only once the result is closer to the label than the negative is."""
    contrast_copies: tuple[int, ...] = ()
    """Steps between updates of slow copies of the network, whose results take the place of the
    data's negatives; each copy costs a third of a step. Empty for none."""
    contrast_layers: tuple[float, ...] = (1 / 16, 1 / 8, 1 / 4, 1.0)
    """Weight of each feature layer in "ratio", "push" and "positive", from shallow to deep."""
    contrast_eps: float = 0.01
    """Feature distance below which a negative counts as the label itself, in the ratio."""
    image_margin: float = 0.3
    """Largest margin of the triplet on images."""
    gram_margin: float = 0.04
    """Largest margin of the triplet on Gram matrices."""
    semantic: float = 0.01
    """Cross-entropy of a frozen segmenter fed the result."""
    semantic_share: float = 0.0
    """Share of the gradient, in the place of `semantic`."""
    inversion: float = 0.0
    """Distance to the averaged network's result for the inverted texture."""
    inversion_share: float = 0.0
    """Share of the gradient, in the place of `inversion`."""
    region: float = 0.0
    """Statistics of the mask's regions, variation inside them, contrast across their borders."""
    region_share: float = 0.0
    """Share of the gradient, in the place of `region`."""
    tv: float = 0.0
    """Total variation of the result away from edges."""

    def __post_init__(self) -> None:
        weights = [getattr(self, term) for term in TERMS]
        if min(weights) < 0 or not self.terms:
            raise ValueError(f"the weights {', '.join(TERMS)} must be >= 0, and one of them > 0.")
        if not self.coarse >= 0:
            raise ValueError(f"coarse must be at least 0, got {self.coarse}.")
        if not self.contrast_eps > 0:
            raise ValueError(f"contrast_eps must be greater than 0, got {self.contrast_eps}.")
        for term, share in self.shares.items():
            if not 0 <= share <= 10:
                raise ValueError(f"{term}_share must be in [0, 10], got {share}.")
            if share and not max(getattr(self, base) for base in BASE) > 0:
                raise ValueError(
                    f"{term}_share is relative to the gradient of {' and '.join(BASE)}, and both "
                    "have the weight 0."
                )
        if any(period < 1 for period in self.contrast_copies):
            raise ValueError(f"contrast_copies must be at least 1, got {self.contrast_copies}.")

    @property
    def shares(self) -> dict[str, float]:
        """Return the share of each of `PRIORS`, 0 for those that have a weight."""
        return {term: getattr(self, f"{term}_share") for term in PRIORS}

    @property
    def weights(self) -> dict[str, float]:
        """Return the weight of each term that the settings alone decide: 0 if it has a share."""
        shares = self.shares
        return {term: 0.0 if shares.get(term) else getattr(self, term) for term in TERMS}

    @property
    def terms(self) -> tuple[str, ...]:
        """Return the names of the terms in use, in the order of `TERMS`."""
        shares = self.shares
        return tuple(term for term in TERMS if getattr(self, term) > 0 or shares.get(term, 0) > 0)

    def without(self, *terms: str) -> LossConfig:
        """Return the settings with these terms off.

        Raises
        ------
        ValueError
            No term would be left.
        """
        off = dict.fromkeys(terms, 0.0)
        off |= {f"{term}_share": 0.0 for term in terms if term in PRIORS}
        return dataclasses.replace(self, **off)  # type: ignore[arg-type]
