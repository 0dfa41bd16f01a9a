"""What a segmenter knows about masks, beside the best constant answer: known answers."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from csgisnet.errors import ConfigError
from csgisnet.training.distributed import Processes
from csgisnet.training.teacher import (
    MaskScores,
    check_teacher,
    count_pairs,
    score_segmenter,
    scores_of,
)
from vocsmooth.shards.reader import open_dataset

ALONE = Processes(device=torch.device("cpu"))


class Oracle(nn.Module):
    """Finds the disc by its brightness, which no other pixel of the label has, as one class."""

    def __init__(self, guess: int) -> None:
        super().__init__()
        self.guess = guess

    def forward(self, image: Tensor) -> Tensor:
        disc = (image.mean(dim=1) > 0.4).long() * self.guess
        return nn.functional.one_hot(disc, 21).permute(0, 3, 1, 2).float()


def pairs_of(*counts: tuple[int, int, int]) -> Tensor:
    """Counts of pixels by class and guess, from triples of class, guess and count."""
    pairs = torch.zeros(256, 256, dtype=torch.int64)
    for mask, guess, count in counts:
        pairs[mask, guess] = count
    return pairs


def test_a_guess_by_hand() -> None:
    """Background 6 of 8 right, car 3 of 4; one pixel is called a boat, which no mask has."""
    scores = scores_of(pairs_of((0, 0, 6), (0, 7, 1), (0, 4, 1), (7, 7, 3), (7, 0, 1)), 2)
    assert scores.mean_iou == pytest.approx((6 / 9 + 3 / 5) / 2)
    assert scores.constant_iou == pytest.approx(8 / 12 / 2)
    assert (scores.constant_class, scores.photographs) == ("background", 2)
    assert scores.is_informed


@pytest.mark.parametrize("frequent", [0, 15])
def test_the_best_constant_answer_scores_what_its_guess_would(frequent: int) -> None:
    counts = {0: 10, 7: 20, 15: 5} | {frequent: 916}
    constant = scores_of(pairs_of(*((mask, frequent, n) for mask, n in counts.items())), 1)
    assert constant.mean_iou == pytest.approx(constant.constant_iou)
    assert not constant.is_informed
    others = [
        scores_of(pairs_of(*((m, guess, n) for m, n in counts.items())), 1) for guess in counts
    ]
    assert max(other.mean_iou for other in others) == pytest.approx(constant.constant_iou)


@pytest.mark.parametrize(("mean", "informed"), [(0.2291, False), (0.2305, False), (0.2501, True)])
def test_a_hair_above_the_constant_answer_is_not_knowledge(mean: float, informed: bool) -> None:
    scores = MaskScores(
        photographs=14, mean_iou=mean, constant_iou=0.2291, constant_class="background"
    )
    assert scores.is_informed == informed


def test_void_is_no_class() -> None:
    mask = torch.tensor([[0, 255], [7, 7]], dtype=torch.uint8)
    pairs = count_pairs(mask, torch.tensor([[0, 3], [7, 0]]))
    assert torch.equal(pairs, pairs_of((0, 0, 1), (7, 7, 1), (7, 0, 1)))
    nothing = scores_of(pairs_of(), 1)
    assert math.isnan(nothing.mean_iou)
    assert math.isnan(nothing.constant_iou)
    assert not nothing.is_informed


def test_labels_are_judged_at_full_size(data_dir: Path) -> None:
    split = open_dataset(data_dir).split("val")  # discs of class 5 and class 6
    scores = score_segmenter(Oracle(5), split, ALONE)
    background, five, six = 1.0, 0.5, 0.0  # all discs of about equal size are called class 5
    assert scores.mean_iou == pytest.approx((background + five + six) / 3, abs=0.1)
    ground = sum((split.read(i, ("mask",))["mask"] == 0).mean() for i in (0, 2)) / 2
    assert scores.constant_iou == pytest.approx(ground / 3, abs=0.01)
    assert score_segmenter(Oracle(5), split, ALONE, count=1).photographs == 1


def test_several_processes_judge_each_photograph_once(data_dir: Path) -> None:
    """Three for two photographs: the last has none."""
    split = open_dataset(data_dir).split("val")
    shares: list[Tensor] = []

    class Share(Processes):
        def total(self, value: Tensor) -> Tensor:
            shares.append(value)
            return value

    for rank in range(3):
        score_segmenter(Oracle(6), split, Share(rank=rank, world=3, device=ALONE.device))
    assert scores_of(shares[0] + shares[1] + shares[2], 2) == score_segmenter(
        Oracle(6), split, ALONE
    )
    assert shares[2].sum() == 0


def test_only_a_teacher_that_knows_nothing_is_refused(data_dir: Path) -> None:
    split = open_dataset(data_dir).split("val")
    lines: list[str] = []
    check_teacher(Oracle(5), split, ALONE, lines.append)
    assert lines == []
    with pytest.raises(ConfigError, match="check_teacher to false") as refused:
        check_teacher(Oracle(0), split, ALONE, lines.append)
    assert lines == []
    check_teacher(Oracle(0), split, ALONE, lines.append, refuse=False)
    (line,) = lines
    assert line.removeprefix("warning: the").split(" To train")[0] in str(refused.value)
    scores = score_segmenter(Oracle(0), split, ALONE)
    assert f"mean IoU {scores.mean_iou:.4f}" in line
    assert f"'background' would have {scores.constant_iou:.4f}" in line
    assert "2 validation photographs" in line
    assert "--ablate semantic" in line


def test_a_segmenter_of_boundaries_is_scored_on_boundaries(data_dir: Path) -> None:
    """Called inside everywhere, it is the constant answer; a perfect one has 1."""
    split = open_dataset(data_dir).split("val")

    class Everywhere(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return torch.stack([torch.ones_like(image[:, 0]), torch.zeros_like(image[:, 0])], dim=1)

    found = score_segmenter(Everywhere(), split, ALONE)
    assert found.constant_class == "inside"
    assert found.mean_iou == pytest.approx(found.constant_iou)
    assert 0.3 < found.constant_iou < 0.5
