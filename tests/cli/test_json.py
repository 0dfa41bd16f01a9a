"""What commands report, they report as JSON too: on stdout nothing else, and even with --quiet."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import Result
from vocsmooth_cli import dataset, network

Command = Callable[..., Result]

WITHOUT = {("vocsmooth", "preview")}


def parsed(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize(
    ("program", "command"),
    [
        (group, command)
        for group, main in (("vocsmooth", dataset.main), ("csgisnet", network.main))
        for name, found in main.commands.items()
        for command in (found.commands.values() if isinstance(found, click.Group) else [found])
        if (group, name) not in WITHOUT
    ],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_every_command_that_reports_has_the_option(program: str, command: click.Command) -> None:
    assert any("--json" in parameter.opts for parameter in command.params)


def test_trees(vocsmooth: Command, tmp_path: Path) -> None:
    sample = parsed(vocsmooth("sample", tmp_path / "voc", "--json", "-q"))
    assert "cat" in sample["photographs"]
    words = ("--train", 1, "--val", 1, "--size", "64x48", "--json")
    scenes = parsed(vocsmooth("generate", tmp_path / "scenes", *words))["scenes"]
    assert len(scenes) == len(list((tmp_path / "scenes/JPEGImages").iterdir())) == 2


def test_datasets(
    vocsmooth: Command, built: Path, pristine_tree: Path, recipe_file: Path, tmp_path: Path
) -> None:
    words = ("--voc-root", pristine_tree, "--manifest", recipe_file, "--out", built, "--json")
    build = parsed(vocsmooth("build", *words))
    assert (build["images"], build["complete_before"], build["left_out"]) == (7, True, [])
    png = parsed(vocsmooth("export", built, "--out", tmp_path / "png", "--map", "edge", "--json"))
    assert (png["written"], png["kept"]) == (14, 0)
    packed = ("--to", "archive", "--out", tmp_path / "packed", "--json", "-q")
    assert parsed(vocsmooth("repack", built, *packed))["shards"] == 4
    report = parsed(vocsmooth("report", built, "--out", tmp_path / "page.html", "--json"))
    assert (report["photographs"], report["bytes"]) == (7, (tmp_path / "page.html").stat().st_size)


def test_networks(csgisnet: Command, built: Path, config_file: Path, tmp_path: Path) -> None:
    run, segmenter = tmp_path / "run", tmp_path / "segmenter.safetensors"
    common = ("--data", built, "--config", config_file, "--device", "cpu", "--json")
    trained = parsed(csgisnet("train-segmenter", *common, "--out", segmenter))
    assert (trained["steps"], trained["path"]) == (2, str(segmenter))
    words = (*common, "--ablate", "contrast,semantic", "--out", run)
    summary = parsed(csgisnet("train", *words))
    assert summary["finished"]
    assert summary["steps"] == 4
    assert summary["scores"]["psnr_result"] > 0
    sheet = ("--data", built, "--checkpoint", run, "--out", tmp_path / "sheet.png", "--rows", 1)
    assert len(parsed(csgisnet("sheet", *sheet, "--json"))["photographs"]) == 1
    model = tmp_path / "model.safetensors"
    exported = parsed(csgisnet("export", "--checkpoint", run, "--out", model, "--json"))
    assert exported == {"path": str(model), "bytes": model.stat().st_size, "difference": None}
