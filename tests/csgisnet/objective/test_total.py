"""The whole objective: each term moves the network, and the sum is what it says."""

import copy
from collections.abc import Callable
from typing import Literal

import pytest
import torch
from batches import draw_batch, only
from torch import Tensor, nn

from csgisnet.networks.features import SegmenterFeatures
from csgisnet.networks.segmenter import Segmenter, SegmenterConfig
from csgisnet.networks.smoothing import COMPACT, NetworkConfig, Smoothing, SmoothingNetwork
from csgisnet.objective.config import TERMS, LossConfig
from csgisnet.objective.forms import FORMS
from csgisnet.objective.losses import (
    Batch,
    Teachers,
    l1_loss,
    total_loss,
)
from csgisnet.objective.structure import structure_loss

TERMS_AND_FORMS = [
    *((term, "ratio") for term in TERMS),
    *(("contrast", form) for form in FORMS if form != "ratio"),
]

SMALL = NetworkConfig(width=8, blocks=1, coarse_blocks=1, refine_blocks=1)


@pytest.mark.parametrize(
    ("term", "form"), [pair for pair in TERMS_AND_FORMS if "authors" not in pair]
)
def test_total_is_independent_of_batch_size(term: str, form: str, teachers: Teachers) -> None:
    batch, config = draw_batch(4), only(term, contrast_form=form)
    network = SmoothingNetwork(COMPACT).eval()
    with torch.no_grad():
        whole = total_loss(network(batch.input), batch, teachers, config)[0]
        parts = []
        for i in range(4):
            one = Batch(*(m[i : i + 1] for m in batch))
            parts.append(total_loss(network(one.input), one, teachers, config)[0])
    torch.testing.assert_close(whole, torch.stack(parts).mean(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("term", "form"), TERMS_AND_FORMS)
def test_every_term_moves_the_network(term: str, form: str, teachers: Teachers) -> None:
    torch.manual_seed(1)
    network, batch = SmoothingNetwork(SMALL), draw_batch()
    config, smoothing = only(term, contrast_form=form), network(batch.input)
    near = smoothing.result.detach() + 0.1 * batch.negatives[:, 0]  # nearer than the label is
    batch = batch._replace(negatives=torch.stack([near, batch.negatives[:, 1]], dim=1))
    torch.autograd.backward(total_loss(smoothing, batch, teachers, config)[0])
    reached = ("descriptor", "interpreter1") if term == "edge" else ("",)
    for name, parameter in network.named_parameters():
        if parameter.dim() == 4 and name.startswith(reached):
            assert parameter.grad is not None, name
            assert parameter.grad.abs().max() > 0, name


def test_total_is_the_weighted_sum_of_the_logged_terms(teachers: Teachers) -> None:
    batch, network = draw_batch(), SmoothingNetwork(COMPACT)
    config = LossConfig(tv=0.5, inversion=0.2, region=0.3)
    total, terms = total_loss(network(batch.input), batch, teachers, config)
    assert tuple(terms) == TERMS
    expected = sum(getattr(config, name) * value.item() for name, value in terms.items())
    assert total.item() == pytest.approx(expected, rel=1e-5)
    assert not any(value.requires_grad for value in terms.values())


def test_a_backbone_that_both_teachers_share_sees_the_result_once(teachers: Teachers) -> None:
    batch, config = draw_batch(), LossConfig(l1=0, structure=0, edge=0, contrast=1, semantic=1)
    apart = Teachers(
        segmenter=teachers.segmenter,
        features=SegmenterFeatures(copy.deepcopy(segmenter_of(teachers))),
    )
    seen: list[int] = []
    hook = segmenter_of(teachers).backbone.register_forward_hook(lambda *_: seen.append(1))
    gradients, calls = [], []
    for pair in (teachers, apart):
        image = batch.input.clone().requires_grad_()
        smoothing = Smoothing(image, image, image * 0, image[:, :1])
        total, _ = total_loss(smoothing, batch, pair, config)
        torch.autograd.backward(total)
        assert image.grad is not None
        gradients.append(image.grad)
        calls.append(len(seen))
        seen.clear()
    hook.remove()
    assert calls == [2, 1]  # the result and the references; only the result
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-4, atol=1e-7)


def segmenter_of(teachers: Teachers) -> Segmenter:
    assert isinstance(teachers.segmenter, Segmenter)
    return teachers.segmenter


def test_terms_without_weight_are_left_out_and_need_no_teacher() -> None:
    batch, network = draw_batch(), SmoothingNetwork(COMPACT)
    config = LossConfig(contrast=0, semantic=0)
    _, terms = total_loss(network(batch.input), batch, Teachers(), config)
    assert tuple(terms) == ("l1", "structure", "edge")


@pytest.mark.parametrize("coarse", [0.0, 0.25, 1.0])
def test_the_coarse_image_counts_as_much_as_asked(coarse: float) -> None:
    batch = draw_batch()
    one, other = batch.input, batch.negatives[:, 0]
    smoothing = Smoothing(result=one, coarse=other, residual=one - other, edge=batch.edge)
    config = LossConfig(coarse=coarse, contrast=0, semantic=0)
    _, terms = total_loss(smoothing, batch, Teachers(), config)
    for name, loss in (("l1", l1_loss), ("structure", structure_loss)):
        expected = loss(one, batch.label) + coarse * loss(other, batch.label)
        torch.testing.assert_close(terms[name], expected)


