"""Read results that another method has written to a folder, to measure them beside our own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from csgisnet.evaluation.samples import Image, Samples
from vocsmooth.arrays import to_float
from vocsmooth.errors import InputError

_SHOWN = 5


class Outputs(NamedTuple):
    """Another method's results for the samples; how long they took is not known."""

    read: Callable[[int], Image]
    """Returns the picture (H, W, 3) in [0, 1] for the sample of that number."""


def outputs_of(
    files: Mapping[str, Path],
    samples: Samples,
    read_rgb: Callable[[Path], NDArray[np.uint8]],
    where: str,
    progress: Callable[[int, int], None] | None = None,
) -> Outputs:
    """Pair pictures with samples by name, after reading each of them once.

    Parameters
    ----------
    files : mapping of str to Path
        The pictures by name, without their endings: those of `samples.files`, and none besides,
        except for `samples.others`.
    samples : Samples
        What the other method was given.
    read_rgb : callable
        Returns the pixels (H, W, 3) of a file.
    where : str
        What the pictures are called in errors.
    progress : callable, optional
        Called with the number of pictures read, and of all.

    Raises
    ------
    InputError
        Pictures are missing, do not belong to a sample, or have another size than theirs; the
        message lists them. Or what `read_rgb` raises.
    """
    known = {*samples.files, *samples.others}
    problems = [
        *(f"no picture {name}" for name in samples.files if name not in files),
        *(f"{files[name]} belongs to no image" for name in sorted(files.keys() - known)),
    ]
    if not problems:
        for number, name in enumerate(samples.files):
            height, width = samples.read(number).image.shape[:2]
            found = read_rgb(files[name]).shape[:2]
            if found != (height, width):
                size = f"{found[1]} x {found[0]} pixels, its image {width} x {height}"
                problems.append(f"{files[name]} has {size}")
            if progress:
                progress(number + 1, len(samples.files))
    if problems:
        raise InputError(_explain(where, problems))
    paths = [files[name] for name in samples.files]
    return Outputs(lambda number: to_float(read_rgb(paths[number])))


def _explain(where: str, problems: Sequence[str]) -> str:
    """Write the message for pictures that do not match the images."""
    more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
    return (
        f"{where} does not fit the images measured: {'; '.join(problems[:_SHOWN])}{more}. "
        "There must be one picture for each image, of the same name (that of `vocsmooth export` "
        "for a dataset) and size."
    )
