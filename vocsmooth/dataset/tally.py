"""Count photographs while their shards are being made, over all processes of a build."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_MADE = b"\1"


@dataclass(frozen=True)
class Tally:
    """A file with one byte for each photograph, which is 1 once the photograph has been processed.

    To look at a photograph twice, as after the death of a worker, changes nothing. The count is
    only shown: where the file cannot be written, the build goes on without it.
    """

    path: Path

    def begin(self) -> None:
        """Make the file, with no photograph ticked."""
        with suppress(OSError):
            self.path.write_bytes(b"")

    def tick(self, first: int, count: int = 1) -> None:
        """Tick `count` photographs, from number `first` on."""
        with suppress(OSError), self.path.open("r+b") as file:
            file.seek(first)
            file.write(_MADE * count)

    def count(self) -> int:
        """Return how many photographs are ticked; 0 if the file cannot be read."""
        try:
            return self.path.read_bytes().count(_MADE)
        except OSError:
            return 0
