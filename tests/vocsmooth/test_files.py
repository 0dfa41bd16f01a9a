"""Atomic writes: one test per outcome, none leaves a temporary file."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from vocsmooth.errors import InputError
from vocsmooth.files import (
    is_temporary,
    read_file,
    remove_leftovers,
    sha256_file,
    temporary_path,
    write_atomically,
    write_json,
)
from vocsmooth.folders import list_tree, refuse_other_files


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_writes_and_replaces_whole_content(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    write_atomically(path, b"one")
    write_atomically(path, b"second")
    assert path.read_bytes() == b"second"
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("letter", ["a", "é", "写"])
def test_the_longest_name_can_be_written(tmp_path: Path, letter: str) -> None:
    name = letter * (251 // len(letter.encode())) + ".png"
    write_atomically(tmp_path / name, b"one")
    assert names(tmp_path) == [name]
    temporary = temporary_path(tmp_path / name, 1)
    assert is_temporary(temporary)
    assert len(os.fsencode(temporary.name)) <= 255


def test_a_tree_is_listed_sorted_and_links_are_not_followed(tmp_path: Path) -> None:
    for name in ("b/c/x", "a", "b/y"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "b/up").symlink_to("..")
    (tmp_path / "loop").symlink_to("loop")
    found = [path.relative_to(tmp_path).as_posix() for path in list_tree(tmp_path)]
    assert found == ["a", "b", "b/c", "b/c/x", "b/up", "b/y", "loop"]
    with pytest.raises(InputError, match=r"none: cannot be listed: No such file"):
        list_tree(tmp_path / "none")


def test_errors_name_the_file_that_was_to_be_written(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        write_atomically(tmp_path / "missing/a.bin", b"one")
    assert caught.value.filename == str(tmp_path / "missing/a.bin")


@pytest.mark.parametrize("kind", ["pipe", "socket", "device", "folder", "stdout"])
def test_what_is_no_regular_file_is_never_replaced(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "out"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
    elif kind == "folder":
        path.mkdir()
    with (tmp_path / "redirected").open("wb") as file:
        if kind in ("device", "stdout"):  # /dev/stdout is such a link, here into a file
            path.symlink_to("/dev/null" if kind == "device" else f"/proc/self/fd/{file.fileno()}")
        before = path.lstat()
        with pytest.raises(OSError, match="exists and is not a regular file"):
            write_atomically(path, b"new")
    assert path.lstat().st_mode == before.st_mode
    assert path.lstat().st_ino == before.st_ino


def test_json_is_readable_and_refuses_nan(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"é": [1]})
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{\n "é": [\n  1\n ]\n}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "b.json", float("nan"))
    assert names(tmp_path) == ["a.json"]


def test_json_keeps_names_that_are_not_utf_8(tmp_path: Path) -> None:
    name = os.fsdecode(b"a\xff.png")
    write_json(tmp_path / "x.json", {"name": name})
    content = (tmp_path / "x.json").read_text(encoding="utf-8")
    assert json.loads(content) == {"name": name}


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell")
def test_leftovers_of_a_killed_process_go_before_its_parent_asks_for_it(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "1000"]) as process:
        temporary_path(tmp_path / "a", process.pid).touch()
        remove_leftovers(tmp_path)
        assert len(names(tmp_path)) == 1
        process.kill()
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        os.kill(process.pid, 0)  # its number is still taken
        remove_leftovers(tmp_path)
        assert names(tmp_path) == []


def test_leftovers_of_the_living_stay(tmp_path: Path) -> None:
    dead = temporary_path(tmp_path / "a.h5", 999_999_999)
    living = temporary_path(tmp_path / "b.h5", os.getpid())
    elsewhere = tmp_path / ".c.h5.another-host.999999999-1.tmp"
    abandoned = tmp_path / ".d.h5.another-host.999999999-1.tmp"
    no_leftovers = [tmp_path / ".hidden", tmp_path / "x.1.tmp"]
    for path in (dead, living, elsewhere, abandoned, *no_leftovers):
        path.touch()
    os.utime(abandoned, (0, 0))
    remove_leftovers(tmp_path)
    assert set(tmp_path.iterdir()) == {living, elsewhere, *no_leftovers}
    assert [is_temporary(path) for path in (dead, elsewhere, *no_leftovers)] == [1, 1, 0, 0]


def test_sha256_is_the_known_one(tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256_file(tmp_path / "abc") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


@pytest.mark.parametrize("kind", ["pipe", "socket", "device"])
def test_what_would_never_end_is_not_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "in"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(path))
    else:
        path.symlink_to("/dev/zero")
    for read in (read_file, sha256_file):
        with pytest.raises(OSError, match=r"is not a regular file: .*/in"):
            read(path)


def test_what_is_missing_or_a_folder_is_named_when_read(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_file(tmp_path / "missing")
    with pytest.raises(IsADirectoryError):
        read_file(tmp_path)


def test_a_write_that_fails_leaves_the_old_file_and_no_temporary(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    write_atomically(path, b"old")
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # the limit then raises OSError instead
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_atomically(path, bytes(5000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_a_killed_writer_never_leaves_a_partial_final_file(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from vocsmooth.files import write_atomically\n"
        "path = pathlib.Path(sys.argv[1]); print(flush=True)\n"
        "i = 0\n"
        "while True:\n    write_atomically(path, bytes([i % 256]) * 3_000_000); i += 1"
    )
    path = tmp_path / "a.bin"
    for _ in range(5):
        process = subprocess.Popen([sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        while not path.exists():
            pass
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
        content = path.read_bytes()
        assert len(content) == 3_000_000
        assert len(set(content)) == 1


def test_a_folder_with_other_files_is_refused_and_named(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "ours.txt", "c.txt", "d.txt"):
        (tmp_path / name).touch()
    expected = r"holds other files \(a\.txt, b\.txt, c\.txt and 1 more\); take another\.$"
    with pytest.raises(InputError, match=expected):
        refuse_other_files(tmp_path, lambda path: path.name == "ours.txt", "take another")
    with pytest.raises(InputError, match=r"a\.txt is a file; give a folder\.$"):
        refuse_other_files(tmp_path / "a.txt", lambda _: True, "take another")


def test_folders_that_are_new_or_hold_only_ours_and_leftovers_may_be_used(tmp_path: Path) -> None:
    refuse_other_files(tmp_path / "new", lambda _: False, "take another")
    temporary_path(tmp_path / "x", 1).touch()
    (tmp_path / "ours").mkdir()
    (tmp_path / "ours/deep.txt").touch()
    refuse_other_files(tmp_path, lambda path: path.name == "ours", "take another")
    with pytest.raises(InputError, match=r"ours/deep\.txt"):
        refuse_other_files(tmp_path, lambda p: p.is_dir(), "take another", pattern="**/*")
