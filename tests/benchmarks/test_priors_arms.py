"""The arms of the study of priors: what each changes, and that a placebo changes nothing else."""

from __future__ import annotations

import copy
import dataclasses
import re

import pytest
import torch
from batches import random_batch
from torch import Tensor, nn

from benchmarks.priors_arms import ARMS, BASELINE, CLASSES, changed, objective_of, prepare
from benchmarks.priors_runs import BASE
from csgisnet.networks.features import SegmenterFeatures
from csgisnet.networks.segmenter import Segmenter, SegmenterConfig
from csgisnet.networks.smoothing import Smoothing, SmoothingNetwork
from csgisnet.objective.losses import Batch, Teachers
from csgisnet.training import config as configs
from csgisnet.training.shares import calibrated, measure_shares
from csgisnet.training.step import new_network
from vocsmooth import settings

PRIORS = [name for name, arm in ARMS.items() if arm.losses]
SHUFFLED = [name for name, arm in ARMS.items() if arm.shuffled]


def real_arm(name: str) -> str:
    return name.replace(" shuffled", "")


@pytest.fixture(scope="module")
def batch() -> Batch:
    """Results lie nearer to the label than the negatives do, so that every gate is open."""
    batch = random_batch()
    generator = torch.Generator().manual_seed(4)
    label = batch.label
    mask = torch.ones_like(batch.mask)
    mask[0, :, 16:], mask[1, :8], mask[1, 8:] = 2, 3, 4
    near = label + 0.02 * torch.randn(label.shape, generator=generator)
    far = label[:, None] + 0.3 * torch.randn(batch.negatives.shape, generator=generator)
    return batch._replace(input=near.clamp(0, 1), negatives=far.clamp(0, 1), mask=mask)


@pytest.fixture(scope="module")
def start() -> SmoothingNetwork:
    return new_network(BASE)


@pytest.fixture(scope="module")
def teachers(start: SmoothingNetwork) -> Teachers:
    torch.manual_seed(0)
    segmenter = Segmenter(SegmenterConfig(width=0.125, head_width=8))
    slow = copy.deepcopy(start)
    with torch.no_grad():
        for parameter in slow.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return Teachers(
        segmenter=segmenter,
        features=SegmenterFeatures(segmenter),
        average=copy.deepcopy(start),
        copies=(slow,),
    )


def gradient_of(name: str, batch: Batch, start: SmoothingNetwork, teachers: Teachers) -> Tensor:
    """The gradient of an arm's whole loss in all weights, its share calibrated on the batch."""
    arm = ARMS[name]
    network, seen, losses = (
        prepare(arm, start).train(),
        changed(arm, batch),
        arm.config(BASE.losses),
    )
    shares = measure_shares(network, seen, teachers, losses)
    weights = calibrated(losses, {name: [share.norm] for name, share in shares.items()})
    smoothing = network(*seen.arguments(network))
    total, _ = objective_of(arm, 1)(smoothing, seen, teachers, losses, weights)
    torch.autograd.backward(total)
    found = [torch.zeros_like(p) if p.grad is None else p.grad for p in network.parameters()]
    return torch.cat([gradient.flatten() for gradient in found])


@pytest.mark.parametrize("name", ARMS)
def test_the_settings_of_every_arm_load(name: str) -> None:
    config = dataclasses.replace(BASE, losses=ARMS[name].config(BASE.losses))
    assert settings.from_dict(configs.Config, settings.to_dict(config), name) == config


@pytest.mark.parametrize("name", ARMS)
def test_the_share_in_the_name_is_the_one_in_the_settings(name: str) -> None:
    named = [float(share) for share in re.findall(r"\d\.\d", name)]
    arm = ARMS[name]
    shares = {v for k, v in arm.losses.items() if k.endswith("_share")} | {arm.noise} - {0.0}
    assert shares == set(named)


@pytest.mark.parametrize("name", PRIORS)
def test_the_term_of_every_arm_reaches_the_weights(
    name: str, batch: Batch, start: SmoothingNetwork, teachers: Teachers
) -> None:
    """What an arm adds to the gradient of the baseline has the share that the arm is named for."""
    plain = gradient_of(BASELINE, batch, start, teachers)
    added = gradient_of(name, batch, start, teachers) - plain
    losses = ARMS[name].config(BASE.losses)
    base = losses.without(*(term for term in losses.terms if term not in ("l1", "structure")))
    network = copy.deepcopy(start).train()
    smoothing = network(batch.input)
    torch.autograd.backward(objective_of(ARMS[BASELINE], 1)(smoothing, batch, teachers, base)[0])
    theirs = torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])
    shares = [share for share in losses.shares.values() if share]
    assert added.isfinite().all()
    ratio = float(added.norm() / theirs.norm())
    if len(shares) == 1:
        assert ratio == pytest.approx(shares[0], rel=0.01)
    else:  # two terms may pull in any two directions
        assert 0 < ratio <= sum(shares) * 1.01


