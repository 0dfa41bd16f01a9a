"""The study of priors from end to end, on tiny data: it resumes, pairs, searches and reports."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from benchmarks import priors
from benchmarks.boundaries import THRESHOLDS
from benchmarks.priors_curves import COLUMNS, draw_curves
from benchmarks.priors_judging import judge_photographs, read_photographs, shares_of_ods
from csgisnet.checkpoints.segmenters import save_segmenter
from csgisnet.evaluation.boundaries import Counts, gradient_boundaries, score_boundaries
from csgisnet.networks.segmenter import Segmenter, SegmenterConfig
from csgisnet.networks.smoothing import Smoothing
from vocsmooth.arrays import to_float
from vocsmooth.dataset.build import build_dataset
from vocsmooth.images.reading import read_rgb
from vocsmooth.sources.scenes import write_scene_tree

ROOT = Path(__file__).resolve().parents[2]

ARMS = ("none", "directional 0.1", "oracle")


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, a tree with drawn boundaries, a teacher and a judge."""
    folder = tmp_path_factory.mktemp("priors")
    tree = folder / "tree"
    write_scene_tree(tree, {"train": 3, "val": 2}, size=(72, 80), seed=1, families={"classes": 1.0})
    build_dataset(tree, folder / "data", "classes", jobs=1)
    (folder / "drawn").mkdir()
    for path in (tree / "JPEGImages").iterdir():
        found = gradient_boundaries(to_float(read_rgb(path))) >= THRESHOLDS[4]
        bits = found.astype(np.uint16)
        bits[:36] *= 3  # the second of two people drew the upper half alone
        Image.fromarray(bits).save(folder / f"drawn/{path.stem}.png")
    for seed, name in enumerate(("teacher", "judge")):
        torch.manual_seed(seed)
        segmenter = Segmenter(SegmenterConfig(width=0.125, head_width=8))
        save_segmenter(folder / f"{name}.safetensors", segmenter)
    return folder


def arguments(material: Path, runs: Path, *more: str) -> list[str]:
    given = {
        "data": material / "data",
        "other": material / "data",
        "photographs": material / "tree",
        "boundaries": material / "drawn",
        "teacher": material / "teacher.safetensors",
        "judge": material / "judge.safetensors",
        "runs": runs,
        "start-steps": 2,
        "steps": 4,
        "pictures": 2,
        "out": runs.with_suffix(".json"),
    }
    words = [word for key, value in given.items() for word in (f"--{key}", str(value))]
    return [*words, "--seeds", "1", "2", "--arms", *ARMS, *more]  # of two the latter counts


def study(words: list[str]) -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [str(ROOT / "benchmarks/priors.py"), *words])
        priors.main()
    report: dict[str, Any] = json.loads(Path(words[words.index("--out") + 1]).read_text())
    return report


def runs_in(folder: Path) -> dict[str, dict[str, Any]]:
    return {path.name: json.loads(path.read_text()) for path in folder.glob("*.json")}


@pytest.fixture(scope="module")
def report(material: Path) -> dict[str, Any]:
    """Of a study whose runs are in the folder "runs" of the material."""
    return study(arguments(material, material / "runs", "--rates", "1e-3", "1e-4"))


def test_a_study_that_was_killed_goes_on_to_the_same_end(
    material: Path, report: dict[str, Any], tmp_path: Path
) -> None:
    runs = tmp_path / "runs"
    words = arguments(material, runs, "--rates", str(report["rate"]), "--arms", "none", "oracle")
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.priors", *words], cwd=ROOT, stdout=subprocess.DEVNULL
    )
    while process.poll() is None and not runs_in(runs):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    done = {path: path.stat().st_mtime_ns for path in runs.iterdir()}
    assert 0 < len(runs_in(runs)) < 4
    study(words)
    assert {path: path.stat().st_mtime_ns for path in done} == done
    found, whole = runs_in(runs), runs_in(material / "runs")
    assert set(found) == {f"{arm}-{seed}.json" for arm in ("none", "oracle") for seed in (1, 2)}
    for name, run in found.items():
        assert run["readings"] == whole[name]["readings"]


def test_runs_of_another_setting_are_refused(material: Path, report: dict[str, Any]) -> None:
    words = arguments(material, material / "runs", "--rates", str(report["rate"]), "--steps", "8")
    with pytest.raises(SystemExit, match=r"none-1\.json was run with .*'steps': 4"):
        study(words)


