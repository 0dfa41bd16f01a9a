"""The images to measure on, read one at a time from a dataset's split or from pairs of files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vocsmooth.arrays import to_float
from vocsmooth.errors import InputError
from vocsmooth.shards import Split

Image: TypeAlias = NDArray[np.float32]


class Sample(NamedTuple):
    """One image to smooth, and the result that it should have."""

    image: Image
    """(H, W, 3) in [0, 1]."""
    label: Image
    """(H, W, 3) in [0, 1]."""
    edges: NDArray[Any]
    """(H, W), true or 1 on edges of the label."""


class Samples(NamedTuple):
    """Images to measure on, read one at a time."""

    names: tuple[str, ...]
    read: Callable[[int], Sample]
    """Returns the sample of that number."""
    files: tuple[str, ...] = ()
    """Name of each sample's file in a folder of results, without its ending."""
    others: frozenset[str] = frozenset()
    """Names of the files of samples that were left out."""


def spread_evenly(total: int, count: int) -> list[int]:
    """Return `count` of the numbers below `total`, the first and the last among them.

    0, or a `count` above `total`, means all of them.

    Examples
    --------
    >>> spread_evenly(8, 3)
    [0, 4, 7]
    >>> spread_evenly(3, 0)
    [0, 1, 2]
    """
    if not 0 < count < total:
        return list(range(total))
    chosen: list[int] = np.linspace(0, total - 1, count).round().astype(np.int64).tolist()
    return chosen


def samples_of(split: Split, count: int = 0) -> Samples:
    """Return `count` samples of a split, spread evenly, or all of them (0).

    Raises
    ------
    InputError
        The split is empty.
    """
    if len(split) == 0:
        raise InputError("The split has no samples to evaluate on.")
    chosen = spread_evenly(len(split), count)

    def read(number: int) -> Sample:
        maps = split.read(chosen[number], ("input", "label", "edge"))
        return Sample(to_float(maps["input"]), to_float(maps["label"]), maps["edge"])

    names = tuple(f"{split.ids[index]} #{index}" for index in chosen)
    return _named(names, read, _exported_names(split), chosen)


def _exported_names(split: Split) -> list[str]:
    """Name the samples as `vocsmooth export` does, by photograph and number of the input."""
    counts: Counter[str] = Counter()
    names = []
    for photograph in split.ids:
        names.append(f"{photograph}_{counts[photograph]}")
        counts[photograph] += 1
    return names


def _named(
    names: tuple[str, ...],
    read: Callable[[int], Sample],
    files: Sequence[str],
    chosen: Sequence[int],
) -> Samples:
    """Return samples with the names of their files and of the files that were not chosen."""
    taken = tuple(files[number] for number in chosen)
    return Samples(names, read, taken, frozenset(files) - frozenset(taken))


def samples_of_pairs(
    pairs: Sequence[tuple[str, Path, Path]],
    read_rgb: Callable[[Path], NDArray[np.uint8]],
    find_edges: Callable[[NDArray[np.uint8]], NDArray[Any]],
    count: int = 0,
) -> Samples:
    """Return `count` pairs of files, spread evenly, or all of them (0).

    Parameters
    ----------
    pairs : sequence of (str, Path, Path)
        Each a name, the file of an image to smooth, and the file of its label.
    read_rgb : callable
        Returns the pixels (H, W, 3) of a file.
    find_edges : callable
        Returns the edges (H, W) of a label's pixels.
    count : int
        How many to take.

    Returns
    -------
    Samples
        Reading one raises InputError if its two files differ in size.
    """
    chosen = spread_evenly(len(pairs), count)

    def read(number: int) -> Sample:
        _, image, label = pairs[chosen[number]]
        pixels, target = read_rgb(image), read_rgb(label)
        if pixels.shape != target.shape:
            raise InputError(
                f"{image} and {label} differ in size: {pixels.shape[1]} x {pixels.shape[0]} and "
                f"{target.shape[1]} x {target.shape[0]} pixels."
            )
        return Sample(to_float(pixels), to_float(target), find_edges(target))

    files = [name for name, _, _ in pairs]
    return _named(tuple(files[number] for number in chosen), read, files, chosen)
