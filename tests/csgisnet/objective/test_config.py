"""Settings of the objective: weights, shares, and what is refused."""

from __future__ import annotations

import typing

import pytest

from csgisnet.objective.config import TERMS, Form, LossConfig
from csgisnet.objective.forms import FORMS, needs_features


def test_every_form_that_a_file_may_name_is_in_the_table() -> None:
    assert set(typing.get_args(Form)) == set(FORMS)


def test_a_share_takes_the_place_of_a_weight() -> None:
    config = LossConfig(contrast=0.3, contrast_share=0.1, region_share=0.2)
    assert config.weights["contrast"] == 0
    assert config.terms == ("l1", "structure", "edge", "contrast", "semantic", "region")


def test_terms_are_left_out_with_their_shares() -> None:
    config = LossConfig(contrast_share=0.1).without("contrast", "semantic", "tv")
    assert config.terms == ("l1", "structure", "edge")
    with pytest.raises(ValueError, match="one of them > 0"):
        LossConfig(contrast_share=0.1).without(*TERMS)


def test_only_forms_that_compare_features_need_an_extractor() -> None:
    assert needs_features(LossConfig())
    assert not needs_features(LossConfig(contrast_form="directional"))
    assert not needs_features(LossConfig(contrast=0))
    assert needs_features(LossConfig(contrast=0, contrast_share=0.1))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"contrast_share": -0.1}, r"contrast_share must be in \[0, 10\], got -0.1"),
        ({"region_share": float("nan")}, r"region_share must be in \[0, 10\], got nan"),
        ({"region_share": 0.1, "l1": 0, "structure": 0}, "relative to the gradient of l1"),
        ({"contrast_copies": (100, 0)}, "contrast_copies must be at least 1"),
        ({"inversion": -1.0}, "must be >= 0"),
    ],
)
def test_wrong_settings_are_refused(wrong: dict[str, typing.Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LossConfig(**wrong)