def test_the_rate_is_the_best_of_the_search(material: Path, report: dict[str, Any]) -> None:
    found = report["search"]["psnr"]
    assert found.keys() == {"0.001", "0.0001"}
    assert report["rate"] == priors.best_rate({float(rate): db for rate, db in found.items()})
    assert not set(report["search"]["seeds"]) & {1, 2, 3, 4, 5}
    assert priors.best_rate({1e-3: 33.0, 5e-4: 34.0, 1e-4: 34.01}) == 5e-4
    assert priors.best_rate({1e-3: 33.0, 5e-4: 33.9, 1e-4: 34.01}) == 1e-4


def test_the_report_has_every_arm_at_every_reading(report: dict[str, Any]) -> None:
    assert list(report["arms"]) == list(ARMS)
    for name, arm in report["arms"].items():
        assert arm["seeds"] == [1, 2]
        assert [reading["step"] for reading in arm["readings"]] == [1, 2, 4]
        end = arm["readings"][-1]
        judged = {"psnr", "iou"} | (set() if name == "oracle" else {"other", "ods"})
        assert judged <= end["means"].keys()
        assert ("ods" in end["means"]) is (name != "oracle")
        assert (judged if name != "none" else set()) <= end["difference"].keys()
    shares = report["arms"]["directional 0.1"]["readings"][-1]["shares"]
    assert {"contrast_share", "contrast_cosine"} <= shares.keys()


def test_differences_are_those_of_the_same_pictures_under_the_same_seed(
    material: Path, report: dict[str, Any]
) -> None:
    runs = runs_in(material / "runs")
    for place in range(3):
        apart = [
            np.subtract(
                *(
                    runs[f"{arm}-{seed}.json"]["readings"][place]["values"]["psnr"]
                    for arm in ("directional_0.1", "none")
                )
            )
            for seed in (1, 2)
        ]
        found = report["arms"]["directional 0.1"]["readings"][place]["difference"]["psnr"]
        assert found["mean"] == pytest.approx(np.mean(apart), abs=1e-6)
        assert found["verdict"] == "open"  # two seeds allow no more


def test_the_curves_show_every_arm_but_the_baseline(report: dict[str, Any]) -> None:
    svg = ElementTree.fromstring(draw_curves(report["arms"]))
    texts = {text.text for text in svg.iter("{http://www.w3.org/2000/svg}text")}
    assert {"directional 0.1", "oracle"} <= texts
    assert "none" not in texts
    differences = [
        one
        for arm in report["arms"].values()
        for reading in arm["readings"]
        for one in reading["difference"].values()
    ]
    lines = list(svg.iter("{http://www.w3.org/2000/svg}line"))
    assert len(lines) == len(differences) + len(COLUMNS)


def test_boundaries_are_cut_like_the_photographs(material: Path) -> None:
    tree, drawn = material / "tree", material / "drawn"
    photographs = read_photographs(tree, drawn, 2)
    assert [len(one.drawn) for one in photographs] == [2, 2]
    assert all(d.shape == one.sample.mask.shape for one in photographs for d in one.drawn)
    assert all(one.drawn == [] for one in read_photographs(tree, None, 2))


class _Same(nn.Module):
    """A network whose result is its input."""

    def forward(self, image: Tensor) -> Smoothing:
        return Smoothing(image, image, 0 * image, image[:, :1])


def test_plain_photographs_have_an_ods_each_if_boundaries_are_drawn(material: Path) -> None:
    drawn = judge_photographs(_Same(), read_photographs(material / "tree", material / "drawn", 2))
    assert len(drawn["ods"]) == 2
    assert drawn["ods"] == pytest.approx([1, 1], abs=0.01)  # at the threshold they drew by
    plain = judge_photographs(_Same(), read_photographs(material / "tree", None, 2))
    assert "ods" not in plain


def test_shares_of_ods_average_to_ods() -> None:
    rng = np.random.default_rng(3)
    drawn = rng.integers(400, 600, (12, 1)).repeat(len(THRESHOLDS), 1)
    detected = np.linspace(900, 200, len(THRESHOLDS)).astype(int) + rng.integers(0, 50, (12, 1))
    found = np.minimum(detected, drawn) * rng.uniform(0.5, 0.8, (12, 1))
    photographs = [
        Counts(*map(np.asarray, (f.astype(int), d, f.astype(int), w)))
        for f, d, w in zip(found, detected, drawn, strict=True)
    ]
    shares = shares_of_ods(photographs)
    assert len(shares) == 12
    assert np.mean(shares) == pytest.approx(score_boundaries(photographs, THRESHOLDS).ods, abs=2e-3)
    assert np.std(shares) > 0
    alike = shares_of_ods(photographs[:1] * 5)
    assert alike == pytest.approx([score_boundaries(photographs[:1], THRESHOLDS).ods] * 5)
