"""What lies on disk: the format of a dataset, its records, and what writes and reads it.

Read `schema` (a shard, read by way of `guarded`), `table` (the index's columns) and `entries` (the
JSON files) first, then `digests`, `planned`, `assembling`, `index`, `version1` (of older datasets),
`listing` and `writer`. Four ways to read follow: `reader` opens a dataset for training, `split`,
`photographs`, `windows`, `mapped`, `headers`, `native`, `pages` and `disk` give its samples in any
order, and `remote`, with its `threads`, those of a copy behind a URL; `order` draws the samples
that training takes, and `fetching` has their shards read from slow disks; `scan` goes through every
shard from end to end; `packed` is the compressed form of a shard. May import the ground and
`workers`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vocsmooth.shards.order import SampleOrder
    from vocsmooth.shards.reader import Dataset, open_dataset
    from vocsmooth.shards.split import Split

__all__ = ["Dataset", "SampleOrder", "Split", "open_dataset"]

_MODULES = {
    "Dataset": "reader",
    "SampleOrder": "order",
    "Split": "split",
    "open_dataset": "reader",
}


def __getattr__(name: str) -> Any:
    """Import a name when it is first asked for (PEP 562)."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value
    return value
