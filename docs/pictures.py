"""A hook of mkdocs: pages show the pictures that the benchmarks write, without a second copy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

RESULTS = Path(__file__).resolve().parents[1] / "benchmarks/results"


def on_files(files: Files, config: Any) -> Files:
    """Add every picture of the benchmarks as pictures/NAME."""
    for path in sorted(RESULTS.glob("*.jpg")):
        files.append(File.generated(config, f"pictures/{path.name}", abs_src_path=str(path)))
    return files
