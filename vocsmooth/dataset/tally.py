"""Count photographs while their shards are being made, over all processes of a build."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_MADE = b"\1"


@dataclass(frozen=True)
class Tally:
    """A file with one byte for each photograph, which is 1 once the photograph has been looked at.

    To look at a photograph twice, as after the death of a worker, changes nothing. The count is
    only shown: where the file cannot be written, the build goes on without it.
    """

    path: Path

    def begin(self) -> None:
        """Make the file, with no photograph ticked."""
        self._write(os.O_CREAT | os.O_TRUNC, 0, b"")

    def tick(self, first: int, count: int = 1) -> None:
        """Tick `count` photographs, from number `first` on."""
        self._write(0, first, _MADE * count)

    def count(self) -> int:
        """Return how many photographs are ticked; 0 if the file cannot be read."""
        try:
            return self.path.read_bytes().count(_MADE)
        except OSError:
            return 0

    def _write(self, flags: int, first: int, data: bytes) -> None:
        """Write `data` at byte `first`, if that is possible."""
        try:
            descriptor = os.open(self.path, os.O_WRONLY | flags, 0o644)
            try:
                os.pwrite(descriptor, data, first)
            finally:
                os.close(descriptor)
        except OSError:
            pass
