"""The digests of a shard's file: SHA-256, and BLAKE3 where it is known.

SHA-256 is what every system, catalogue and archive can check. BLAKE3 (O'Connor, Aumasson, Neves and
Wilcox-O'Hearn, 2020) is as hard to forge, and hashes several blocks of a file at the same time:
with instructions for SHA in the processor it takes little more than half as long on one core, and a
seventh of the time when they are switched off (on an EPYC). So it alone proves a file whose records
are proved. Where nothing vouches for the records, both are compared, so that neither can be wrong.
Shards that were made before BLAKE3 was recorded are proved by SHA-256.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypedDict

from blake3 import blake3

from vocsmooth.files import Hasher, hash_file
from vocsmooth.shards.entries import ShardEntry


class Digests(TypedDict):
    """Both digests, hexadecimal, by the names that they have in `ShardEntry`."""

    sha256: str
    blake3: str


class Proof(NamedTuple):
    """How the bytes of a shard are proved."""

    name: str
    """Of the digest, as in `ShardEntry`."""
    new: Callable[[], Hasher]
    """Gives what computes it."""
    expected: str
    """What it shall give, hexadecimal."""


def proofs_of(entry: ShardEntry, *, every: bool = False) -> tuple[Proof, ...]:
    """Return the fastest way to prove a shard, or `every` way."""
    sha256 = Proof("sha256", hashlib.sha256, entry.sha256)
    if not entry.blake3:
        return (sha256,)
    fastest = Proof("blake3", blake3, entry.blake3)
    return (fastest, sha256) if every else (fastest,)


def digests_of(data: bytes | bytearray | memoryview) -> Digests:
    """Return both digests of the bytes of a shard."""
    return Digests(sha256=hashlib.sha256(data).hexdigest(), blake3=blake3(data).hexdigest())


def is_proved(path: Path, entry: ShardEntry) -> bool:
    """Return whether a file has every digest of a shard; OSError if it cannot be read."""
    proofs = proofs_of(entry, every=True)
    hashers = [proof.new() for proof in proofs]
    hash_file(path, *hashers)
    return all(h.hexdigest() == p.expected for h, p in zip(hashers, proofs, strict=True))
