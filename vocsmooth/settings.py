"""Frozen dataclasses from TOML and back: every key is checked, an unknown one names the nearest legal."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from vocsmooth.errors import InputError

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    import tomli as tomllib

T = TypeVar("T")


def load_toml(cls: type[T], path: Path) -> T:
    """Read a TOML file into the dataclass `cls`.

    Raises
    ------
    InputError
        The file is missing or no TOML, or a key is unknown, of the wrong type or out of range.
    """
    try:
        with path.open("rb") as file:
            content = tomllib.load(file)
    except FileNotFoundError:
        raise InputError(f"No settings file {path}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid TOML: {error}.") from None
    return from_dict(cls, content, str(path))


def from_dict(cls: type[T], content: Mapping[str, Any], where: str) -> T:
    """Build the dataclass `cls` from a mapping; `where` (a path or key) begins each error message.

    Nested dataclasses come from nested tables, tuples from arrays. Ranges are the business of the
    dataclass' own ``__post_init__``, whose ValueError is reported with `where`.
    """
    hints = typing.get_type_hints(cls)
    for key in content:
        if key not in hints:
            raise InputError(f"{where}: unknown key {key!r}.{nearest(key, hints)}")
    values = {key: _convert(hints[key], value, f"{where}: {key}") for key, value in content.items()}
    try:
        return cls(**values)
    except (ValueError, TypeError) as error:
        raise InputError(f"{where}: {error}") from None


def nearest(name: str, legal: typing.Iterable[str]) -> str:
    """Return " Did you mean 'x'?" or the list of what is legal, for the end of an error message."""
    names = sorted(legal)
    close = difflib.get_close_matches(name, names, n=1)
    return f" Did you mean {close[0]!r}?" if close else f" Legal here: {', '.join(names)}."


def to_dict(settings: Any) -> dict[str, Any]:
    """Return a dataclass as plain dicts and lists, ready for JSON."""
    content: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(settings)))
    return content


def digest(content: object) -> str:
    """Return the SHA-256 of the canonical JSON of plain dicts, lists and scalars."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _convert(hint: Any, value: Any, where: str) -> Any:
    """Check `value` against a type hint, turning tables into dataclasses and arrays into tuples."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return None if value is None else _convert_union(arguments, value, where)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return from_dict(hint, _expect(value, Mapping, "a table", where), where)
    if origin is typing.Literal:
        if value not in arguments:
            raise InputError(
                f"{where} must be one of {', '.join(map(repr, arguments))}, got {value!r}."
            )
        return value
    if origin is tuple:
        items = _expect(value, (list, tuple), "an array", where)
        return _convert_tuple(arguments, items, where)
    if origin in (dict, Mapping) or hint is dict or hint is Any:
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise InputError(f"{where} must be of type {hint.__name__}, got {value!r}.")
    return value


def _convert_union(options: tuple[Any, ...], value: Any, where: str) -> Any:
    """Take the first option that accepts `value`; the last one's error if none does."""
    kinds = [option for option in options if option is not type(None)]
    for option in kinds[:-1]:
        try:
            return _convert(option, value, where)
        except InputError:
            continue
    return _convert(kinds[-1], value, where)


def _convert_tuple(arguments: tuple[Any, ...], items: Any, where: str) -> tuple[Any, ...]:
    """Convert an array for ``tuple[X, ...]`` or for a tuple of fixed length."""
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        hints = (arguments[0],) * len(items)
    elif len(items) == len(arguments):
        hints = arguments
    else:
        raise InputError(f"{where} must have {len(arguments)} items, got {len(items)}.")
    pairs = zip(hints, items, strict=True)
    return tuple(_convert(hint, item, f"{where}[{i}]") for i, (hint, item) in enumerate(pairs))


def _expect(value: Any, kind: Any, name: str, where: str) -> Any:
    """Return `value` if it is of `kind`."""
    if not isinstance(value, kind):
        raise InputError(f"{where} must be {name}, got {value!r}.")
    return value
