"""Settings: frozen dataclasses from TOML and back; an unknown key names the nearest legal one."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import hashlib
import json
import math
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from vocsmooth.errors import InputError
from vocsmooth.files import read_file

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

T = TypeVar("T")
_INT64_RANGE = 2**63
_DIGITS = 20  # of the smallest int64, its sign included
_hints: Callable[[Any], dict[str, Any]] = functools.cache(typing.get_type_hints)  # slow


def load_toml(cls: type[T], path: Path) -> T:
    """Read a TOML file into the dataclass `cls`.

    Raises
    ------
    InputError
        The file is missing or is not TOML, or a key is unknown, of the wrong type or out of range.
    """
    try:
        content = tomllib.loads(read_file(path).decode())
    except FileNotFoundError:
        raise InputError(f"No settings file {path}.") from None
    except RecursionError:
        raise InputError(f"{path} is not valid TOML: it is nested too deeply.") from None
    except ValueError as error:  # no TOML, no UTF-8, or a number of thousands of digits
        raise InputError(f"{path} is not valid TOML: {error}.") from None
    return from_dict(cls, content, str(path))


def bundled_toml(package: str) -> dict[str, Path]:
    """Return the TOML files that come in a package, by their names without the ending.

    Examples
    --------
    >>> sorted(bundled_toml("vocsmooth.manifests"))[:2]
    ['classes', 'demo']
    """
    folder = Path(str(resources.files(package)))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def parse_json(text: str | bytes) -> Any:
    """Parse JSON of unknown origin, and refuse what json.loads accepts beyond the standard.

    Raises
    ------
    ValueError
        Not JSON, nested too deeply, a key given twice in an object, NaN or Infinity, or a number
        that is too large for float64 or, if it is whole, for int64.

    Examples
    --------
    >>> parse_json('{"seed": 1, "seed": 2}')
    Traceback (most recent call last):
    ValueError: the key 'seed' is given twice
    """
    try:
        return json.loads(
            text,
            object_pairs_hook=_without_twins,
            parse_constant=_finite,
            parse_float=_finite,
            parse_int=_int64,
        )
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def from_dict(cls: type[T], content: Mapping[str, Any], where: str) -> T:
    """Build the dataclass `cls` from a mapping; `where` (a path or key) begins each error message.

    Nested dataclasses come from nested tables, tuples from arrays. Ranges are the business of the
    dataclass' own ``__post_init__``, whose ValueError is reported with `where`.
    """
    hints = _hints(cls)
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
    return f" Did you mean {close[0]!r}?" if close else f" Choose from: {', '.join(names)}."


def to_dict(settings: Any) -> dict[str, Any]:
    """Return a dataclass as plain dicts and lists, ready for JSON."""
    content: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(settings)))
    return content


def describe_operator(operator: str, params: Mapping[str, Any]) -> str:
    """Spell an operator and its parameters on one line, as in a call.

    Parameters
    ----------
    operator : str
        The operator's name.
    params : mapping
        Its parameters; of a float, six digits are shown.

    Examples
    --------
    >>> describe_operator("rtv", {"lam": 0.02, "sigma": 3.0})
    'rtv(lam=0.02, sigma=3)'
    """
    shown = (
        f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}"
        for name, value in params.items()
    )
    return f"{operator}({', '.join(shown)})"


def counted(count: int, noun: str) -> str:
    """Write a number and a noun, in the plural unless the number is 1.

    Examples
    --------
    >>> counted(1, "image"), counted(0, "image")
    ('1 image', '0 images')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def digest(content: object) -> str:
    """Return the SHA-256 of the canonical JSON of plain dicts, lists and scalars."""
    text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def recipe_toml(recipe: Mapping[str, Any]) -> str:
    """Spell a resolved recipe as TOML, ready for `vocsmooth build --manifest`.

    Parameters
    ----------
    recipe : mapping
        Tables of tables, arrays and scalars, as in the index; None means not given.
    """
    return "\n".join(_table(recipe, "")).strip()


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse keys given twice, of which json.loads would silently keep the last; return a dict."""
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} is given twice")
    return content


def _finite(digits: str) -> float:
    """Return a number that float64 can hold."""
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{_shortened(digits)} is not a finite number")
    return number


def _int64(digits: str) -> int:
    """Return a whole number that int64 can hold."""
    if len(digits) > _DIGITS or not -_INT64_RANGE <= int(digits) < _INT64_RANGE:
        raise ValueError(f"{_shortened(digits)} does not fit in 64 bits")
    return int(digits)


def _shortened(digits: str) -> str:
    """Return a number in a form short enough for a message."""
    return digits if len(digits) <= 2 * _DIGITS else f"{digits[:_DIGITS]}..."


def _convert(hint: Any, value: Any, where: str) -> Any:
    """Check `value` against a type hint, turning tables into dataclasses and arrays into tuples."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return _convert_union(arguments, value, where)
    if origin is tuple:
        return _convert_tuple(arguments, _expect(value, (list, tuple), "an array", where), where)
    if origin is typing.Literal:
        return _expect_one_of(arguments, value, where)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return from_dict(hint, _expect(value, Mapping, "a table", where), where)
    if origin in (dict, Mapping):
        return dict(_expect(value, Mapping, "a table", where))
    return value if hint is Any else _convert_scalar(hint, value, where)


