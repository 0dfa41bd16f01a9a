"""Commands in odd places: pipes where files should be, unreadable folders, names of any bytes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import Result
from PIL import Image

from csgisnet.checkpoints.networks import save_network
from csgisnet.checkpoints.segmenters import save_segmenter
from csgisnet.networks.segmenter import Segmenter, SegmenterConfig
from csgisnet.networks.smoothing import NetworkConfig, SmoothingNetwork

Command = Callable[..., Result]
Process = Callable[..., subprocess.CompletedProcess[str]]

TINY = NetworkConfig(width=8, blocks=1, coarse_blocks=1, refine_blocks=1, shuffle=2, skip=True)

COMMANDS = {
    "build": "vocsmooth build --voc-root {voc} --out {out} --manifest {recipe} --ids {ids}",
    "build on a cluster": "vocsmooth build --voc-root {voc} --out {out} --scheduler {scheduler}",
    "export": "vocsmooth export {dataset} --out {out}",
    "info": "vocsmooth info {dataset}",
    "labels": "vocsmooth labels report {dataset}",
    "repack": "vocsmooth repack {dataset} --to archive --out {out}",
    "unpack": "vocsmooth repack {archive} --to shards --out {out}",
    "report": "vocsmooth report {dataset} --out {out.html}",
    "smooth": "vocsmooth smooth {image} --out {out} --operator guided --jobs 1",
    "verify": "vocsmooth verify {dataset} --repair --voc-root {voc} --jobs 1",
    "preview": "vocsmooth preview {image} --no-browser --checkpoint {network}",
    "evaluate": "csgisnet evaluate --images {images} --labels {labels} --results r={results} "
    "--checkpoint {network} --out {out}",
    "evaluate a dataset": "csgisnet evaluate --data {dataset} --operator none --out {out}",
    "export a network": "csgisnet export --checkpoint {network} --out {out.safetensors}",
    "predict": "csgisnet predict {image} --checkpoint {network} --out {out} --device cpu",
    "sheet": "csgisnet sheet --data {dataset} --checkpoint {network} --out {out.png}",
    "train": "csgisnet train --data {dataset} --out {out} --config {config} --device cpu "
    "--segmenter {segmenter}",
    "resume": "csgisnet train --out {run} --resume --device cpu",
    "train-segmenter": "csgisnet train-segmenter --data {dataset} --out {out.safetensors} "
    "--config {config} --device cpu",
}

OTHERS = (
    ("preview", "image"),  # the page itself says what it cannot show
    ("verify", "voc"),  # is not looked at while the dataset is intact
)

INPUT = re.compile(r"\{(?!out)(\w+)\}")


class Kit(NamedTuple):
    """What the commands read, and a way to run them."""

    folder: Path
    run: Callable[..., Result]

    def words(self, command: str, out: Path, **changed: Path) -> list[str]:
        """Return a command's words, with some of its inputs changed."""
        paths = {**changed, "out": out}

        def path(found: re.Match[str]) -> str:
            return f"{paths.get(found[1], self.folder / found[1])}{found[2] or ''}"

        return [re.sub(r"\{(\w+)(\.\w+)?\}", path, word) for word in COMMANDS[command].split()]


@pytest.fixture(scope="module")
def kit(
    pristine_tree: Path,
    built: Path,
    recipe_file: Path,
    config_file: Path,
    vocsmooth: Command,
    csgisnet: Command,
    tmp_path_factory: pytest.TempPathFactory,
) -> Kit:
    folder = tmp_path_factory.mktemp("kit")
    for name, source in {
        "voc": pristine_tree,
        "dataset": built,
        "recipe": recipe_file,
        "config": config_file,
        "ids": pristine_tree / "ImageSets/Segmentation/train.txt",
    }.items():
        (folder / name).symlink_to(source)
    for name in ("images", "labels", "results"):
        (folder / name).mkdir()
        Image.new("RGB", (24, 20), "grey").save(folder / name / "a.png")
    (folder / "image").symlink_to("images/a.png")
    save_network(folder / "network", SmoothingNetwork(TINY))
    save_segmenter(folder / "segmenter", Segmenter(SegmenterConfig(width=0.125, head_width=8)))
    programs = {"vocsmooth": vocsmooth, "csgisnet": csgisnet}
    kit = Kit(folder, lambda program, *words: programs[program](*words))
    kit.run(*kit.words("repack", folder / "archive"))
    return kit


