"""Whether a dataset behind a URL is the one in a folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vocsmooth.shards import open_dataset

MAPS = ("input", "label", "edge", "mask", "texture", "over", "under")


def assert_equal(url: str, root: Path) -> None:
    """Compare every map of every sample, and windows."""
    theirs, ours = open_dataset(url), open_dataset(root)
    assert theirs.splits == ours.splits
    for name in ours.splits:
        split, expected = theirs.split(name), ours.split(name)
        for sample, other in zip(split, expected, strict=True):
            assert_same(sample, other)
        numbers = np.arange(len(expected))
        place = (numbers, numbers % 3, numbers % 5, 16, MAPS)
        assert_same(split.crop(*place), expected.crop(*place))


def assert_same(
    found: dict[str, NDArray[np.generic]], expected: dict[str, NDArray[np.generic]]
) -> None:
    assert found.keys() == expected.keys()
    for name, pixels in expected.items():
        np.testing.assert_array_equal(found[name], pixels)
        assert found[name].flags.writeable
