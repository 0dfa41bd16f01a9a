"""Open a dataset: the index says what each split holds, and each split reads its own shards."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vocsmooth.errors import DatasetError, UnknownNameError
from vocsmooth.files import AnyPath, as_path
from vocsmooth.shards.entries import Index, ShardEntry
from vocsmooth.shards.index import parse_index, read_index
from vocsmooth.shards.schema import BASE_MAPS
from vocsmooth.shards.split import Split
from vocsmooth.shards.table import find_repeated

if TYPE_CHECKING:
    from vocsmooth.shards.remote import Store

_URL = re.compile(r"[a-z][a-z0-9+]+://", re.IGNORECASE)


def open_dataset(root: AnyPath) -> Dataset:
    """Open the dataset in the folder `root`.

    This reads the index and compares the sizes of the shards with it. The shards themselves are
    opened by each process that reads from them, at its first read.

    Parameters
    ----------
    root : str or path-like
        What `vocsmooth build` wrote; or, as a str, the URL of a copy of it in any scheme of fsspec,
        such as "s3://bucket/voc-smooth" or "https://example.org/voc-smooth".

    Returns
    -------
    Dataset
        Its splits, each a sequence of samples.

    Raises
    ------
    DatasetError
        The folder does not hold a complete dataset of this version, its index lists a photograph
        twice, or a shard is missing or does not have the size that the index gives. The size of a
        shard behind a URL is compared at its first read; reading may raise this, too, when a server
        fails.
    InputError
        What fsspec needs for the URL is not installed.

    Examples
    --------
    With a dataset of one photograph of 16 x 12 pixels in the folder "voc-smooth":

    >>> split = open_dataset("voc-smooth").split("train")
    >>> sample = split.read(0, ["input", "label"])
    >>> {name: pixels.shape for name, pixels in sample.items()}
    {'input': (12, 16, 3), 'label': (12, 16, 3)}
    """
    if isinstance(root, str) and _URL.match(root):
        from vocsmooth.shards.remote import Store  # not for the readers of folders

        store = Store(root)
        dataset = Dataset(store, _index_of(store))
        _check_ids(dataset)
        return dataset
    root = as_path(root, "root")
    dataset = Dataset(root, _index_of(root))
    _check_ids(dataset)
    for entry in dataset.index.shards:
        _check_length(root, entry)
    return dataset


class Dataset:
    """A dataset in a folder or behind a URL, from `open_dataset`.

    Examples
    --------
    With a dataset of one photograph of 16 x 12 pixels in the folder "voc-smooth":

    >>> dataset = open_dataset("voc-smooth")
    >>> dataset.splits, dataset.negatives
    (('train',), ())
    >>> len(dataset.split("train"))
    4
    """

    recipe: dict[str, Any]
    """The resolved recipe that it was built from."""
    negatives: tuple[str, ...]
    """Names of the maps of negatives."""
    splits: tuple[str, ...]
    """Names of the splits; one may be empty."""
    root: Path | Store
    """Its folder, or the store that its URL leads to."""
    index: Index
    """What `vocsmooth.shards.index.read_index` says about it."""

    def __init__(self, root: Path | Store, index: Index) -> None:
        self.root, self.index = root, index
        self.recipe = index.recipe
        self.splits = index.splits
        self.negatives = tuple(
            name
            for group, names in index.maps.items()
            for name in names
            if name not in BASE_MAPS[group]
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # Whoever unpickles it reads the index for itself: megabytes, where there are many shards.
        return _reopen, (self.root, self.index.identity)

    def split(self, name: str) -> Split:
        """Return the samples of one split; UnknownNameError lists the splits if it is none."""
        if name not in self.splits:
            raise UnknownNameError(
                f"{self.root} has no split {name!r}; splits present: {', '.join(self.splits)}."
            )
        return Split(self, name)


def _index_of(root: Path | Store) -> Index:
    """Read the index of a dataset."""
    return read_index(root) if isinstance(root, Path) else parse_index(root, root.read_all)


def _reopen(root: Path | Store, identity: str) -> Dataset:
    """Open a dataset in another process, which must find the same one; its shards are not counted.

    Each shard's length is checked when the process opens it.
    """
    index = _index_of(root)
    if index.identity != identity:
        raise DatasetError(f"{root} holds another dataset than when it was opened; open it again.")
    return Dataset(root, index)


def _check_ids(dataset: Dataset) -> None:
    """Raise DatasetError if the index lists a photograph twice."""
    repeated = find_repeated(dataset.index.columns.ids)
    if repeated is not None:
        raise DatasetError(
            f"The index of {dataset.root} lists the photograph {repeated!r} more than once; each "
            "is expected once. Run `vocsmooth verify` on it."
        )


def _check_length(root: Path, entry: ShardEntry) -> None:
    """Raise DatasetError unless the file exists and has the length that the index gives."""
    path = f"{root}/{entry.name}"  # a Path for each of a million would take seconds
    try:
        length = os.stat(path).st_size  # noqa: PTH116
    except OSError as error:
        raise DatasetError(f"The shard {path} cannot be read: {error.strerror}.") from None
    if length != entry.bytes:
        raise DatasetError(
            f"{path} has {length} bytes, but the index says {entry.bytes}. "
            f"Run `vocsmooth verify` on {root}."
        )