@pytest.mark.parametrize(
    ("command", "name"),
    [(c, n) for c, words in COMMANDS.items() for n in INPUT.findall(words) if (c, n) not in OTHERS],
)
def test_a_pipe_in_place_of_an_input_is_refused_and_not_waited_for(
    kit: Kit, tmp_path: Path, command: str, name: str
) -> None:
    pipe = tmp_path / f"pipe{'.toml' if name in ('recipe', 'config') else ''}"
    os.mkfifo(pipe)
    result = kit.run(*kit.words(command, tmp_path / "out", **{name: pipe}))
    assert result.exit_code in (1, 2), result.output
    assert isinstance(result.exception, SystemExit)
    assert str(pipe) in result.stderr


@pytest.fixture
def without_rights() -> tuple[str, ...]:
    """What a command's line begins with so that root, too, is kept from reading what it may not."""
    if os.geteuid() != 0:
        return ()
    if shutil.which("setpriv") is None:
        pytest.skip("root can read anything")
    return ("setpriv", "--bounding-set=-dac_override,-dac_read_search")


@pytest.mark.parametrize(
    ("command", "name", "extra"),
    [("evaluate", "images", ()), ("build", "textures", ("--textures", "{textures}"))],
)
def test_a_folder_that_cannot_be_listed_is_never_passed_over(
    kit: Kit,
    process: Process,
    without_rights: tuple[str, ...],
    tmp_path: Path,
    command: str,
    name: str,
    extra: tuple[str, ...],
) -> None:
    folder = Path(shutil.copytree(kit.folder / "images", tmp_path / "folder"))
    (folder / "secret").mkdir()
    Image.new("RGB", (24, 20)).save(folder / "secret/b.png")
    (folder / "secret").chmod(0)
    program, *words = kit.words(command, tmp_path / "out", **{name: folder})
    more = [word.format(textures=folder) for word in extra]
    result = process(program, *words, *more, prefix=without_rights)
    assert result.returncode == 1, result.stdout
    assert f"Error: {folder / 'secret'}: cannot be listed: Permission denied." in result.stderr
    assert not (tmp_path / "out").exists()


ODD = os.fsdecode(b"-\xff\x1b[31m\n%s{0}=[*]?")
"""Leads with a dash, is not UTF-8, steers a terminal, ends a line, and looks like patterns."""


@pytest.mark.parametrize("command", ["predict", "evaluate", "export a network", "train-segmenter"])
def test_weights_may_lie_under_any_name(kit: Kit, tmp_path: Path, command: str) -> None:
    folder = tmp_path / ODD
    folder.mkdir()
    shutil.copy(kit.folder / "network", folder / "network")
    result = kit.run(*kit.words(command, folder / "out", network=folder / "network"))
    assert result.exit_code == 0, result.output
    assert re.search(r"[\x00-\x09\x0b-\x1f]", result.output) is None
    written = [path.name for path in folder.iterdir()]
    assert [name for name in written if name.startswith("out")], written


def test_a_run_under_a_name_that_tensorboard_cannot_write_to_is_refused(
    kit: Kit, tmp_path: Path
) -> None:
    result = kit.run(*kit.words("train", tmp_path / ODD))
    assert result.exit_code == 1
    assert "the name of a run's folder must be UTF-8" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_file_of_the_longest_name_can_be_locked_and_written(kit: Kit, tmp_path: Path) -> None:
    name = "é" * 121 + "x"
    result = kit.run(*kit.words("train-segmenter", tmp_path / name))
    assert result.exit_code == 0, result.output
    assert [path.name for path in tmp_path.iterdir()] == [f"{name}.safetensors"]


@pytest.mark.parametrize("command", ["predict", "sheet", "train"])
def test_what_is_no_file_of_weights_but_is_called_one_is_one_error(
    kit: Kit, tmp_path: Path, command: str
) -> None:
    """torch would take the name's word for it, and end with an error of another library."""
    wrong = tmp_path / "weights.safetensors"
    wrong.write_bytes(bytes(range(256)) * 8)
    result = kit.run(*kit.words(command, tmp_path / "out", network=wrong, segmenter=wrong))
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert f"{wrong} cannot be read as weights" in result.stderr


def test_a_working_folder_that_is_gone_is_named(kit: Kit, process: Process, tmp_path: Path) -> None:
    program, *words = kit.words("export", tmp_path / "out")
    gone = tmp_path / "gone"
    leave = f"import os; os.mkdir({str(gone)!r}); os.chdir({str(gone)!r}); os.rmdir({str(gone)!r})"
    result = process(program, *words, before=leave)
    assert result.returncode == 1
    assert result.stderr.endswith("Error: The working folder no longer exists; go to another.\n")
