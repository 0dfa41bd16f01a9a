"""The shell completes names: by the protocol that shells speak, and in a real bash."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from vocsmooth.operators.table import OPERATORS
from vocsmooth.settings import bundled_toml

MODULES = {"vocsmooth": "vocsmooth_cli.dataset", "csgisnet": "vocsmooth_cli.network"}

Complete = Callable[[str], set[str]]


def complete(line: str) -> set[str]:
    """Return what bash is offered for the last word of a line, as TYPE,VALUE."""
    program, *words = line.split(" ")
    environment = {
        **os.environ,
        f"_{program.upper()}_COMPLETE": "bash_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words)),
    }
    code = f"from {MODULES[program]} import main; main(prog_name={program!r})"
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert result.stderr == ""
    return set(result.stdout.split())


def plain(*names: str) -> set[str]:
    return {f"plain,{name}" for name in names}


@pytest.mark.parametrize("command", ["smooth", "enhance", "abstract", "compose"])
def test_operators(command: str) -> None:
    assert complete(f"vocsmooth {command} --operator ") == plain(*OPERATORS)
    assert complete(f"vocsmooth {command} --operator r") == plain("rtv", "rolling")


def test_operators_to_evaluate() -> None:
    assert complete("csgisnet evaluate --operator ") == plain(*OPERATORS, "none")


@pytest.mark.parametrize(
    "line",
    [
        "vocsmooth smooth --operator rtv ",
        "vocsmooth preview ",
        "csgisnet predict ",
        "csgisnet evaluate --results ",
    ],
)
def test_images_are_files(line: str) -> None:
    assert complete(f"{line}pho") == {"file,pho"}


def test_the_operators_parameters() -> None:
    found = complete("vocsmooth smooth --operator rtv --sig")
    assert found == plain("--sigma", "--sigma-space", "--sigma-range")


@pytest.mark.parametrize(
    ("line", "package"),
    [
        ("vocsmooth build --manifest ", "vocsmooth.manifests"),
        ("csgisnet train --config ", "csgisnet.configs"),
        ("csgisnet train-segmenter --config ", "csgisnet.configs"),
    ],
)
def test_recipes_and_configurations_or_files(line: str, package: str) -> None:
    assert complete(line) - {"file,"} == plain(*bundled_toml(package))
    assert complete(f"{line}./my") == {"file,./my"}


def test_splits_and_maps_of_the_dataset(built: Path) -> None:
    assert complete(f"vocsmooth export {built} --split v") == plain("val")
    assert complete(f"csgisnet sheet --data {built} --split ") == plain("train", "val")
    assert complete(f"csgisnet evaluate --data {built} --tune-split t") == plain("train")
    assert complete(f"vocsmooth export {built} --map e") == plain("edge")
    renamed = built.parent / "other"
    shutil.copytree(built, renamed)
    for file in renamed.glob("*.json"):
        file.write_text(file.read_text().replace('"val"', '"validation"'))
    assert complete(f"vocsmooth export {renamed} --split v") == plain("validation")
    assert complete(f"vocsmooth export {built}/no --map ") == set()


def test_networks_devices_and_classes() -> None:
    assert complete("csgisnet predict --checkpoint comp") == {"file,comp", "plain,compact"}
    assert complete("csgisnet evaluate --checkpoint comp") == {"file,comp", "plain,compact"}
    assert complete("csgisnet predict --device c") == plain("cpu", "cuda")
    assert complete("vocsmooth compose --strength pers") == plain("person=")


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_itself() -> None:
    script = Path(sys.executable).with_name("vocsmooth")
    if not script.exists():
        pytest.skip("needs the command beside the interpreter")
    code = """
    eval "$(_VOCSMOOTH_COMPLETE=bash_source vocsmooth)"
    COMP_WORDS=(vocsmooth smooth --operator ro); COMP_CWORD=3
    _vocsmooth_completion vocsmooth 2> /dev/null  # compopt works on a keypress only
    echo "${COMPREPLY[@]}"
    """
    path = {**os.environ, "PATH": f"{script.parent}{os.pathsep}{os.environ['PATH']}"}
    result = subprocess.run(
        ["bash", "-c", code], env=path, capture_output=True, text=True, check=False
    )
    assert result.stdout.split() == ["rolling"], result.stderr
