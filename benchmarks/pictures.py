"""The pictures of the README and the model card.

    python -m benchmarks.pictures photographs --out benchmarks/results/released.jpg
    python -m benchmarks.pictures study --data release/release-test-unseen/test \\
        --samples 4 17 --level 0 --out benchmarks/results/study.jpg
    python -m benchmarks.pictures levels --out benchmarks/results/levels.jpg
    python -m benchmarks.pictures crops --photographs FOLDER --before OLD.safetensors \\
        --out crops.jpg

"photographs" shows three photographs that come with scikit-image, before and after. "study" shows
samples of a dataset smoothed by the network and by RTV, beside the label, with PSNR and SSIM.
"levels" shows a photograph smoothed at rising levels. "crops" shows the middles of twelve
photographs of a folder: as they are, smoothed by RTV, by another network, and by this one.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import csgisnet
from csgisnet.evaluation.metrics import psnr, ssim
from csgisnet.evaluation.samples import spread_evenly
from csgisnet.prediction.smoother import Smoother
from vocsmooth import rtv_smooth
from vocsmooth.arrays import to_float, to_uint
from vocsmooth.files import write_atomically
from vocsmooth.images.reading import read_rgb
from vocsmooth.shards.reader import open_dataset
from vocsmooth.sources.photographs import bundled_folder
from vocsmooth.views.sheet import Panel, compose_sheet

_CROPS = 12

_CROP = 200

PHOTOGRAPHS = ("chelsea", "coffee", "motorcycle_left")


def photographs(smoother: Smoother) -> list[list[Panel]]:
    """Return one row per photograph: before, after."""
    rows = []
    for name in PHOTOGRAPHS:
        photograph = to_float(read_rgb(bundled_folder() / f"{name}.png"))
        after = smoother.smooth(photograph)
        rows.append([panel(name.partition("_")[0], photograph), panel("smoothed", after)])
    return rows


def study(smoother: Smoother, data: Path, samples: list[int]) -> list[list[Panel]]:
    """Return one row per sample: input, network, RTV, label."""
    split = open_dataset(data).split("val")
    rows = []
    for index in samples:
        maps = {n: to_float(p) for n, p in split.read(index, ("input", "label")).items()}
        label = maps["label"]
        results = {
            "input": maps["input"],
            "network": smoother.smooth(maps["input"]),
            "RTV": rtv_smooth(maps["input"], lam=0.01, sigma=2.0),
        }
        row = [
            panel(f"{name} {psnr(image, label):.1f} dB, {ssim(image, label):.3f}", image)
            for name, image in results.items()
        ]
        rows.append([*row, panel("label", label)])
    return rows


def levels(checkpoint: str) -> list[list[Panel]]:
    """Return one row: a photograph, and the results of rising levels."""
    photograph = to_float(read_rgb(bundled_folder() / "astronaut.png"))[:300, 60:360]
    results = [
        panel(f"level {level:g}", csgisnet.load(checkpoint, device="cpu", level=level)(photograph))
        for level in (0.0, 0.3, 0.6, 1.0)
    ]
    return [[panel("photograph", photograph), *results]]


def crops(checkpoint: str, before: str, folder: Path) -> list[list[Panel]]:
    """Return one row per photograph: its middle, RTV, the network before, this one at 2 levels."""
    files = sorted(folder.glob("*.jpg"))
    other = csgisnet.load(before, device="cpu")
    own = csgisnet.load(checkpoint, device="cpu")
    highest = csgisnet.load(checkpoint, device="cpu", level=1.0)
    rows = []
    for number in spread_evenly(len(files), _CROPS):
        photograph = to_float(read_rgb(files[number]))
        results = {
            files[number].stem: photograph,
            "RTV": rtv_smooth(photograph, lam=0.01, sigma=2.0),
            "network before": other.smooth(photograph),
            "network": own.smooth(photograph),
            "level 1": highest.smooth(photograph),
        }
        top, left = ((side - _CROP) // 2 for side in photograph.shape[:2])
        rows.append(
            [
                panel(name, image[top : top + _CROP, left : left + _CROP])
                for name, image in results.items()
            ]
        )
    return rows


def panel(caption: str, image: NDArray[np.float32]) -> Panel:
    """Return a captioned picture."""
    return Panel(caption=caption, pixels=to_uint(image, np.uint8).astype(np.uint8))


def main() -> None:
    """Run as a script."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("what", choices=("photographs", "study", "levels", "crops"))
    parser.add_argument("--data", type=Path, help="dataset of `vocsmooth build`, for the study")
    parser.add_argument("--samples", type=int, nargs="+", default=[0, 1, 2, 3])
    parser.add_argument("--photographs", type=Path, help="folder of JPEG files, for the crops")
    parser.add_argument("--before", help="another network, for the crops")
    parser.add_argument("--checkpoint", default="compact")
    parser.add_argument("--level", type=float, help="of the network; by default its own")
    parser.add_argument("--out", type=Path, required=True, help="JPEG file")
    arguments = parser.parse_args()
    smoother = csgisnet.load(arguments.checkpoint, device="cpu", level=arguments.level)
    if arguments.what == "photographs":
        rows = photographs(smoother)
    elif arguments.what == "levels":
        rows = levels(arguments.checkpoint)
    elif arguments.what == "crops":
        if arguments.photographs is None or arguments.before is None:
            parser.error("crops needs --photographs and --before")
        rows = crops(arguments.checkpoint, arguments.before, arguments.photographs)
    elif arguments.data is None:
        parser.error("study needs --data")
    else:
        rows = study(smoother, arguments.data, arguments.samples)
    buffer = io.BytesIO()
    Image.fromarray(compose_sheet(rows)).save(buffer, "JPEG", quality=88)
    write_atomically(arguments.out, buffer.getvalue())


if __name__ == "__main__":
    main()
