"""Builds that are killed, interrupted, or meet full disks and failing system calls.

`make test` runs a few of each, `make soak` (SOAK=1) the full counts, printed at the end.
"""

import functools
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from helpers import content_of, memory_of
from PIL import Image

from vocsmooth.dataset.verify import verify_dataset
from vocsmooth.maps.recipe import Recipe
from vocsmooth.settings import to_dict
from vocsmooth.shards.index import read_index
from vocsmooth.shards.planned import read_plan
from vocsmooth.shards.schema import read_layout

SOAK = bool(os.environ.get("SOAK"))
KILLS = 50 if SOAK else 2
FULL_DISKS = 50 if SOAK else 1

pytestmark = pytest.mark.timeout(7200 if SOAK else 300)

PROGRAM = """
import sys
from pathlib import Path
from vocsmooth.dataset.build import build_dataset
from vocsmooth.errors import VocsmoothError
from vocsmooth.maps.recipe import Recipe
from vocsmooth.settings import from_dict
recipe = from_dict(Recipe, {recipe!r}, "recipe")
try:
    build_dataset(Path({tree!r}), Path({out!r}), recipe, jobs={jobs})
except KeyboardInterrupt:
    sys.exit("interrupted")
except (OSError, VocsmoothError) as error:
    sys.exit(str(error))
"""


def build_command(tree: Path, out: Path, recipe: Recipe, jobs: int = 2) -> list[str]:
    """Return the command of a build in a process of its own."""
    arguments = {"recipe": to_dict(recipe), "tree": str(tree), "out": str(out), "jobs": jobs}
    return [sys.executable, "-c", PROGRAM.format(**arguments)]


def workers_of(process: int) -> list[int]:
    """Return the worker processes of a build."""
    return [
        int(folder.name) for folder in Path("/proc").glob("[0-9]*") if is_worker(folder, process)
    ]


