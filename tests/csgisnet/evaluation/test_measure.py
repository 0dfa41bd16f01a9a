"""Evaluation: every measure of every smoother on every image, means over what is defined."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from csgisnet.evaluation.measure import INPUT, Record, evaluate, summarise
from csgisnet.evaluation.metrics import boundary_retention, psnr, ssim, texture_residual
from csgisnet.evaluation.samples import Image, Sample, Samples


def make_samples(*shapes: tuple[int, int]) -> Samples:
    """Noisy steps with their labels."""
    rng = np.random.default_rng(6)
    samples = []
    for height, width in shapes:
        label = np.full((height, width, 3), 0.25, np.float32)
        label[:, width // 2 :] = 0.75
        noise = rng.normal(0, 0.05, label.shape).astype(np.float32)
        edges = np.zeros((height, width), np.uint8)
        edges[:, width // 2 - 1 : width // 2 + 1] = 1
        samples.append(Sample(label + noise, label, edges))
    return Samples(tuple(f"i{n}" for n in range(len(shapes))), samples.__getitem__)


def shrink(image: Image) -> Image:
    """Pull half-way towards grey."""
    return (image + np.float32(0.5)) * np.float32(0.5)


def test_records_hold_the_measures_of_each_smoother_on_each_image() -> None:
    samples = make_samples((24, 20), (16, 30))
    records = evaluate({"shrink": shrink, "same": lambda x: x}, samples)
    assert [(r.image, r.smoother) for r in records] == [
        (image, smoother) for image in ("i0", "i1") for smoother in (INPUT, "shrink", "same")
    ]
    image, label, edges = samples.read(1)
    found = records[4]
    assert found.pixels == 480
    assert found.psnr == psnr(shrink(image), label)
    assert found.ssim == ssim(shrink(image), label)
    assert found.boundary_retention == boundary_retention(shrink(image), label, edges)
    assert found.texture_residual == pytest.approx(0.5)
    assert found.texture_residual == texture_residual(shrink(image), image, edges)
    assert records[3].texture_residual == 1
    assert records[3].seconds == 0
    assert found.seconds_per_megapixel == pytest.approx(found.seconds * 1e6 / 480)


def test_the_first_call_is_not_timed() -> None:
    calls: list[int] = []

    def smoother(image: Image) -> Image:
        calls.append(len(image))
        time.sleep(0.2 if len(calls) == 1 else 0)
        return image

    records = evaluate({"s": smoother}, make_samples((12, 12), (13, 12)))
    assert calls == [12, 12, 13]
    assert max(r.seconds for r in records) < 0.2


def test_progress_is_told_after_each_image() -> None:
    told: list[tuple[int, int]] = []
    evaluate({}, make_samples((12, 12), (12, 12)), lambda *step: told.append(step))
    assert told == [(1, 2), (2, 2)]


def test_equal_images_count_as_100_decibels_and_small_ones_have_no_ssim() -> None:
    flat = np.full((8, 40, 3), 0.5, np.float32)
    samples = Samples(("flat",), lambda _: Sample(flat, flat, np.zeros((8, 40))))
    (record,) = evaluate({}, samples)
    assert record.psnr == 100
    assert math.isnan(record.ssim)
    assert math.isnan(record.boundary_retention)
    (summary,) = summarise([record])
    assert summary.counts["ssim"] == 0
    assert math.isnan(summary.means["ssim"])
    assert summary.means["psnr"] == 100


def record(smoother: str, **values: float) -> Record:
    plain = {"psnr": 20.0, "ssim": 0.5, "boundary_retention": 0.5, "texture_residual": 0.5}
    content = plain | {"pixels": 1000, "seconds": 0.001} | values
    return Record(image="i", smoother=smoother, **content)  # type: ignore[arg-type]


def test_means_leave_out_what_is_undefined_and_weigh_time_by_pixels() -> None:
    records = [
        record("a", psnr=20, ssim=math.nan, pixels=1000, seconds=0.001),
        record("b"),
        record("a", psnr=30, ssim=0.8, pixels=3000, seconds=0.007),
    ]
    first, second = summarise(records)
    assert (first.smoother, second.smoother) == ("a", "b")
    assert first.means["psnr"] == 25
    assert first.means["ssim"] == 0.8
    assert first.counts["ssim"] == 1
    assert first.means["seconds_per_megapixel"] == pytest.approx(2)


def test_misuse_is_named() -> None:
    samples = make_samples((12, 12))
    with pytest.raises(ValueError, match="untouched input"):
        evaluate({INPUT: shrink}, samples)
    with pytest.raises(ValueError, match="of the same shape"):
        evaluate({"crop": lambda x: x[1:]}, samples)