def test_perfect_smoothing_costs_nothing_but_edges(teachers: Teachers) -> None:
    batch = draw_batch()
    perfect = Smoothing(batch.label, batch.label, batch.label * 0, 60 * batch.edge - 30)
    _, terms = total_loss(perfect, batch, teachers, LossConfig())
    for name in ("l1", "structure", "edge", "contrast"):
        assert terms[name].item() == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize(
    ("term", "teacher"), [("contrast", "feature extractor"), ("semantic", "segmenter")]
)
def test_missing_teacher_is_named(term: str, teacher: str) -> None:
    batch = draw_batch()
    smoothing = SmoothingNetwork(COMPACT)(batch.input)
    with pytest.raises(ValueError, match=f"{term} term needs a {teacher}"):
        total_loss(smoothing, batch, Teachers(), only(term))


@pytest.mark.parametrize("form", ["ratio", "triplet"])
def test_losses_teachers_and_gradients_are_float32_whatever_the_network_computes_in(
    form: Literal["ratio", "triplet"], teachers: Teachers
) -> None:
    batch, config = draw_batch(), LossConfig(tv=1.0, contrast_form=form)
    drawn = SmoothingNetwork(COMPACT)(batch.input)
    seen: list[torch.dtype] = []
    hooks = [
        conv.register_forward_hook(lambda _, given, out: seen.extend((given[0].dtype, out.dtype)))
        for conv in segmenter_of(teachers).modules()
        if isinstance(conv, nn.Conv2d)
    ]
    outcomes = []
    for bfloat16 in (False, True):
        smoothing = Smoothing(*(m.detach().requires_grad_() for m in drawn))
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            total, terms = total_loss(smoothing, batch, teachers, config)
        torch.autograd.backward(total)
        gradients = [m.grad for m in (smoothing.result, smoothing.coarse, smoothing.edge)]
        outcomes.append([total, *terms.values(), *gradients])
    for hook in hooks:
        hook.remove()
    assert set(seen) == {torch.float32}
    for exact, under_autocast in zip(*outcomes, strict=True):
        assert exact is not None
        assert under_autocast is not None
        assert exact.dtype == under_autocast.dtype == torch.float32
        assert torch.equal(exact, under_autocast)


def test_teachers_are_frozen_in_eval_mode() -> None:
    segmenter = Segmenter(SegmenterConfig(width=0.25, head_width=16)).train()
    Teachers(segmenter=segmenter)
    assert not any(module.training for module in segmenter.modules())
    assert not any(parameter.requires_grad for parameter in segmenter.parameters())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"l1": -1.0}, "must be >= 0"),
        (dict.fromkeys(TERMS, 0.0), "one of them > 0"),
        ({"coarse": -0.1}, "coarse must be at least 0"),
        ({"contrast_eps": 0.0}, "contrast_eps must be greater than 0"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LossConfig(**settings)  # type: ignore[arg-type]


def test_teacher_may_be_any_module() -> None:
    class Doubling(nn.Module):
        def forward(self, image: Tensor) -> tuple[Tensor, ...]:
            return (2 * image,)

    batch = draw_batch()
    smoothing: Callable[[Tensor], Smoothing] = SmoothingNetwork(COMPACT)
    config = only("contrast", contrast_layers=(1.0,))
    total, _ = total_loss(smoothing(batch.input), batch, Teachers(features=Doubling()), config)
    assert total.isfinite()


def test_the_inversion_term_asks_the_average_about_the_opposite_texture() -> None:
    batch = draw_batch()
    seen: list[Tensor] = []

    class Watched(nn.Module):
        def forward(self, image: Tensor) -> Smoothing:
            seen.append(image)
            return Smoothing(batch.label, batch.label, batch.label * 0, batch.edge)

    result = batch.label.clone().requires_grad_()
    teachers = Teachers(average=Watched())
    value, _ = total_loss(
        Smoothing(result, result, result * 0, batch.edge), batch, teachers, only("inversion")
    )
    torch.autograd.backward(value)
    torch.testing.assert_close(seen[0], (2 * batch.label - batch.input).clamp(0, 1))
    assert value.item() == 0
    assert result.grad is not None
    assert result.grad.abs().max() == 0


def test_results_of_slow_copies_take_the_place_of_the_negatives(teachers: Teachers) -> None:
    batch = draw_batch()
    network = SmoothingNetwork(SMALL).eval()
    config = only("contrast", contrast_form="push", contrast_copies=(100,))
    with torch.no_grad():
        smoothing = network(batch.input)
        results = teachers.copies[0](batch.input).result
        given = batch._replace(negatives=results[:, None])
        found = total_loss(smoothing, batch, teachers, config)[0]
        plain = only("contrast", contrast_form="push")
        expected = total_loss(smoothing, given, teachers, plain)[0]
    torch.testing.assert_close(found, expected)
    with pytest.raises(ValueError, match="asks for 2 slow copies"):
        total_loss(smoothing, batch, teachers, only("contrast", contrast_copies=(5, 9)))


def test_weights_given_from_outside_replace_the_settings(teachers: Teachers) -> None:
    batch, network = draw_batch(), SmoothingNetwork(COMPACT)
    config = LossConfig(semantic=0, edge=0, contrast_share=0.1)
    total, terms = total_loss(network(batch.input), batch, teachers, config)
    assert tuple(terms) == ("l1", "structure", "contrast")
    assert total.item() == pytest.approx((terms["l1"] + 0.1 * terms["structure"]).item(), rel=1e-5)
    weights = {"l1": 0.0, "structure": 0.0, "contrast": 2.0}
    total, terms = total_loss(network(batch.input), batch, teachers, config, weights)
    assert total.item() == pytest.approx(2 * terms["contrast"].item(), rel=1e-5)
