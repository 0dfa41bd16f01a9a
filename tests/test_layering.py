"""Dependencies point one way: cli -> csgisnet -> vocsmooth, and importing stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

PACKAGES = ("vocsmooth", "csgisnet", "vocsmooth_cli")

# The reader and its index, the errors, and the helpers that both sides would otherwise write twice.
NETWORK_MAY_IMPORT = {
    "vocsmooth.arrays",
    "vocsmooth.errors",
    "vocsmooth.files",
    "vocsmooth.classes",
    "vocsmooth.shards.index",
    "vocsmooth.shards.entries",
    "vocsmooth.settings",
    "vocsmooth.shards",
    "vocsmooth.shards.reader",
}


def imports(package: str) -> Iterator[tuple[Path, str]]:
    """Every module that the package's files import anywhere, also inside functions."""
    for path in sorted((ROOT / package).glob("**/*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from ((path, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module in PACKAGES:
                yield from ((path, f"{node.module}.{alias.name}") for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield path, node.module


def test_vocsmooth_imports_neither_torch_nor_click_nor_the_layers_above() -> None:
    banned = {"torch", "click", "csgisnet", "vocsmooth_cli", "cli"}
    assert [(p.name, m) for p, m in imports("vocsmooth") if m.split(".")[0] in banned] == []


def test_csgisnet_imports_only_the_reader_and_the_helpers_of_vocsmooth() -> None:
    found = {m for _, m in imports("csgisnet") if m.split(".")[0] == "vocsmooth"}
    assert found <= NETWORK_MAY_IMPORT
    assert not [m for _, m in imports("csgisnet") if m.split(".")[0] in ("click", "vocsmooth_cli")]


@pytest.mark.parametrize("module", ["vocsmooth", "vocsmooth.operators", "vocsmooth.shards"])
def test_importing_vocsmooth_does_not_import_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules or 'click' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
