"""Settings: TOML to frozen dataclasses, with errors that name key, value and what is legal."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from vocsmooth.errors import InputError
from vocsmooth.settings import describe_operator, digest, from_dict, load_toml, parse_json, to_dict


@dataclass(frozen=True, kw_only=True)
class Inner:
    size: int = 3
    kind: Literal["a", "b"] = "a"

    def __post_init__(self) -> None:
        if self.size < 1:
            raise ValueError(f"size must be at least 1, got {self.size}.")


@dataclass(frozen=True, kw_only=True)
class Outer:
    ratio: float = 0.5
    name: str | None = None
    flag: bool = False
    inner: Inner = field(default_factory=Inner)
    many: tuple[Inner, ...] = ()
    pair: tuple[float, float] = (0.0, 1.0)
    extra: dict[str, Any] = field(default_factory=dict)
    ids: tuple[str, ...] | str = ()


def test_reads_nested_tables_arrays_and_integers_for_floats(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text(
        'ratio = 1\npair = [2, 3.5]\nextra = {lam = 0.1}\nids = "list.txt"\n'
        '[inner]\nkind = "b"\n[[many]]\nsize = 7\n'
    )
    assert load_toml(Outer, path) == Outer(
        ratio=1.0,
        pair=(2.0, 3.5),
        extra={"lam": 0.1},
        ids="list.txt",
        inner=Inner(kind="b"),
        many=(Inner(size=7),),
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"ratoi": 1.0}, "here: unknown key 'ratoi'. Did you mean 'ratio'?"),
        ({"zzz": 1}, "here: unknown key 'zzz'. Choose from: extra, flag, ids, inner, many"),
        ({"inner": {"size": "x"}}, "here: inner: size must be of type int, got 'x'."),
        ({"inner": {"size": 0}}, "here: inner: size must be at least 1, got 0."),
        ({"inner": {"kind": "c"}}, "here: inner: kind must be one of 'a', 'b', got 'c'."),
        ({"inner": 3}, "here: inner must be a table, got 3."),
        ({"many": [{"size": True}]}, r"here: many\[0\]: size must be of type int, got True."),
        ({"pair": [1.0]}, "here: pair must have 2 items, got 1."),
        ({"ids": 5}, "here: ids must be of type str, got 5."),
        ({"name": 5}, "here: name must be of type str, got 5."),
        ({"flag": 1}, "here: flag must be of type bool, got 1."),
        ({"ratio": float}, "here: ratio must be of type float"),
    ],
)
def test_bad_content_is_one_clear_error(content: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_dict(Outer, content, "here")


def test_missing_and_broken_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"No settings file .*none\.toml"):
        load_toml(Outer, tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("a = = 1")
    with pytest.raises(InputError, match=r"bad\.toml is not valid TOML"):
        load_toml(Outer, tmp_path / "bad.toml")


def test_round_trip_and_digest_depend_on_content_not_order() -> None:
    settings = Outer(name="x", many=(Inner(),))
    assert from_dict(Outer, to_dict(settings), "here") == settings
    assert digest({"a": 1, "b": [2]}) == digest({"b": [2], "a": 1}) != digest({"a": 1, "b": [3]})


def test_operators_are_described_in_one_spelling() -> None:
    assert describe_operator("l0", {}) == "l0()"
    assert describe_operator("ils", {"lam": 30.0, "gamma": 10 / 255}) == (
        "ils(lam=30, gamma=0.0392157)"
    )
    assert describe_operator("ils", {"penalty": "welsch", "num_iter": 4}) == (
        "ils(penalty=welsch, num_iter=4)"
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": 1, "b": {"c": 2, "c": 2}}', "the key 'c' is given twice"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ("[NaN]", "NaN is not a finite number"),
        ("[-Infinity]", "-Infinity is not a finite number"),
        ("[1e999]", "1e999 is not a finite number"),
        ("[9223372036854775808]", "9223372036854775808 does not fit in 64 bits"),
        ("[" + "9" * 5000 + "]", r"9{20}\.\.\. does not fit in 64 bits"),
        ("[" + "9" * 5000 + ".0]", r"9{20}\.\.\. is not a finite number"),
        (b"\xff\xfe\xfd", "codec can't decode"),
        ("", "Expecting value"),
    ],
)
def test_hostile_json_is_refused(text: str | bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_json(text)


def test_json_is_read_as_json_reads_it() -> None:
    text = '{"a": [1, -9223372036854775808, 0.1, 1e-400, true, null, "\u00e9"], "b": {}}'
    assert parse_json(text) == json.loads(text)


@pytest.mark.parametrize("text", ["ratio = " + "9" * 5000, "ratio = " + "[" * 100_000])
def test_hostile_toml_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.toml"
    path.write_text(text)
    with pytest.raises(InputError, match="is not valid TOML"):
        load_toml(Outer, path)


def test_a_whole_number_beyond_64_bits_is_refused() -> None:
    for content in ({"ratio": 10**400}, {"inner": {"size": 2**63}}):
        with pytest.raises(InputError, match=r"(ratio|size) does not fit in 64 bits"):
            from_dict(Outer, content, "here")
