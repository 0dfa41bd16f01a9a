"""How much a host's tiles change what the network predicts: tiles of 512 with a linear blend.

Programs such as ComfyUI cut images into tiles themselves, whatever a model says of its reach, and
blend where tiles overlap. Compared are the results of that with those of the whole image, on three
pictures that come with scikit-image.

Example: python -m benchmarks.seams results.json --sheet worst.jpg
"""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional

from csgisnet.checkpoints.networks import load_network
from csgisnet.checkpoints.pretrained import find_weights
from csgisnet.prediction.spandrel import smooth_in_tiles
from vocsmooth.arrays import to_float, to_uint
from vocsmooth.files import write_atomically
from vocsmooth.images.reading import read_rgb
from vocsmooth.sources.photographs import bundled_folder
from vocsmooth.views.sheet import Panel, compose_sheet

PICTURES = ("motorcycle_left.png", "retina.jpg", "hubble_deep_field.jpg")

TILES = ((512, 16), (512, 32), (512, 64), (512, 96), (256, 32))
"""Side and overlap: ComfyUI takes 512 and 32, and halves the side when memory runs out."""

COMFYUI = (512, 32)

SHOWN = (300, 400)
"""Height and width of the part that the picture shows, in pixels of the photograph."""

AMPLIFIED = 16


def in_blended_tiles(
    function: Callable[[Tensor], Tensor], image: Tensor, side: int, overlap: int
) -> Tensor:
    """Apply a function to overlapping tiles of (1, 3, H, W) whose weights rise linearly."""
    total, weights = torch.zeros_like(image), torch.zeros_like(image[:, :1])
    for rows in starts(image.shape[2], side, overlap):
        for columns in starts(image.shape[3], side, overlap):
            tile = np.s_[..., rows : rows + side, columns : columns + side]
            result = function(image[tile])
            down, across = (ramp(length, overlap) for length in result.shape[-2:])
            weight = down[:, None] * across
            total[tile] += result * weight
            weights[tile] += weight
    return total / weights


def starts(length: int, side: int, overlap: int) -> Iterator[int]:
    """Yield where tiles begin along an axis."""
    for start in range(0, length, side - overlap):
        yield max(0, min(start, length - overlap))


def ramp(length: int, overlap: int) -> Tensor:
    """Return weights that rise from both ends of a tile over the overlap."""
    weight = torch.ones(length)
    if overlap < length:
        rise = torch.arange(1, overlap + 1) / overlap
        weight[:overlap] *= rise
        weight[-overlap:] *= rise.flip(0)
    return weight


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="the figures, as JSON")
    parser.add_argument("--sheet", type=Path, help="a picture of the worst places, a JPEG")
    arguments = parser.parse_args()
    network = load_network(find_weights("compact"))
    rows, places = [], []
    for name in PICTURES:
        pixels = np.ascontiguousarray(read_rgb(bundled_folder() / name)[:900, :1200])
        image = torch.from_numpy(to_float(pixels)).permute(2, 0, 1)[None]
        with torch.inference_mode():
            whole = smooth_in_tiles(network, image)
            for side, overlap in TILES:
                tiled = in_blended_tiles(
                    lambda tile: smooth_in_tiles(network, tile), image, side, overlap
                )
                if (side, overlap) == COMFYUI:
                    places.append(worst_place(name, whole, tiled))
                levels = 255 * (tiled - whole).abs().amax(dim=1)
                row = {
                    "picture": name,
                    "tile": side,
                    "overlap": overlap,
                    "mean where it differs, grey levels": mean_of_changed(levels),
                    "pixels that differ by over 1 grey level, %": share_over(levels, 1),
                    "pixels that differ by over 4, %": share_over(levels, 4),
                    "largest, grey levels": round(float(levels.max()), 1),
                }
                print(json.dumps(row))
                rows.append(row)
    write_atomically(arguments.out, (json.dumps(rows, indent=1) + "\n").encode())
    if arguments.sheet is not None:
        encoded = io.BytesIO()
        Image.fromarray(compose_sheet(places, height=SHOWN[0])).save(encoded, "JPEG", quality=90)
        write_atomically(arguments.sheet, encoded.getvalue())


def worst_place(name: str, whole: Tensor, tiled: Tensor) -> list[Panel]:
    """Show both results, and their difference, where it is largest over some area."""
    difference = tiled - whole
    area = functional.avg_pool2d(difference.abs().amax(dim=1, keepdim=True), SHOWN, stride=20)[0, 0]
    row, column = (20 * int(place) for place in np.unravel_index(int(area.argmax()), area.shape))
    cut = np.s_[0, :, row : row + SHOWN[0], column : column + SHOWN[1]]
    shown = {
        f"{name}, whole image": whole[cut],
        "tiles of {}, overlap {}".format(*COMFYUI): tiled[cut],
        f"difference, times {AMPLIFIED}": 0.5 + AMPLIFIED * difference[cut],
    }
    return [
        Panel(
            caption=caption,
            pixels=to_uint(pixels.clamp(0, 1).permute(1, 2, 0).numpy(), np.uint8),
        )
        for caption, pixels in shown.items()
    ]


def mean_of_changed(levels: Tensor) -> float:
    return round(float(levels[levels > 0.01].mean()), 2)


def share_over(levels: Tensor, limit: float) -> float:
    return round(100 * float((levels > limit).float().mean()), 3)


if __name__ == "__main__":
    main()
