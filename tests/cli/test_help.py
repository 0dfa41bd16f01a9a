"""Every command that `--help` or a document shows exists, with the options and files it names."""

import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from vocsmooth_cli import dataset, network, operator_options

from csgisnet.training.config import load_config
from vocsmooth.maps.recipe import load_recipe
from vocsmooth.operators.table import OPERATORS

PROGRAMS = {"vocsmooth": dataset.main, "csgisnet": network.main}
README = Path(__file__).parents[2] / "README.md"


def commands_of(group: click.Group) -> Iterator[click.Command]:
    """Yield the commands of a group and of the groups in it."""
    for command in group.commands.values():
        if isinstance(command, click.Group):
            yield from commands_of(command)
        else:
            yield command


def shown() -> Iterator[str]:
    """Yield every command line that is shown to users."""
    for program in PROGRAMS.values():
        for command in commands_of(program):
            examples = re.findall(r"^\s*Example: (.+)", command.help or "", re.MULTILINE)
            assert examples, f"{command.name} --help shows no example"
            yield from (line.strip() for example in examples for line in example.split(";"))
    for page in (README, *README.parent.glob("docs/pages/*.md")):
        text = page.read_text(encoding="utf-8")
        for block in re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            lines = block.replace("\\\n", " ").splitlines()
            yield from (line for line in lines if line.split(" ")[0] in PROGRAMS)


def test_the_help_names_every_bundled_recipe_and_configuration() -> None:
    root = Path(__file__).parents[2]
    for program, command, option, folder in (
        ("csgisnet", "train", "--config", "csgisnet/configs"),
        ("csgisnet", "train-segmenter", "--config", "csgisnet/configs"),
        ("vocsmooth", "build", "--manifest", "manifests"),
    ):
        params = PROGRAMS[program].commands[command].params
        (found,) = (p for p in params if isinstance(p, click.Option) and option in p.opts)
        names = {path.stem for path in (root / folder).glob("*.toml")}
        assert names <= set(re.findall(r"[\w-]+", found.help or ""))


@pytest.mark.parametrize("command", ["smooth", "enhance", "abstract", "compose"])
def test_the_help_names_every_operator(command: str) -> None:
    params = PROGRAMS["vocsmooth"].commands[command].params
    (found,) = (p for p in params if isinstance(p, click.Option) and "--operator" in p.opts)
    assert (
        set(OPERATORS)
        == set(operator_options.OPERATOR_NAMES)
        <= set(re.findall(r"\w+", found.help or ""))
    )


@pytest.mark.parametrize("option", ["--checkpoint", "--out", "--config", "--json", "--quiet"])
def test_an_option_has_the_same_names_and_help_in_every_command(option: str) -> None:
    found = [
        parameter
        for program in PROGRAMS.values()
        for command in commands_of(program)
        for parameter in command.params
        if isinstance(parameter, click.Option) and option in parameter.opts
    ]
    assert len(found) >= 2
    assert len({tuple(parameter.opts) for parameter in found}) == 1
    if option == "--checkpoint":
        assert all("a name of `csgisnet models`" in (p.help or "") for p in found)
        assert not any(parameter.required for parameter in found)


def test_the_exit_code_of_a_stopped_training_is_told() -> None:
    from csgisnet.training.train import EXIT_STOPPED

    assert f"exit code {EXIT_STOPPED}" in (PROGRAMS["csgisnet"].commands["train"].help or "")
    assert f"exit code {EXIT_STOPPED}" in README.read_text(encoding="utf-8")


@pytest.mark.parametrize("line", sorted(set(shown())))
def test_what_is_shown_exists(line: str) -> None:
    program, *words = shlex.split(line, comments=True)
    command: click.Command = PROGRAMS[program]
    while isinstance(command, click.Group):
        command = command.commands[words.pop(0)]
    parameters = command.get_params(click.Context(command))
    options = {name for parameter in parameters for name in parameter.opts}
    given = dict(itertools.pairwise(words))
    assert {word for word in words if word.startswith("--")} <= options
    if "--manifest" in given:
        load_recipe(given["--manifest"])
    if "--config" in given:
        load_config(given["--config"])