def is_worker(folder: Path, parent: int) -> bool:
    """Return whether a process is one of loky's workers under `parent`."""
    try:
        found = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        return found == parent and b"popen_loky" in (folder / "cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_kills_at_random_moments_change_nothing(
    pristine_tree: Path, pristine_dataset: Path, recipe: Recipe, tmp_path: Path
) -> None:
    """The parent, a worker or all are killed: no file is torn, and a second run completes it."""
    expected = content_of(pristine_dataset)
    rng = random.Random(7)
    victims: Counter[str] = Counter()
    seconds = 4.0  # how long a build takes; measured again whenever one runs through
    for trial in range(KILLS):
        out = tmp_path / f"{trial}"
        victim = ("parent", "worker", "group")[trial % 3]
        started = time.monotonic()
        build = subprocess.Popen(
            build_command(pristine_tree, out, recipe),
            start_new_session=True,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(rng.uniform(0.2, seconds))
        workers = workers_of(build.pid)
        if victim == "worker" and workers:
            os.kill(rng.choice(workers), signal.SIGKILL)
        elif victim == "group":
            os.killpg(build.pid, signal.SIGKILL)
        else:
            build.kill()
        if build.wait(timeout=120) == 0:
            seconds = time.monotonic() - started
        victims[victim] += 1
        final = content_of(out) if out.exists() else {}
        for name, data in final.items():
            assert name.endswith(".tmp") or data == expected[name], f"{name} is torn"
        subprocess.run(build_command(pristine_tree, out, recipe), check=True, timeout=120)
        assert content_of(out) == expected
        shutil.rmtree(out)
    print(
        f"\n{sum(victims.values())} kills {dict(victims)}: no torn file, same bytes after resuming"
    )


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_interrupts_stop_with_one_line(
    pristine_tree: Path, recipe: Recipe, tmp_path: Path, sign: signal.Signals
) -> None:
    build = subprocess.Popen(
        build_command(pristine_tree, tmp_path / "out", recipe),
        start_new_session=True,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "out/plan.json").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(build.pid, sign)  # as Ctrl-C in a terminal does
    _, errors = build.communicate(timeout=30)
    assert (build.returncode, errors) == (1, b"interrupted\n")
    assert not list((tmp_path / "out").glob(".*"))


def test_photograph_that_kills_its_worker_is_left_out(
    tree: Path, recipe: Recipe, tmp_path: Path
) -> None:
    """A photograph takes so much memory that a watchdog kills whoever works on it."""
    size = (2500, 2000)
    Image.new("RGB", size, "gray").save(tree / "JPEGImages/c_3.jpg")
    Image.new("L", size).save(tree / "SegmentationClass/c_3.png")
    out = tmp_path / "out"
    build = subprocess.Popen(build_command(tree, out, recipe, jobs=2))
    kills = 0
    deadline = time.monotonic() + 120
    while build.poll() is None:
        assert time.monotonic() < deadline
        for worker in workers_of(build.pid):
            if memory_of(worker) > 350e6:
                os.kill(worker, signal.SIGKILL)
                kills += 1
        time.sleep(0.02)
    assert kills >= 4  # among others, alone, among its shard's photographs, alone
    index = read_index(out)
    ids = [name.decode() for name in index.columns.ids]
    assert ids == ["a_1", "b_2", "d_4", "é_5", "v_1", "w_2"]
    (left_out,) = index.left_out
    assert left_out.id == "c_3"
    assert "process that worked on it died" in left_out.reason


def limited(size: int) -> None:
    """Let no file grow beyond `size` bytes: the system refuses more as a full disk does."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def test_full_disk_is_a_clean_error(
    pristine_tree: Path, pristine_dataset: Path, recipe: Recipe, tmp_path: Path
) -> None:
    largest = max(path.stat().st_size for path in pristine_dataset.iterdir())
    rng = random.Random(3)
    for trial in range(FULL_DISKS):
        limit, out = rng.randrange(1, largest), tmp_path / f"{trial}"
        result = subprocess.run(
            build_command(pristine_tree, out, recipe),
            preexec_fn=functools.partial(limited, limit),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert result.returncode == 1, result
        assert "File too large; nothing is half-written, the same command" in result.stderr
        assert str(out) in result.stderr
        assert "Traceback" not in result.stderr
        expected = content_of(pristine_dataset)
        assert all(data == expected[name] for name, data in content_of(out).items())
        if trial % 5 == 0:
            subprocess.run(build_command(pristine_tree, out, recipe), check=True, timeout=120)
            assert content_of(out) == expected
    print(f"\n{FULL_DISKS} full disks: exit 1, one line, nothing partial")


@pytest.mark.skipif(not SOAK or shutil.which("strace") is None, reason="needs SOAK=1 and strace")
@pytest.mark.parametrize("fault", ["error=EIO", "error=ENOSPC", "signal=KILL"])
@pytest.mark.parametrize("call", ["rename", "fsync"])
def test_every_sync_and_rename_may_fail(
    pristine_tree: Path, recipe: Recipe, tmp_path: Path, call: str, fault: str
) -> None:
    """Let the k-th call fail, for every k until none is left to fail."""
    command = build_command(pristine_tree, tmp_path / "out", recipe, jobs=1)
    subprocess.run(command, check=True, timeout=120)
    expected = content_of(tmp_path / "out")
    calls = "rename,renameat,renameat2" if call == "rename" else "fsync"
    for k in range(1, 1000):
        shutil.rmtree(tmp_path / "out")
        inject = f"inject={calls}:{fault}:when={k}"
        result = subprocess.run(
            [
                "strace",
                "-f",
                "-qq",
                "-o",
                os.devnull,
                "-e",
                f"trace={calls}",
                "-e",
                inject,
                *command,
            ],
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        if result.returncode == 0 and content_of(tmp_path / "out") == expected:
            break  # no process made as many calls
        check_after_fault(tmp_path / "out", expected, result)
        subprocess.run(command, check=True, timeout=120)
        assert content_of(tmp_path / "out") == expected
    # Two renames a shard, and more syncs; the successor of a killed worker starts counting again.
    assert k > (3 if "KILL" in fault else 8)
    print(f"\n{k - 1} times {call} {fault}: nothing torn, same bytes after resuming")


def check_after_fault(
    out: Path, expected: dict[str, bytes], result: subprocess.CompletedProcess[str]
) -> None:
    """A failed build says so in a line, a finished one is sound, and no file is ever torn."""
    if (out / "index.json").exists():
        assert not [p for p in verify_dataset(out).problems if not p.field.endswith(".tmp")]
        return
    assert result.returncode != 0
    assert "Traceback" not in result.stderr
    if result.returncode == 1:
        assert "nothing is half-written" in result.stderr or "process that" in result.stderr
    maps = read_plan(out / "plan.json").maps if (out / "plan.json").exists() else {}
    for name, data in content_of(out).items():
        # strace counts separately in every process, so the k-th call may have killed worker after
        # worker: then a shard is made without the photographs that seem to be the cause.
        if name.endswith(".h5") and data != expected[name]:
            read_layout(out / name, maps)
        elif name.endswith(".json"):
            json.loads(data)
