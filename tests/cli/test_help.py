"""Every command that `--help` or the README shows exists, with the options and files it names."""

import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from vocsmooth_cli import dataset, network

from csgisnet.training.config import load_config
from vocsmooth.maps.recipe import load_recipe

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
    for block in re.findall(r"^```sh\n(.*?)^```", README.read_text(), re.MULTILINE | re.DOTALL):
        lines = block.replace("\\\n", " ").splitlines()
        yield from (line for line in lines if line.split(" ")[0] in PROGRAMS)


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
