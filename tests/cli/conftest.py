"""The commands, found as an installed user finds them: through their entry points."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

RECIPE = """
[labels.fixed]
operator = "guided"
[textures]
count = 2
[[negatives]]
name = "over"
operator = "guided"
params = {radius = 8}
[shards]
images = 2
"""

CONFIG = """
[network]
width = 8
blocks = 1
coarse_blocks = 1
refine_blocks = 1
shuffle = 2
skip = true
[losses]
edge = 1.0
[data]
patch = 24
batch_size = 4
negatives = ["over", "input"]
[run]
check_teacher = false
steps = 4
log_every = 2
validate_every = 2
checkpoint_every = 2
[segmenter]
steps = 2
batch_size = 4
patch = 24
[segmenter.network]
width = 0.125
head_width = 8
"""

Command = Callable[..., Result]

MODULES = {"vocsmooth": "vocsmooth_cli.dataset", "csgisnet": "vocsmooth_cli.network"}


def _command(name: str) -> Command:
    """Return a function that runs a command with words and gives exit code and output."""
    (entry,) = entry_points(group="console_scripts", name=name)
    main = entry.load()
    return lambda *words: CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(scope="session")
def vocsmooth() -> Command:
    return _command("vocsmooth")


@pytest.fixture(scope="session")
def csgisnet() -> Command:
    return _command("csgisnet")


def _run(
    command: str, *words: object, before: str = "", prefix: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own, after the code `before`."""
    code = f"{before}\nfrom {MODULES[command]} import main\nmain()"
    line = [*prefix, sys.executable, "-c", code, *map(str, words)]
    return subprocess.run(line, capture_output=True, encoding="utf-8", check=False, timeout=240)


@pytest.fixture(scope="session")
def process() -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a command with words as a process, so that a crash or a limit ends that alone."""
    return _run


@pytest.fixture(scope="session")
def recipe_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe that is quick on small photographs."""
    path = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    path.write_text(RECIPE)
    return path


@pytest.fixture(scope="session")
def config_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Settings of a run of seconds."""
    path = tmp_path_factory.mktemp("config") / "tiny.toml"
    path.write_text(CONFIG)
    return path


@pytest.fixture(scope="session")
def built(
    pristine_tree: Path,
    recipe_file: Path,
    vocsmooth: Command,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A dataset, built by the command."""
    out = tmp_path_factory.mktemp("dataset") / "out"
    words = ("build", "--voc-root", pristine_tree, "--out", out, "--manifest", recipe_file)
    result = vocsmooth(*words, "--jobs", 1)
    assert result.exit_code == 0, result.output
    return out
