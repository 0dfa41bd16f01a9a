"""What is printed, and how much: escaped names, quiet, details, JSON, closed and odd streams."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from PIL import Image
from vocsmooth_cli.messages import printable

Command = Callable[..., Result]

GUIDED = ("--operator", "guided", "--jobs", 1)

ODD_NAMES = [b"a\nb", b"\x1b[31mred", b"-o", "\u202egnp".encode(), b"\xff\xfe", b"a:smile:[b]"]


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    """A folder of pictures that cannot be read, with names that steer terminals."""
    folder = tmp_path / "odd"
    folder.mkdir()
    for name in ODD_NAMES:
        (folder / os.fsdecode(name + b".png")).write_bytes(b"no picture")
    return folder


def run(
    words: tuple[object, ...], shell: str = '"$@"', **more: object
) -> subprocess.CompletedProcess[bytes]:
    """Run a command in a shell, which may close its streams."""
    command = [sys.executable, "-m", *map(str, words)]
    line = ["bash", "-c", shell, "bash", *command]
    return subprocess.run(line, capture_output=True, check=False, timeout=60, **more)  # type: ignore[call-overload,no-any-return]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, ünï 写真 [b] :smile:", "plain, ünï 写真 [b] :smile:"),
        ("\x1b[2J\r\t", r"\x1b[2J\r\t"),
        ("a\nb\u2028c", r"a\nb\u2028c"),
        ("\u202egnp\x9b", r"\u202egnp\x9b"),
        (os.fsdecode(b"\xff."), r"\xff."),
        ("\ud800", r"\ud800"),
    ],
)
def test_what_steers_a_terminal_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_lines_of_a_text_may_be_kept() -> None:
    assert printable("a\n\x1b", keep="\n") == "a\n\\x1b"


def test_names_of_files_are_shown_escaped_everywhere(odd: Path, tmp_path: Path) -> None:
    result = run(("vocsmooth", "smooth", odd, *GUIDED, "--out", tmp_path / "out\x1b[31m"))
    assert result.returncode == 1
    assert not set(result.stdout + result.stderr) & {0x1B, 0xFF}
    lines = [x for x in result.stderr.decode().splitlines() if x.startswith("failed: ")]
    shown = ["-o", r"\u202egnp", r"\x1b[31mred", r"\xff\xfe", "a:smile:[b]", r"a\nb"]
    assert sorted(line.split(": ", 1)[1].split(".png: ")[0] for line in lines) == sorted(
        f"{odd}/{name}" for name in shown
    )
    assert rb"out\x1b[31m: 0 written" in result.stdout


def test_options_and_names_that_are_unknown_are_shown_escaped(vocsmooth: Command) -> None:
    for words in (
        ["\x1b[31m"],
        ["--\x1b[31m"],
        ["smooth", "a", "-o", "b", "--operator", "\x1b[3m"],
    ):
        result = vocsmooth(*words)
        assert result.exit_code == 2
        assert r"\x1b[3" in result.stderr
        assert "\x1b" not in result.stderr


def test_a_list_may_be_separated_by_nul_and_hold_any_name(odd: Path, tmp_path: Path) -> None:
    paths = [os.path.join(os.fsencode(odd), name + b".png") for name in ODD_NAMES]  # noqa: PTH118
    for path in paths:
        Image.new("L", (5, 4)).save(os.fsdecode(path))
    words = ("vocsmooth", "smooth", "-", *GUIDED, "--out")
    result = run((*words, tmp_path / "nul"), input=b"\0".join(paths))
    assert result.returncode == 0, result.stderr
    assert sorted(os.listdir(os.fsencode(tmp_path / "nul"))) == sorted(  # noqa: PTH208
        name + b".png" for name in ODD_NAMES
    )
    result = run((*words, tmp_path / "lines"), input=b"\n".join(paths[1:]) + b"\n")
    assert result.returncode == 0, result.stderr
    assert len(list((tmp_path / "lines").iterdir())) == len(paths) - 1


def test_quiet_prints_errors_only(vocsmooth: Command, odd: Path, tmp_path: Path) -> None:
    good = tmp_path / "good.png"
    Image.new("L", (5, 4)).save(good)
    result = vocsmooth("smooth", good, *GUIDED, "--out", tmp_path / "out", "--quiet")
    assert (result.exit_code, result.output) == (0, "")
    result = vocsmooth("smooth", good, odd / "-o.png", *GUIDED, "--out", tmp_path / "out", "-q")
    assert result.exit_code == 1
    assert [line.split(":")[0] for line in result.output.splitlines()] == ["failed"]


def test_verbose_names_each_file_and_where_an_error_arose(
    vocsmooth: Command, tmp_path: Path
) -> None:
    good = tmp_path / "good.png"
    Image.new("L", (5, 4)).save(good)
    words = ("smooth", good, *GUIDED, "--out", tmp_path / "out", "-v")
    assert f"written: {tmp_path / 'out/good.png'}" in vocsmooth(*words).stderr
    assert f"skipped: {tmp_path / 'out/good.png'}" in vocsmooth(*words, "--skip-existing").stderr
    result = vocsmooth("verify", tmp_path / "nowhere", "--repair", "--voc-root", "no", "-v")
    assert result.exit_code == 1
    assert "Traceback (most recent call last)" in result.stderr
    assert result.stderr.splitlines()[-1].startswith("Error: ")


def test_a_summary_as_json(vocsmooth: Command, odd: Path, tmp_path: Path) -> None:
    result = vocsmooth("smooth", odd, *GUIDED, "--out", tmp_path / "out", "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert (found["written"], found["skipped"]) == (0, 0)
    assert len(found["failed"]) == len(ODD_NAMES)
    assert {os.fsencode(entry["path"]) for entry in found["failed"]} == {
        os.path.join(os.fsencode(odd), name + b".png")  # noqa: PTH118
        for name in ODD_NAMES
    }


def test_labels_and_networks_as_json(vocsmooth: Command, csgisnet: Command, built: Path) -> None:
    labels = json.loads(vocsmooth("labels", "report", built, "--json").stdout)
    assert {label["operator"] for label in labels["labels"]} == {"guided()"}
    assert len(labels["labels"]) == 7
    networks = json.loads(csgisnet("models", "--json").stdout)
    assert [network["name"] for network in networks if network["default"]] == ["compact"]


@pytest.mark.parametrize("streams", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_do_not_stop_workers(tmp_path: Path, streams: str) -> None:
    for number in range(3):
        Image.new("L", (5, 4)).save(tmp_path / f"{number}.png")
    words = ("vocsmooth", "smooth", tmp_path, "--operator", "guided", "--jobs", 2)
    result = run((*words, "--out", tmp_path / "out"), f'"$@" {streams}')
    assert result.returncode == 0, result.stderr
    assert len(list((tmp_path / "out").iterdir())) == 3


def test_a_reader_that_has_enough_ends_the_command_quietly(built: Path) -> None:
    words = ("vocsmooth", "info", built)
    result = run(words, '"$@" | true; exit ${PIPESTATUS[0]}')
    assert result.returncode in (0, 1)  # 0 if it was faster
    assert result.stderr == b""


@pytest.mark.parametrize("variables", [{"LC_ALL": "C"}, {"PYTHONIOENCODING": "ascii"}])
def test_any_encoding_of_the_terminal_will_do(tmp_path: Path, variables: dict[str, str]) -> None:
    (tmp_path / "é.png").write_bytes(b"no picture")
    words = ("vocsmooth", "smooth", tmp_path / "é.png", *GUIDED, "--out", tmp_path / "ö")
    result = run(words, env=os.environ | variables)
    assert result.returncode == 1
    assert b"0 written, 0 skipped, 1 failed" in result.stdout
    assert b"Traceback" not in result.stderr