def _convert_scalar(hint: type, value: Any, where: str) -> Any:
    """Take a value of exactly this type; an integer serves as a float, a bool never as a number."""
    if type(value) is int and not -_INT64_RANGE <= value < _INT64_RANGE:
        raise InputError(f"{where} does not fit in 64 bits.")
    if hint is float and type(value) is int:
        return float(value)
    if type(value) is not hint:  # isinstance would take a bool for an int
        raise InputError(f"{where} must be of type {hint.__name__}, got {value!r}.")
    return value


def _convert_union(options: tuple[Any, ...], value: Any, where: str) -> Any:
    """Convert for the first option that accepts the value; the last one's error if none does."""
    first, *rest = (option for option in options if option is not types.NoneType)
    if value is None and types.NoneType in options:
        return None
    if not rest:
        return _convert(first, value, where)
    try:
        return _convert(first, value, where)
    except InputError:
        return _convert_union(tuple(rest), value, where)


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


def _expect_one_of(legal: tuple[Any, ...], value: Any, where: str) -> Any:
    """Return `value` if it is one of the legal ones."""
    if value not in legal:
        raise InputError(f"{where} must be one of {', '.join(map(repr, legal))}, got {value!r}.")
    return value


def _table(table: Mapping[str, Any], path: str) -> Iterator[str]:
    """Write a table: plain values first, then its sections."""
    given = {key: value for key, value in table.items() if value is not None}
    sections = {
        key: value
        for key, value in given.items()
        if _is_array_of_tables(value) or (isinstance(value, Mapping) and not path)
    }
    for key, value in given.items():
        if key not in sections:
            yield f"{key} = {_value(value)}"
    for key, value in sections.items():
        if isinstance(value, Mapping):
            yield from ("", f"[{path}{key}]")
            yield from _table(value, f"{path}{key}.")
        else:
            for item in value:
                yield from ("", f"[[{path}{key}]]")
                yield from _table(item, f"{path}{key}.")


def _is_array_of_tables(value: Any) -> bool:
    """Return whether a value is written as sections with double brackets."""
    return isinstance(value, Sequence) and bool(value) and isinstance(value[0], Mapping)


def _value(value: Any) -> str:
    """Write a value on one line."""
    if isinstance(value, Mapping):
        pairs = (f"{key} = {_value(item)}" for key, item in value.items())
        return f"{{ {', '.join(pairs)} }}" if value else "{}"
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    return json.dumps(value, ensure_ascii=False)
