"""Results of other methods: read by number, paired by name, refused in one message."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from csgisnet.evaluation.measure import evaluate, summarise
from csgisnet.evaluation.outputs import outputs_of
from csgisnet.evaluation.samples import Samples, samples_of_pairs
from vocsmooth.errors import InputError

NAMES = "abcdefgh"


def read(path: Path) -> NDArray[np.uint8]:
    """Pixels that tell the file's name; "wide" pictures are wider."""
    return np.full((12, 14 + path.match("wide/*"), 3), ord(path.name), np.uint8)


def samples(count: int = 0) -> Samples:
    pairs = [(name, Path(name), Path(name)) for name in NAMES]
    return samples_of_pairs(pairs, read, lambda label: label[..., 0] > 0, count)


def files(names: str, folder: str = "theirs") -> dict[str, Path]:
    return {name: Path(folder) / name for name in names}


def test_pictures_are_read_by_number_and_measured_without_a_time() -> None:
    told: list[tuple[int, int]] = []
    outputs = outputs_of(files(NAMES), samples(2), read, "theirs", lambda *step: told.append(step))
    assert told == [(1, 2), (2, 2)]  # the pictures of images that are left out may be there
    assert (outputs.read(1) == np.float32(ord("h") / 255)).all()
    _, summary = summarise(evaluate({"theirs": outputs}, samples(2)))
    assert summary.means["psnr"] == 100
    assert np.isnan(summary.means["seconds_per_megapixel"])
    assert summary.counts["seconds_per_megapixel"] == 0


def test_all_that_does_not_fit_is_one_error() -> None:
    with pytest.raises(InputError, match=r"^mine does not fit .*: no picture b; x/z belongs to no"):
        outputs_of(files("acdefgh") | files("z", "x"), samples(), read, "mine")
    with pytest.raises(InputError, match=r"wide/b has 15 x 12 pixels, its image 14 x 12\. There"):
        outputs_of(files(NAMES) | files("b", "wide"), samples(), read, "mine")
    with pytest.raises(InputError, match=r"no picture e; and 3 more\."):
        outputs_of({}, samples(), read, "mine")
