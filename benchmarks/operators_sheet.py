"""Draw every operator's result on the benchmark's photograph.

Example: python -m benchmarks.operators_sheet benchmarks/results/operators.jpg
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import skimage
from numpy.typing import NDArray
from PIL import Image

from vocsmooth.arrays import to_float, to_uint
from vocsmooth.files import write_atomically
from vocsmooth.images.reading import read_rgb
from vocsmooth.operators.table import smooth
from vocsmooth.settings import describe_operator
from vocsmooth.views.sheet import Panel, compose_sheet

Array = NDArray[np.floating[Any]]

SHAPE = (480, 640)

SHOWN: tuple[tuple[str, dict[str, Any]], ...] = (
    ("l0", {"lam": 0.02}),
    ("rtv", {"lam": 0.015, "sigma": 3.0}),
    ("sd", {"lam": 10.0}),
    ("guided", {"radius": 8, "eps": 0.01}),
    ("rolling", {"sigma_space": 4.0, "sigma_range": 0.1}),
    ("ils", {"lam": 30.0}),
    ("ils", {"penalty": "charbonnier", "lam": 1.0, "num_iter": 4}),
)
"""What the picture shows."""


def load_image(path: Path | None) -> Array:
    """Read a photograph, scaled to the size of the benchmark."""
    path = path or Path(skimage.__file__).parent / "data/coffee.png"
    scaled = cv2.resize(read_rgb(path), SHAPE[::-1], interpolation=cv2.INTER_AREA)
    return to_float(np.asarray(scaled, np.uint8))


def draw_sheet(image: Array, path: Path) -> None:
    """Write a JPEG of the photograph's middle, before and after smoothing by each operator."""
    middle = np.s_[60:420, 80:560]
    panels = [Panel(caption="photograph", pixels=to_uint(image[middle], np.uint8))]
    for name, params in SHOWN:
        result = np.clip(smooth(image, name, **params), 0, 1)
        panels.append(
            Panel(caption=describe_operator(name, params), pixels=to_uint(result[middle], np.uint8))
        )
    sheet = compose_sheet([panels[:4], panels[4:]], height=360)
    encoded = io.BytesIO()
    Image.fromarray(sheet).save(encoded, "JPEG", quality=88)
    write_atomically(path, encoded.getvalue())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="the picture, a JPEG")
    parser.add_argument("--image", type=Path, help="a photograph; else scikit-image's coffee")
    arguments = parser.parse_args()
    draw_sheet(load_image(arguments.image), arguments.out)


if __name__ == "__main__":
    main()
