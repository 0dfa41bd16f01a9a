"""A watch for when the pages of mapped shards have to come from the disk."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

if sys.platform != "win32":
    import resource

_ANNOUNCED_BATCHES = 64


class DiskWatch:
    """Notices when this process has to wait for the disk because a mapped page is not in memory.

    Announcing every span before it is touched makes a cold disk nine times as fast, but costs a
    quarter of the speed when everything is in memory already. So spans are announced only for some
    batches after one that had to wait.

    Parameters
    ----------
    always : bool
        Announce every span: none is ever in memory, since it comes from a server.
    """

    def __init__(self, *, always: bool = False) -> None:
        self._always, self._announce = always, 0

    @contextmanager
    def watched(self) -> Iterator[bool]:
        """Watch a block that reads a batch; yield whether it should announce its spans."""
        if self._always:
            yield True
            return
        if self._announce > 0:  # two threads may have counted down from one
            self._announce -= 1
            yield True
            return
        before = _waits_for_the_disk()
        yield False
        if _waits_for_the_disk() > before:
            self._announce = _ANNOUNCED_BATCHES


def _waits_for_the_disk() -> int:
    """Return how often a page that this process touched was not in memory; 0 on Windows."""
    if sys.platform == "win32":
        return 0
    else:  # noqa: RET505 (type checkers leave out what Windows lacks)
        return resource.getrusage(resource.RUSAGE_SELF).ru_majflt
