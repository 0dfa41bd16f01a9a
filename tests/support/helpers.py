"""What several tests do to folders, files and processes."""

from __future__ import annotations

import hashlib
import json
import re
import resource
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from vocsmooth.dataset.recover import write_records
from vocsmooth.shards.entries import TableEntry, totals_of
from vocsmooth.shards.index import index_files, read_index, to_bytes
from vocsmooth.shards.planned import read_plan
from vocsmooth.shards.schema import INDEX_VERSION
from vocsmooth.shards.table import encode_table
from vocsmooth.views.croissant import DESCRIPTIONS

Change = Callable[[dict[str, Any]], object]


def content_of(folder: Path) -> dict[str, bytes]:
    """Return every file's bytes by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def edit(path: Path, change: Change) -> None:
    """Change a JSON file and write it as the package would."""
    content = json.loads(path.read_bytes())
    change(content)
    path.write_bytes(to_bytes(content))


def edit_table(root: Path, **columns: Any) -> None:
    """Give the index other columns, and index.json the hash and the totals of the new table.

    Each column is a function that changes it in place, or returns another one.
    """
    index = read_index(root)
    changed = {}
    for name, change in columns.items():
        column = getattr(index.columns, name).copy()
        other = change(column)
        changed[name] = column if other is None else other
    table = replace(index.columns, **changed)
    data = encode_table(table)
    entry = TableEntry(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    changed_index = replace(index, columns=table, table=entry, totals=totals_of(table))
    for name, content in index_files(changed_index).items():
        (root / name).write_bytes(content)


def assemble_anew(root: Path) -> None:
    """Write the index that follows from the plan and the sidecars as they are now."""
    write_records(root, read_plan(root / "plan.json"), INDEX_VERSION)


def make_version1(root: Path) -> None:
    """Give a dataset the index and the descriptions that older versions wrote."""
    for name in DESCRIPTIONS:
        (root / name).unlink()
    write_records(root, read_plan(root / "plan.json"), 1)
    (root / "index.hdf5").unlink()


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
