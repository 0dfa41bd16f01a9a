"""Random damage to a dataset's files: all of it is reported, none of it harms the reader.

`make test` runs a few of each, `make soak` (SOAK=1) the full counts, printed at the end.
"""

import hashlib
import os
import random
import signal
import traceback
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from helpers import edit

from vocsmooth.dataset.check import check_shard
from vocsmooth.dataset.verify import verify_dataset
from vocsmooth.errors import DatasetError
from vocsmooth.shards.index import read_index
from vocsmooth.shards.reader import open_dataset
from vocsmooth.shards.scan import list_shards
from vocsmooth.shards.schema import read_layout
from vocsmooth.views.croissant import DESCRIPTIONS

SOAK = bool(os.environ.get("SOAK"))
FLIPS = 2000 if SOAK else 100
TRUNCATIONS = 500 if SOAK else 30
ZEROED_PAGES = 500 if SOAK else 30
MUTANTS = 20_000 if SOAK else 200

pytestmark = pytest.mark.timeout(7200 if SOAK else 300)


def test_flips_truncations_and_lost_pages_are_reported(dataset: Path) -> None:
    """Damage to any byte of any file; shards are checked by their task, the others by `verify`."""
    index = read_index(dataset)
    shards = {shard.entry.name: shard for shard in list_shards(dataset, index)}
    rng = random.Random(11)
    damages = ["flip"] * FLIPS + ["truncation"] * TRUNCATIONS + ["lost page"] * ZEROED_PAGES
    # Descriptions are for people and may be edited.
    files = sorted(path for path in dataset.iterdir() if path.name not in DESCRIPTIONS)
    weights = [1 if path.suffix == ".h5" else 0.02 for path in files]
    chosen = [*files, *rng.choices(files, weights, k=len(damages) - len(files))]
    for damage, path in zip(damages, chosen, strict=True):
        before = path.read_bytes()
        path.write_bytes(damaged(before, damage, rng))
        if path.suffix == ".h5":
            assert check_shard(shards[path.name]), f"{damage} in {path.name} not noticed"
        else:
            assert verify_dataset(dataset, jobs=1).problems, f"{damage} in {path.name} not noticed"
        path.write_bytes(before)
    assert verify_dataset(dataset, jobs=1).problems == ()
    print(f"\n{dict(Counter(damages))}: all reported")


def damaged(data: bytes, damage: str, rng: random.Random) -> bytes:
    """Flip a bit, cut off the end, or lose a page that is not empty already."""
    position = rng.randrange(len(data))
    if damage == "flip":
        return (
            data[:position] + bytes([data[position] ^ 1 << rng.randrange(8)]) + data[position + 1 :]
        )
    if damage == "truncation":
        return data[:position]
    start = position - position % 4096
    lost = data[:start] + bytes(len(data[start : start + 4096])) + data[start + 4096 :]
    return lost if lost != data else bytes(len(data))


@pytest.mark.parametrize("name", ["val-00000.h5", "index.hdf5"])
def test_mutants_are_read_or_refused(dataset: Path, name: str) -> None:
    """Files with random damage to their structure neither crash nor hang nor surprise the reader.

    Each child process reads a hundred files; its exit status says how that ended.
    """
    index = read_index(dataset)
    path = dataset / name
    whole = path.read_bytes()
    read = partial(read_layout, maps=index.maps) if path.suffix == ".h5" else open_with_table
    outcomes: Counter[str] = Counter()
    for batch in range(0, MUTANTS, 100):
        child = os.fork()
        if child == 0:
            os._exit(read_mutants(whole, read, path, seed=batch))
        signal_number = os.waitpid(child, 0)[1]
        outcomes["ok" if signal_number == 0 else f"status {signal_number}"] += 1
    assert outcomes == {"ok": MUTANTS // 100}
    print(f"\n{MUTANTS} mutants of {name}: all read or refused, none crashed or hung")


def read_mutants(whole: bytes, read: Callable[[Path], object], path: Path, seed: int) -> int:
    """Read a hundred mutants; return 0 if each was read or refused, within a minute in all."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(60)
    rng = random.Random(seed)
    structure = [i for i in range(len(whole)) if i < 8192 or i > len(whole) - 8192]
    for _ in range(100):
        mutant = bytearray(whole)
        for _ in range(rng.randint(1, 8)):
            mutant[rng.choice(structure)] = rng.choice([0, 1, 0x7F, 0xFF, rng.randrange(256)])
        path.write_bytes(mutant)
        try:
            read(path)
        except DatasetError:
            continue
        except BaseException:
            traceback.print_exc()
            return 1
    return 0


def open_with_table(path: Path) -> None:
    """Open a dataset whose index.json gives the SHA-256 of this table, whatever is in it."""
    data = path.read_bytes()
    entry = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    edit(path.parent / "index.json", lambda content: content.update(table=entry))
    index = read_index(path.parent)
    assert len(index.shards) == len(index.columns.split)
    assert len(index.left_out) == index.totals.rejected + index.totals.errors
    opened = open_dataset(path.parent)
    assert sum(len(opened.split(split)) for split in index.splits) == index.totals.samples
