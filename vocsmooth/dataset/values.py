"""Check the values of a shard's maps while it is read, each as soon as all it depends on is there.

What was read last is in the processor's cache still: to come back to it when the whole file has
been hashed takes longer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from vocsmooth.classes import VOC_CLASSES, VOID
from vocsmooth.shards import native
from vocsmooth.shards.schema import Layout

_VOID = np.uint8(VOID)


class Found(NamedTuple):
    """What is wrong with the values of one photograph."""

    image: str
    """Its id."""
    field: str
    """Which map."""
    message: str
    """What was expected, and what was found."""


_Waiting: TypeAlias = "tuple[int, int, Callable[[int], Found | None], int]"
"""Where in the file all that a check looks at ends, its order, the check, and what it is called
with: the number of a photograph, or of an input."""


class ValueChecks:
    """What has to hold for the values of a shard: edges are 0 or 1, and so on.

    Parameters
    ----------
    layout : Layout
        Where the maps lie.
    data : (bytes,) uint8
        The file; nothing is looked at before `check` says that it has been read.
    """

    def __init__(self, layout: Layout, data: NDArray[np.uint8]) -> None:
        self._layout = layout
        self._maps: dict[str, NDArray[Any]] = {
            name: np.frombuffer(data, place.dtype, int(np.prod(place.shape)), place.offset).reshape(
                place.shape
            )
            for name, place in layout.maps.items()
        }
        self._images = layout.image_start.tolist()
        self._samples = layout.sample_start.tolist()
        self._of = layout.sample_image.tolist()
        self._inputs = native.library and native.Inputs(
            *(self._maps[name] for name in ("input", "label", "texture"))
        )
        self._found: dict[int, Found] = {}
        self._waiting = sorted(self._list(), reverse=True)

    def check(self, stop: int) -> None:
        """Check what lies in the first `stop` bytes and was not checked yet."""
        while self._waiting and self._waiting[-1][0] <= stop:
            _, order, check, number = self._waiting.pop()
            if (found := check(number)) is not None:
                self._found[order] = found

    @property
    def found(self) -> list[Found]:
        """What is wrong, photograph by photograph, and then input by input."""
        return [self._found[order] for order in sorted(self._found)]

    def _list(self) -> list[_Waiting]:
        """Return all checks; see `_Waiting`."""
        images, samples = self._layout.image_start[1:], self._layout.sample_start[1:]
        inputs = (
            self._ends("label", images)[self._layout.sample_image],
            self._ends("input", samples),
            self._ends("texture", samples),
        )
        listed: list[_Waiting] = []
        for place, name, check in ((0, "edge", self._check_edges), (1, "mask", self._check_mask)):
            ends = self._ends(name, images).tolist()
            listed += [(end, 2 * number + place, check, number) for number, end in enumerate(ends)]
        first = len(listed)
        ends = np.max(inputs, axis=0).tolist()
        listed += [(end, first + n, self._check_input, n) for n, end in enumerate(ends)]
        return listed

    def _ends(self, name: str, pixels: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return where a map's pixels before each of these end in the file."""
        place = self._layout.maps[name]
        return place.offset + pixels * place.dtype.itemsize * int(np.prod(place.shape[1:]))

    def _check_edges(self, image: int) -> Found | None:
        """Check that edges are 0 or 1."""
        worst = self._maps["edge"][self._images[image] : self._images[image + 1]].max()
        if worst <= 1:
            return None
        return Found(self._layout.ids[image], "edge", f"holds {worst}, expected 0 and 1 only")

    def _check_mask(self, image: int) -> Found | None:
        """Check that a mask holds classes and void."""
        mask = self._maps["mask"][self._images[image] : self._images[image + 1]]
        if (mask - _VOID).max() <= len(VOC_CLASSES):  # uint8: void becomes 0, class 0 becomes 1
            return None
        worst = mask[((mask >= len(VOC_CLASSES)) & (mask != VOID)).argmax()]
        return Found(self._layout.ids[image], "mask", f"holds {worst}, expected 0..20 or 255")

    def _check_input(self, number: int) -> Found | None:
        """Check that an input is its label plus its texture."""
        of = self._of[number]
        first, start, stop = self._images[of], self._samples[number], self._samples[number + 1]
        if self._inputs is not None and self._inputs.agree(start, stop - start, first):
            return None
        label, image, texture = (self._maps[name] for name in ("label", "input", "texture"))
        wrong = _count_wrong(
            image[start:stop], label[first : self._images[of + 1]], texture[start:stop]
        )
        if not wrong:
            return None
        found = f"{wrong} of {image[start:stop].size} values differ"
        message = f"input {number - self._of.index(of)} is not label + texture: {found}"
        return Found(self._layout.ids[of], "input", message)


def _count_wrong(
    image: NDArray[np.uint8], label: NDArray[np.uint8], texture: NDArray[np.int16]
) -> int:
    """Count the values of `image` that are not clip(label + texture, 0, 255)."""
    field = texture if texture.ndim == 2 else cv2.merge([texture] * 3).reshape(-1, 3)
    expected = cv2.add(
        label, field, dtype=cv2.CV_8U
    )  # saturates, and is three times as fast as NumPy
    return 0 if np.array_equal(expected, image) else int(np.count_nonzero(expected != image))
