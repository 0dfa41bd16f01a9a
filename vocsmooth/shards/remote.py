"""Read a dataset from an object store or web server by ranges of bytes, through fsspec.

The two files of the index are read whole. Of each shard only its tables are read, at first use, and
then the bytes that are asked for, many at a time. fsspec is imported only if a URL is given.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as Unanswered
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from vocsmooth.errors import DatasetError, InputError
from vocsmooth.shards.entries import Index
from vocsmooth.shards.listing import IndexedShard, list_shard
from vocsmooth.shards.schema import Maps, map_dtype, read_layout
from vocsmooth.shards.threads import Threads

Result = TypeVar("Result")

_THREADS = 16
"""Requests that a process has under way at a time."""

_ATTEMPTS = 3

_PAUSE = 0.5
"""Seconds before the second attempt; twice as many before the third."""

_PATIENCE = 60.0
"""Seconds after which a server that does not answer is given up."""

_MAX_OPEN = 16_384
"""Shards whose tables a split remembers."""

_BLOCK = 1 << 16
"""Bytes that are read at least while the tables of a shard are parsed."""


class Store:
    """The files of a folder behind a URL; picklable, and usable after a fork.

    Parameters
    ----------
    url : str
        The folder, in any scheme that fsspec knows. Credentials and options come from fsspec's own
        configuration.

    Raises
    ------
    InputError
        fsspec, or the package that it needs for this scheme, is not installed; or it does not know
        the scheme.
    """

    def __init__(self, url: str) -> None:
        self._url = url.rstrip("/")
        self._process = 0
        self._connect()

    def __reduce__(self) -> tuple[type[Store], tuple[str]]:
        return Store, (self._url,)

    def __str__(self) -> str:
        return self._url

    def __truediv__(self, name: str) -> str:
        """Return the URL of a file."""
        return f"{self._url}/{name}"

    def read_all(self, name: str) -> bytes:
        """Return a whole file; DatasetError if it cannot be had."""
        size = self.size(name)
        return self.read(name, 0, size)

    def size(self, name: str) -> int:
        """Return the length of a file; DatasetError if it is missing or the server does not say."""

        def ask() -> int:
            found = self._files.info(f"{self._folder}/{name}").get("size")
            if found is None:
                raise DatasetError(f"{self / name}: the server does not say how long the file is.")
            return int(found)

        future: Future[int] = self._submit(self._try, ask, f"the length of {self / name}")
        return self._wait(future, name)

    def open_shards(self, index: Index) -> RemoteShards:
        """Return the shards of the dataset by number, each opened when it is first asked for."""
        return RemoteShards(self, index)

    def prefetch(self, name: str, start: int, length: int) -> None:
        """Start to read a range of bytes that `read` will be asked for."""
        self._connect()
        key = (name, start, length)
        if key not in self._requested:
            self._requested[key] = self._submit(self._fetch, *key)

    def read(self, name: str, start: int, length: int) -> bytes:
        """Return a range of bytes of a file; DatasetError if exactly these cannot be had."""
        self._connect()
        key = (name, start, length)
        future = self._requested.pop(key, None) or self._submit(self._fetch, *key)
        try:
            return self._wait(future, name)
        except DatasetError:
            self._requested.clear()  # nobody will ask for the rest of this batch
            raise

    def _connect(self) -> None:
        """Make the connections of this process; those of a parent do not outlive a fork."""
        if self._process == os.getpid():
            return
        try:
            import fsspec.core

            self._files, self._folder = fsspec.core.url_to_fs(self._url, skip_instance_cache=True)
        except ImportError as error:
            raise InputError(
                f"{self._url} cannot be read: {error}. Try `pip install csgisnet[remote]`."
            ) from None
        except ValueError as error:
            raise InputError(f"{self._url} cannot be read: {error}.") from None
        self._folder = self._folder.rstrip("/")
        self._requested: dict[tuple[str, int, int], Future[bytes]] = {}
        self._threads = Threads(_THREADS)
        self._process = os.getpid()

    def _submit(self, function: Callable[..., Result], *arguments: Any) -> Future[Result]:
        """Start a task in one of the threads."""
        self._connect()
        return self._threads.submit(function, *arguments)

    def _wait(self, future: Future[Result], name: str) -> Result:
        """Return what a task gives, unless that takes too long."""
        try:
            return future.result(_PATIENCE)
        except Unanswered:
            raise DatasetError(
                f"{self / name}: the server did not answer within {_PATIENCE:g} seconds."
            ) from None

    def _fetch(self, name: str, start: int, length: int) -> bytes:
        """Read a range of bytes, which must be of the right length."""
        if length == 0:
            return b""
        what = f"bytes {start} to {start + length - 1} of {self / name}"

        def ask() -> bytes:
            path = f"{self._folder}/{name}"
            data: bytes = self._files.cat_file(path, start=start, end=start + length)
            if len(data) > length:
                raise DatasetError(
                    f"{what} were asked for, but {len(data)} bytes came: the server ignores "
                    "ranges, without which a dataset cannot be read from it."
                )
            if len(data) < length:
                raise OSError(f"only {len(data)} of {length} bytes came")
            return data

        return self._try(ask, what)

    def _try(self, ask: Callable[[], Result], what: str) -> Result:
        """Ask again if the first answer is an error that may pass."""
        attempt = 1
        while True:
            try:
                return ask()
            except DatasetError:
                raise
            except (FileNotFoundError, PermissionError) as error:
                kind = "not found" if isinstance(error, FileNotFoundError) else "access denied"
                raise DatasetError(f"Cannot read {what}: {kind}.") from None
            # Each implementation of fsspec raises errors of its own libraries.
            except Exception as error:
                if attempt == _ATTEMPTS:
                    text = f"{type(error).__name__}: {error}".rstrip(": ")
                    raise DatasetError(
                        f"Cannot read {what} after {_ATTEMPTS} attempts: {text}."
                    ) from None
            time.sleep(_PAUSE * attempt)
            attempt += 1


class RemoteShards(dict[int, "RemoteShard"]):
    """The shards of a dataset by number; to `Split` like `MappedShards`."""

    def __init__(self, store: Store, index: Index) -> None:
        self._store, self._index = store, index

    def __missing__(self, number: int) -> RemoteShard:
        if len(self) >= _MAX_OPEN:
            del self[next(iter(self))]
        indexed = list_shard(self._index, number)
        self[number] = RemoteShard(self._store, indexed, self._index.digest, self._index.maps)
        return self[number]

    def current(self, number: int) -> RemoteShard:
        """Return a shard; each answer for it is checked by its length."""
        return self[number]


class RemoteShard:
    """The maps of one shard in a store; to `Split` like a `MappedShard`.

    Raises
    ------
    DatasetError
        The file is not a sound shard, or not the one that `indexed` describes.
    """

    def __init__(self, store: Store, indexed: IndexedShard, digest: str, maps: Maps) -> None:
        name = indexed.entry.name
        where = store / name
        size = store.size(name)
        if size != indexed.entry.bytes:
            raise DatasetError(
                f"{where} has {size} bytes, but the index says {indexed.entry.bytes}: it is not "
                "the shard of this index, or was not copied whole."
            )
        layout = read_layout(io.BufferedReader(_RangeFile(store, name, size), _BLOCK), maps, where)
        if layout.digest != digest or not indexed.matches(layout):
            raise DatasetError(f"{where} is a shard, but not the one that the index describes.")
        self.arrays = {
            map_name: RemoteMap(store, name, place.offset, map_dtype(map_name), place.shape[1:])
            for map_name, place in layout.maps.items()
        }

    def will_need(self, name: str, first: int, count: int) -> None:
        """Start to read `count` pixels of a map."""
        self.arrays[name].prefetch(first, count)


class RemoteMap:
    """The pixels of one map of a shard in a store; a slice of them reads their bytes."""

    def __init__(
        self,
        store: Store,
        file: str,
        offset: int,
        dtype: np.dtype[Any],
        tail: tuple[int, ...],
    ) -> None:
        self._store, self._file, self._offset = store, file, offset
        self._dtype, self._tail = dtype, tail
        self._pixel = dtype.itemsize * int(np.prod(tail))

    def prefetch(self, first: int, count: int) -> None:
        """Start to read pixels that will be asked for."""
        self._store.prefetch(self._file, *self._range(first, count))

    def __getitem__(self, pixels: slice) -> NDArray[Any]:
        count = pixels.stop - pixels.start
        data = self._store.read(self._file, *self._range(pixels.start, count))
        return np.frombuffer(data, self._dtype).reshape(count, *self._tail)

    def _range(self, first: int, count: int) -> tuple[int, int]:
        """Return the first byte of some pixels, and how many they are."""
        return self._offset + first * self._pixel, count * self._pixel


class _RangeFile(io.RawIOBase):
    """A file in a store, for HDF5 to parse through a buffer."""

    def __init__(self, store: Store, name: str, size: int) -> None:
        self._store, self._name, self._size = store, name, size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        origin = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = origin + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        length = max(0, min(len(buffer), self._size - self._position))
        buffer[:length] = self._store.read(self._name, self._position, length)
        self._position += length
        return length