@pytest.mark.parametrize("name", SHUFFLED)
def test_a_shuffled_arm_differs_from_its_real_arm_in_what_is_shuffled_alone(
    name: str, batch: Batch
) -> None:
    arm, real = ARMS[name], ARMS[real_arm(name)]
    assert dataclasses.replace(arm, shuffled=None) == real
    assert real.shuffled is None
    seen, plain = changed(arm, batch), changed(real, batch)
    for field in Batch._fields:
        mine, theirs = getattr(seen, field), getattr(plain, field)
        if field != arm.shuffled:
            assert mine is theirs
            continue
        assert sorted(m.sum().item() for m in mine) == sorted(t.sum().item() for t in theirs)
        assert all(not torch.equal(m, t) for m, t in zip(mine, theirs, strict=True))


@pytest.mark.parametrize("name", SHUFFLED)
def test_a_shuffled_arm_pulls_elsewhere(
    name: str, batch: Batch, start: SmoothingNetwork, teachers: Teachers
) -> None:
    """Else the term would not depend on what is shuffled, and the placebo would be the arm."""
    plain = gradient_of(BASELINE, batch, start, teachers)
    mine = gradient_of(name, batch, start, teachers) - plain
    real = gradient_of(real_arm(name), batch, start, teachers) - plain
    assert nn.functional.cosine_similarity(mine, real, dim=0) < 0.9


@pytest.mark.parametrize("name", [name for name, arm in ARMS.items() if arm.noise])
def test_noise_adds_a_random_gradient_of_its_share_and_nothing_else(
    name: str, batch: Batch, start: SmoothingNetwork, teachers: Teachers
) -> None:
    arm, none = ARMS[name], ARMS[BASELINE]
    assert dataclasses.replace(arm, noise=0.0) == none
    assert all(m is t for m, t in zip(changed(arm, batch), changed(none, batch), strict=True))
    maps = Smoothing(*(m.detach() for m in start(batch.input)))

    def slope(which: str, seed: int) -> tuple[float, Tensor]:
        leaf = maps._replace(result=maps.result.clone().requires_grad_())
        total, _ = objective_of(ARMS[which], seed)(leaf, batch, teachers, BASE.losses)
        return total.item(), torch.autograd.grad(total, leaf.result)[0]

    (plain_value, plain), (value, noisy) = slope(BASELINE, 1), slope(name, 1)
    assert value == pytest.approx(plain_value, abs=1e-6)
    added = noisy - plain
    assert added.norm() / plain.norm() == pytest.approx(arm.noise, rel=1e-4)
    cosine = nn.functional.cosine_similarity(added.flatten(), plain.flatten(), dim=0)
    assert abs(cosine) < 0.1
    assert torch.equal(slope(name, 1)[1], noisy)
    assert not torch.equal(slope(name, 2)[1], noisy)


def test_the_oracle_begins_as_the_network_and_learns_from_the_mask(
    batch: Batch, start: SmoothingNetwork, teachers: Teachers
) -> None:
    arm = ARMS["oracle"]
    assert dataclasses.replace(arm, oracle=False) == ARMS[BASELINE]
    oracle, seen = prepare(arm, start).eval(), changed(arm, batch)
    with torch.no_grad():
        own = copy.deepcopy(start).eval()(batch.input).result
        assert torch.equal(oracle(seen.input).result, own)
    of_mask = gradient_of("oracle", batch, start, teachers).numel() - sum(
        p.numel() for p in start.parameters()
    )
    assert of_mask == CLASSES * BASE.network.width * 9
    grown = prepare(arm, start).train()
    total, _ = objective_of(arm, 1)(grown(seen.input), seen, teachers, BASE.losses)
    torch.autograd.backward(total)
    found = dict(grown.named_parameters())
    (name,) = [name for name in found if name.endswith("of_mask.weight")]
    gradient = found[name].grad
    assert gradient is not None
    assert gradient.abs().sum() > 0


def test_every_arm_begins_with_a_copy(start: SmoothingNetwork) -> None:
    before = {name: value.clone() for name, value in start.state_dict().items()}
    for arm in ARMS.values():
        network = prepare(arm, start)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(1)
    assert all(torch.equal(before[name], value) for name, value in start.state_dict().items())
