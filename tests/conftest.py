"""Fixtures that all tests share."""

import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest

from vocsmooth.sources.tree import Entry, write_tree

# Networks of a few channels are slower on several threads; subprocesses inherit this. Set before
# anything imports torch.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A job in the background of a script ignores interrupts from its start, and so would all that tests
# start in order to interrupt it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--record-golden", action="store_true", help="record the golden values anew")
    parser.addoption(
        "--accelerator", default="cuda", help="device of the tests marked cuda; cpu tries them"
    )


SIZES = {
    "train": {"a_1": (40, 56), "b_2": (33, 47), "c_3": (48, 40), "d_4": (25, 61), "é_5": (40, 40)},
    "val": {"v_1": (36, 52), "w_2": (45, 31)},
}
"""Height and width of every photograph by split and id."""


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of reference material beside the repository; tests that need it skip without it."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not (folder / "operators").is_dir():
        pytest.skip("needs the reference folder shared/ beside the repository")
    return folder


@pytest.fixture(scope="session")
def pristine_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree as written; for tests that only read it."""
    root = tmp_path_factory.mktemp("voc")
    rng = np.random.default_rng(5)

    def draw(name: str, height: int, width: int) -> Entry:
        mask = np.zeros((height, width), np.uint8)
        mask[height // 4 : height // 2, width // 4 : width // 2] = 12
        mask[0] = 255
        pixels = np.where(mask[..., None] == 12, 180, 70) + rng.integers(-25, 26, (1, width, 3))
        return Entry(name, pixels.astype(np.uint8), mask)

    entries = [draw(name, *size) for sizes in SIZES.values() for name, size in sizes.items()]
    splits = {split: list(sizes) for split, sizes in SIZES.items()}
    write_tree(root, splits, entries, sources="drawn for tests", suffix=".jpg")
    return root


@pytest.fixture
def tree(pristine_tree: Path, tmp_path: Path) -> Path:
    """A copy of the tree; for tests that damage it."""
    return shutil.copytree(pristine_tree, tmp_path / "voc")
