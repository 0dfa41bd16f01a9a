"""Each wing imports only what its row of one table allows, and importing stays light."""

from __future__ import annotations

import ast
import pkgutil
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

GROUND = ("vocsmooth",)
BOTH = ("vocsmooth", "csgisnet")
BELOW_MAPS = (
    "vocsmooth",
    *(f"vocsmooth.{wing}" for wing in ("workers", "operators", "images", "shards", "sources")),
)

# From the bottom to the top. "vocsmooth" and "csgisnet" are the modules directly in these folders,
# "... (face)" what their `__init__` and `__main__` hand on.
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "vocsmooth": (),
    "vocsmooth.workers": GROUND,
    "vocsmooth.operators": GROUND,
    "vocsmooth.images": (*GROUND, "vocsmooth.workers"),
    "vocsmooth.shards": (*GROUND, "vocsmooth.workers"),
    "vocsmooth.views": (*GROUND, "vocsmooth.shards"),
    "vocsmooth.sources": (
        *(*GROUND, "vocsmooth.workers"),
        *("vocsmooth.operators", "vocsmooth.images"),
    ),
    "vocsmooth.maps": BELOW_MAPS,
    "vocsmooth.dataset": (*BELOW_MAPS, "vocsmooth.maps", "vocsmooth.views"),
    "csgisnet": GROUND,
    "csgisnet.networks": BOTH,
    "csgisnet.checkpoints": (*BOTH, "csgisnet.networks"),
    "csgisnet.evaluation": (*BOTH, "vocsmooth.shards"),
    "csgisnet.objective": (
        *(*BOTH, "vocsmooth.operators"),
        *("csgisnet.networks", "csgisnet.checkpoints"),
    ),
    "csgisnet.prediction": (
        *(*BOTH, "vocsmooth.operators"),
        *("csgisnet.networks", "csgisnet.checkpoints"),
    ),
    "csgisnet.preview": (
        *(*BOTH, "vocsmooth.operators", "vocsmooth.images"),
        *(f"csgisnet.{wing}" for wing in ("networks", "checkpoints", "prediction")),
    ),
    "csgisnet.training": (
        *(*BOTH, "vocsmooth.operators", "vocsmooth.shards"),
        *(f"csgisnet.{wing}" for wing in ("networks", "checkpoints", "evaluation")),
        *(f"csgisnet.{wing}" for wing in ("objective", "prediction")),
    ),
}
MAY_IMPORT["vocsmooth (face)"] = (*GROUND, "vocsmooth.operators")
MAY_IMPORT["csgisnet (face)"] = (*BOTH, "csgisnet.checkpoints", "csgisnet.prediction")
MAY_IMPORT["cli"] = tuple(MAY_IMPORT)

DATA = ("csgisnet.configs", "csgisnet.models")
"""Folders that hold files and no code."""

BANNED = {
    "vocsmooth": {"torch", "click", "rich", "csgisnet", "vocsmooth_cli", "cli"},
    "csgisnet": {"click", "rich", "vocsmooth_cli", "cli"},
}


def wing_of(module: str) -> str:
    """Return the wing that a module of ours lies in, by its dotted name."""
    package, *rest = module.split(".")
    if package == "cli":
        return "cli"
    if rest in (["__init__"], ["__main__"]):
        return f"{package} (face)"
    folder = f"{package}.{rest[0]}" if rest else package
    return folder if (ROOT / folder.replace(".", "/")).is_dir() and folder not in DATA else package


