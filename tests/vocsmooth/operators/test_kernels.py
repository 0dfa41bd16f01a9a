"""The compiled kernels: what they say of themselves, what is refused, and their errors."""

import ctypes
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vocsmooth import libraries
from vocsmooth.operators import compiled, compiled_solvers, interface, kernels

SOURCES = Path(kernels.__file__).with_name("csrc")

needs_library = pytest.mark.skipif(kernels.library is None, reason="the kernels were not compiled")

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")


Build = Callable[[str, str, str], Path]


def load(path: Path) -> libraries.Loaded:
    return libraries.load_library(path, interface.INTERFACE)


def compile_c(*arguments: str | Path) -> None:
    command = ["cc", "-O0", "-fPIC", "-fvisibility=hidden", *map(str, arguments)]
    subprocess.run(command, check=True)


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.fixture(scope="module")
def objects(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the sources, all compiled; module.c without what needs Python's headers."""
    folder = shutil.copytree(SOURCES, tmp_path_factory.mktemp("kernels") / "csrc")
    module = '#include "kernels.h"\nEXPORT const int kernels_abi = KERNELS_ABI;\n'
    (folder / "module.c").write_text(module)
    shutil.copy(Path(libraries.__file__).parent / "csrc/library.h", folder)
    replace(folder / "library.h", "__has_attribute(target_clones)", "0")  # compiles in a third
    for file in folder.glob("*.c"):
        compile_c("-c", file, "-o", file.with_suffix(".o"))
    return folder


@pytest.fixture
def build(objects: Path, tmp_path: Path) -> Build:
    """Link the kernels, one of whose sources has another text in one place."""

    def build(file: str, old: str, new: str) -> Path:
        folder = shutil.copytree(objects, tmp_path / "csrc")
        source, library = folder / file, tmp_path / "_kernels.so"
        replace(source, old, new)
        compile_c("-c", source, "-o", source.with_suffix(".o"))
        compile_c("-shared", *folder.glob("*.o"), "-lm", "-o", library)
        return library

    return build


def test_describes_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    if kernels.library is not None:
        assert kernels.describe().startswith("C (_kernels")
    monkeypatch.setattr(kernels, "library", None)
    assert kernels.describe().startswith("NumPy, several times slower: ")


def test_chooses_numpy_without_the_library_or_where_it_cannot_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kernels, "library", ctypes.CDLL(None))
    assert kernels.choose("C", "NumPy") == "C"
    assert kernels.choose("C", "NumPy", supported=False) == "NumPy"
    monkeypatch.setattr(kernels, "library", None)
    assert kernels.choose("C", "NumPy") == "NumPy"


WITHOUT_LIBRARY = """
import numpy, vocsmooth
from vocsmooth.operators import kernels
kernels.library = None
for _ in range(2):
    vocsmooth.rtv_smooth(numpy.full((4, 5), 0.5))
"""


def test_the_first_slow_operator_says_so_once_on_stderr_and_what_to_do() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", WITHOUT_LIBRARY],
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = done.stderr.splitlines()
    assert line.startswith("The operators of vocsmooth run in NumPy, several times slower: ")
    assert "install a C compiler" in line
    assert done.stdout == ""


def test_without_the_library_its_functions_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "library", None)
    with pytest.raises(RuntimeError, match="not built"):
        compiled_solvers.screened_workspace((1, 2, 3))


@needs_library
def test_rtv_weights_take_any_strides() -> None:
    image = np.random.default_rng(0).random((9, 14, 3))
    view = np.moveaxis(image, 2, 0)
    kernel = np.array([0.4, 0.3], np.float32)
    for strided, contiguous in zip(
        compiled.rtv_weights(view, kernel, lam=0.1, sharpness=0.02, windowed_floor=1e-3),
        compiled.rtv_weights(view.copy(), kernel, lam=0.1, sharpness=0.02, windowed_floor=1e-3),
        strict=True,
    ):
        np.testing.assert_array_equal(strided, contiguous)


@needs_compiler
def test_a_library_of_these_sources_is_taken(build: Build) -> None:
    loaded = load(build("module.c", "const int", "int const"))
    assert loaded.refusal == ""
    assert loaded.library is not None
    assert loaded.library.fft_cost(64) > 0


@needs_compiler
@pytest.mark.parametrize(
    ("file", "old", "new", "mismatch"),
    [
        (
            "rtv.c",
            "    float lam, sharpness, windowed_floor;\n",
            "    float sharpness, lam, windowed_floor;\n",
            "Weights.lam is f32 at byte 20, expected f32 at byte 16",
        ),
        (
            "multigrid.c",
            "    double tolerance;    /* stop",
            "    long tolerance;    /* stop",
            "Problem.tolerance is n64 at byte 16, expected d64 at byte 16",
        ),
        (
            "guided.c",
            "} Guided;",
            "    int threads;\n} Guided;",
            "Guided is 64 bytes, expected 56 bytes",
        ),
        (
            "module.c",
            "KERNELS_ABI;",
            "KERNELS_ABI + 1;",
            f"its ABI is {interface.ABI + 1}, expected {interface.ABI}",
        ),
        ("l0.c", "EXPORT void l0_round", "void l0_round", "it lacks l0_round"),
    ],
)
def test_a_library_of_other_sources_is_refused(
    build: Build,
    monkeypatch: pytest.MonkeyPatch,
    file: str,
    old: str,
    new: str,
    mismatch: str,
) -> None:
    loaded = load(build(file, old, new))
    assert loaded.library is None
    assert loaded.refusal == f"_kernels.so was built from other sources: {mismatch}"
    monkeypatch.setattr(kernels, "library", loaded.library)
    monkeypatch.setattr(kernels, "_refusal", loaded.refusal)
    assert kernels.describe().startswith(f"NumPy, several times slower: {loaded.refusal}. ")


def test_a_file_that_is_not_a_library_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "_kernels.so"
    path.write_bytes(b"not a library")
    loaded = load(path)
    assert loaded.library is None
    assert re.match(r"_kernels\.so cannot be loaded: ", loaded.refusal)
