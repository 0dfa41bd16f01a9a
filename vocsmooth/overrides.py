"""Change single settings from the command line: ``section.key=value``."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterable
from typing import Any, TypeVar

from vocsmooth import settings
from vocsmooth.errors import InputError, OverrideError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")


def override(config: T, changes: Iterable[str]) -> T:
    """Return a dataclass with some of its keys changed, checked as if they stood in its TOML file.

    Parameters
    ----------
    config : dataclass
        Settings or a recipe.
    changes : iterable of str
        Each ``key=value``, with dots before the keys of sections. A value is written as in TOML;
        what is not valid there is taken as a string, so that strings need no quotes. Of several
        values for one key the last one counts, and only the final settings have to be consistent.

    Raises
    ------
    OverrideError
        There is no ``=``, a key is unknown (the nearest legal one is named), or a value is of the
        wrong type or out of range.

    Examples
    --------
    >>> from vocsmooth.maps.recipe import Textures
    >>> override(Textures(count=4), ["count=2", "scale=[0.1, 0.2]"]).scale
    (0.1, 0.2)
    >>> override(Textures(), ["cuont=2"])
    Traceback (most recent call last):
    vocsmooth.errors.OverrideError: --set: unknown key 'cuont'. Did you mean 'count'?
    """
    content: dict[str, Any] = dataclasses.asdict(config)  # type: ignore[call-overload]
    for change in changes:
        path, equals, value = change.partition("=")
        *sections, key = (word.strip() for word in path.split("."))
        if not equals:
            raise OverrideError(
                f"--set {change}: expected KEY=VALUE, such as {next(iter(content))}=..., with dots "
                "before the keys of sections."
            )
        table = content
        for section in sections:
            if table.get(section) is None:  # a section that is not in use yet, or an unknown key
                table[section] = {}
            table = table[section]
            if not isinstance(table, dict):
                raise OverrideError(
                    f"--set {change}: {section} is not a section but {table!r}. Set it as a whole."
                )
        table[key] = _parse(value.strip())
    try:
        return settings.from_dict(type(config), content, "--set")
    except InputError as error:
        raise OverrideError(str(error)) from None


def _parse(text: str) -> Any:
    """Return the value that a text has in TOML, or else the text."""
    try:
        content = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    return content["value"] if content.keys() == {"value"} else text