def imports() -> Iterator[tuple[str, str]]:
    """Yield every import in our code, also inside functions: the importing module, and what."""
    for package in ("vocsmooth", "csgisnet", "cli"):
        for path in sorted((ROOT / package).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    yield from ((name, alias.name) for alias in node.names)
                elif isinstance(node, ast.ImportFrom) and node.level:
                    assert package == "cli", f"{name} imports relatively"
                elif isinstance(node, ast.ImportFrom):
                    yield from ((name, f"{node.module}.{alias.name}") for alias in node.names)


IMPORTS = list(imports())


def folders() -> set[str]:
    """Return every folder of code directly in the two packages."""
    found = {
        f"{package}.{path.parent.name}"
        for package in ("vocsmooth", "csgisnet")
        for path in (ROOT / package).glob("*/__init__.py")
    }
    return found - set(DATA)


def test_every_wing_has_a_row_and_every_row_is_a_wing() -> None:
    assert {row for row in MAY_IMPORT if "." in row} == folders()
    assert {wing_of(module) for module, _ in IMPORTS} <= set(MAY_IMPORT)


def test_the_table_points_downwards_only() -> None:
    """Each row names rows above it, so no circle can be legal."""
    rows = list(MAY_IMPORT)
    for number, row in enumerate(rows):
        assert set(MAY_IMPORT[row]) <= set(rows[:number]), row


@pytest.mark.parametrize("wing", MAY_IMPORT)
def test_a_wing_imports_only_what_its_row_says(wing: str) -> None:
    legal = {wing, *MAY_IMPORT[wing]}
    wrong = [
        (module, target)
        for module, target in IMPORTS
        if wing_of(module) == wing
        and target.split(".")[0] in ("vocsmooth", "csgisnet")
        and wing_of(target) not in legal
    ]
    assert wrong == []


@pytest.mark.parametrize("package", BANNED)
def test_libraries_import_neither_commands_nor_what_lies_above(package: str) -> None:
    wrong = [
        (module, target)
        for module, target in IMPORTS
        if module.split(".")[0] == package and target.split(".")[0] in BANNED[package]
    ]
    assert wrong == []


def test_no_part_of_vocsmooth_loads_torch() -> None:
    names = sorted(
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in (ROOT / "vocsmooth").rglob("*.py")
        if path.stem != "__main__"
    )
    code = (
        f"import sys, importlib\nfor name in {names!r}: importlib.import_module(name)\n"
        "sys.exit('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("module", ["vocsmooth", "vocsmooth.operators", "vocsmooth.shards.reader"])
def test_the_faces_do_not_load_click(module: str) -> None:
    code = f"import sys, {module}; sys.exit('click' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


LONGEST = 300

SOURCE = {".py", ".c", ".h", ".js", ".css", ".html"}
"""What people write by hand; recipes, records and pictures may be longer."""

WRITTEN = ["vocsmooth", "csgisnet", "cli", "tests", "benchmarks", "docs", "integrations"]


@pytest.mark.parametrize("folder", WRITTEN)
def test_no_file_is_longer_than_a_reader_takes_in(folder: str) -> None:
    made = ROOT / "docs" / "site"  # by `make docs`
    lengths = {
        path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines())
        for path in (ROOT / folder).rglob("*")
        if path.suffix in SOURCE and made not in path.parents
    }
    assert lengths
    assert {name: length for name, length in lengths.items() if length > LONGEST} == {}


def documented_row(docstring: str) -> set[str]:
    """Return the wings that a docstring's sentence "May import ..." names in backticks."""
    sentence = re.search(r"May import:? (.*?)\.(\s|$)", " ".join(docstring.split()))
    assert sentence is not None, "lacks a sentence 'May import ...'"
    named = re.findall(r"`([\w.]+)`", sentence[1])
    return {name.removeprefix("vocsmooth.").removeprefix("csgisnet.") for name in named}


@pytest.mark.parametrize("wing", sorted(folders()))
def test_each_wing_tells_its_job_its_reading_order_and_its_row(wing: str) -> None:
    folder = ROOT / wing.replace(".", "/")
    docstring = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
    assert docstring is not None
    assert docstring.splitlines()[0].endswith(".")
    named = set(re.findall(r"`([\w.]+)`", docstring))
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert modules <= named, f"the reading order lacks {sorted(modules - named)}"
    allowed = {row.split(".")[1] for row in MAY_IMPORT[wing] if "." in row}
    assert documented_row(docstring) - {"vocsmooth", "csgisnet"} == allowed


@pytest.mark.parametrize("package", ["vocsmooth", "csgisnet"])
def test_the_root_docstrings_list_the_wings(package: str) -> None:
    source = (ROOT / package / "__init__.py").read_text(encoding="utf-8")
    docstring = ast.get_docstring(ast.parse(source)) or ""
    listed = re.findall(r"^- `(\w+)`: ", docstring, flags=re.MULTILINE)
    rows = [row.split(".")[1] for row in MAY_IMPORT if row.startswith(f"{package}.")]
    assert sorted(listed) == sorted(rows)


def test_docstrings_name_what_exists() -> None:
    """A path of ours in backticks leads to a module or to something in one."""
    stale = []
    for package in ("vocsmooth", "csgisnet"):
        for path in sorted((ROOT / package).rglob("*.py")):
            text = path.read_text(encoding="utf-8")
            names = re.findall(r"`((?:vocsmooth|csgisnet)\.[\w.]+)`", text)
            stale += [(path.name, name) for name in names if not exists(name)]
    assert stale == []


def exists(name: str) -> bool:
    """Return whether a dotted name leads to a module or to something in one."""
    try:
        pkgutil.resolve_name(name)
    except (ImportError, AttributeError):
        return False
    return True
