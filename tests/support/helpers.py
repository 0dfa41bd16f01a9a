"""What several tests do to folders, files and processes."""

from __future__ import annotations

import json
import re
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vocsmooth.shards.index import to_bytes

Change = Callable[[dict[str, Any]], object]


def content_of(folder: Path) -> dict[str, bytes]:
    """Return every file's bytes by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def edit(path: Path, change: Change) -> None:
    """Change a JSON file and write it as the package would."""
    content = json.loads(path.read_bytes())
    change(content)
    path.write_bytes(to_bytes(content))


def flip_a_bit(path: Path) -> None:
    """Flip the last bit of a file, in place."""
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


def memory_of(process: int) -> float:
    """Return the resident bytes of a process, 0 if it is gone."""
    try:
        pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return pages * resource.getpagesize()


def data_of(page: str) -> dict[str, Any]:
    """Return what the script of a dataset's page shows."""
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    content: dict[str, Any] = json.loads(found[1])
    return content
