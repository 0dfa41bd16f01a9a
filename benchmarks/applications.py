"""Draw what smoothing is used for on one photograph.

Example: python -m benchmarks.applications benchmarks/results/applications.jpg
"""

from __future__ import annotations

import argparse
import io
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from vocsmooth.arrays import to_float, to_uint
from vocsmooth.files import write_atomically
from vocsmooth.images.reading import read_rgb
from vocsmooth.operators.applications import abstract, blend, detail_enhance, strength_map
from vocsmooth.operators.rtv import rtv_smooth
from vocsmooth.sources.bundled import write_sample_tree
from vocsmooth.sources.masks import read_mask
from vocsmooth.views.sheet import Panel, compose_sheet


def draw(path: Path, name: str = "cat") -> None:
    """Write a JPEG of a photograph of `vocsmooth sample`, enhanced, abstracted and composed."""
    with tempfile.TemporaryDirectory() as folder:
        write_sample_tree(folder)
        photograph = next(Path(folder).rglob(f"JPEGImages/{name}.*"))
        image = to_float(read_rgb(photograph))
        mask = read_mask(next(Path(folder).rglob(f"SegmentationClass/{name}.png")))
    smooth = rtv_smooth(image, lam=0.015)
    strengths = strength_map(mask, {"cat": -1.0}, feather=2)
    panels = {
        "photograph": image,
        "enhance --amount 1.5": detail_enhance(image, smooth, 1.5),
        "abstract --tones 8": abstract(smooth, 8),
        "compose --strength cat=-1": blend(image, smooth, strengths),
    }
    sheet = [
        Panel(caption=words, pixels=to_uint(pixels, np.uint8).astype(np.uint8))
        for words, pixels in panels.items()
    ]
    encoded = io.BytesIO()
    Image.fromarray(compose_sheet([sheet[:2], sheet[2:]], height=300)).save(
        encoded, "JPEG", quality=88
    )
    write_atomically(path, encoded.getvalue())


def main() -> None:
    """Run as a script."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="the picture, a JPEG")
    draw(parser.parse_args().out)


if __name__ == "__main__":
    main()
