"""A hook of mkdocs: pages show pictures that lie elsewhere, without a second copy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]


def on_files(files: Files, config: Any) -> Files:
    """Add every picture of the benchmarks and the integrations as pictures/NAME."""
    for path in sorted(
        [
            *ROOT.glob("benchmarks/results/*.jpg"),
            *ROOT.glob("benchmarks/results/*.svg"),
            *ROOT.glob("integrations/*/*.jpg"),
        ]
    ):
        files.append(File.generated(config, f"pictures/{path.name}", abs_src_path=str(path)))
    return files
