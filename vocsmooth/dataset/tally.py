"""Count photographs while their shards are being made, over all processes of a build."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

_MADE = b"\1"


@dataclass
class Tally:
    """A file with one byte for each photograph, which is 1 once the photograph has been processed.

    To look at a photograph twice, as after the death of a worker, changes nothing. The count is
    only shown: where the file cannot be written, the build goes on without it.
    """

    path: Path
    _whole: int = field(default=0, init=False)
    """So many photographs from the first on were all ticked at the last count."""

    def begin(self) -> None:
        """Make the file, with no photograph ticked."""
        self._whole = 0
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
            with self.path.open("rb") as file:
                file.seek(self._whole)  # reading all of it for each shard would add up
                ticks = file.read()
        except OSError:
            return 0
        count = self._whole + ticks.count(_MADE)
        self._whole += len(ticks) - len(ticks.lstrip(_MADE))
        return count
