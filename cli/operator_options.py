"""Options for the operators' parameters, read off the operators' own signatures."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeAlias

import click

from . import options
from .completion import names

Decorator: TypeAlias = Callable[[Callable[..., None]], Callable[..., None]]

OPERATOR_NAMES = ("rtv", "l0", "guided", "rolling", "ils", "sd", "pyramid")
"""Those of `vocsmooth.operators.table`, which help and completion need not wait for."""

_OPERATOR = click.option(
    "--operator",
    required=True,
    shell_complete=names(OPERATOR_NAMES),
    help=f"{', '.join(OPERATOR_NAMES[:-1])} or {OPERATOR_NAMES[-1]}.",
)

MEANINGS = {
    "lam": "strength of smoothing",
    "kappa": "growth of the penalty in each round, above 1",
    "sigma": "size of the largest texture to remove, in pixels",
    "sharpness": "smaller values keep edges sharper",
    "num_iter": "number of iterations",
    "radius": "radius of the window, in pixels",
    "eps": "variance that counts as texture; for ils, how round the penalty is at 0",
    "sigma_space": "size of the structures to remove, in pixels",
    "sigma_range": "contrast that counts as an edge",
    "gamma": "contrast that counts as an edge",
    "penalty": "welsch or charbonnier",
    "p": "exponent of the charbonnier penalty",
    "mu": "sharpness of the static guidance",
    "nu": "sharpness of the dynamic guidance",
    "levels": "levels of the pyramid; fewer keep larger texture",
    "scale": "size of a level relative to the finer one",
}
"""What the help says of a parameter, after the operators that have it; in the help's order."""


@functools.cache
def operator_options() -> tuple[click.Option, ...]:
    """Return an option for each parameter of any operator; not given, it is None."""
    from vocsmooth.operators.table import OPERATORS

    types: dict[str, type] = {}
    owners: dict[str, list[str]] = {}
    for operator, function in OPERATORS.items():
        for name, parameter in inspect.signature(function).parameters.items():
            if isinstance(parameter.default, float | int | str):  # neither image nor guide
                types[name] = type(parameter.default)
                owners.setdefault(name, []).append(operator)
    order = [name for name in MEANINGS if name in types]
    order += [name for name in types if name not in MEANINGS]
    return tuple(
        click.Option(
            [f"--{name.replace('_', '-')}", name],
            type=types[name],
            help=": ".join(filter(None, (", ".join(owners[name]), MEANINGS.get(name)))),
        )
        for name in order
    )


def chosen_operator(operator: str, given: dict[str, Any]) -> Callable[..., Any]:
    """Return the operator with its parameters, which are taken out of a command's options.

    What does not fit the operator is misuse, known before any file is read.
    """
    import numpy as np

    from vocsmooth.operators.table import smooth

    options_of_operators = [option.name for option in operator_options() if option.name]
    values = {name: given.pop(name) for name in options_of_operators}
    parameters = {name: value for name, value in values.items() if value is not None}
    function: Callable[..., Any] = functools.partial(smooth, operator=operator, **parameters)
    try:
        function(np.zeros((1, 1), np.float32))
    except (TypeError, ValueError) as error:
        raise click.UsageError(str(error)) from error
    return function


class OperatorCommand(click.Command):
    """A command with `operator_options` after its --operator.

    They are made when the command is called or asked for help: only then are the operators
    imported, which the other commands need not wait for.
    """

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the command's own parameters and those of the operators."""
        own = super().get_params(ctx)
        place = [parameter.name for parameter in own].index("operator") + 1
        return [*own[:place], *operator_options(), *own[place:]]


def operator_command(*own: Decorator) -> Callable[[Callable[..., None]], click.Command]:
    """Make a command that smooths files with an operator; `own` are options that only it has."""

    def decorate(function: Callable[..., None]) -> click.Command:
        all_options: list[Decorator] = [options.INPUTS, _OPERATOR, *own]
        all_options += [options.file_options, options.JOBS]
        for option in reversed(all_options):
            function = option(function)
        return click.command(cls=OperatorCommand)(function)

    return decorate
