"""One HTML page to browse a dataset: its photographs, or a sample of them, with all their maps.

The page is page.html, with page.css, page.js and the data put in; it loads nothing else.
"""

from __future__ import annotations

import base64
import io
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vocsmooth.classes import VOC_CLASSES, VOC_PALETTE
from vocsmooth.errors import InputError
from vocsmooth.files import AnyPath, as_path, write_atomically
from vocsmooth.shards.entries import ImageEntry, Index, failed_checks
from vocsmooth.shards.index import read_index
from vocsmooth.shards.scan import ShardScan, list_shards, run_on_shards
from vocsmooth.views.text import describe_dataset, name_operator

Pixels = NDArray[np.uint8]

MOST = 3000
"""Photographs that a page shows, all of them, if no other number is asked for."""

SAMPLE = 2000
"""Photographs that a page shows of more than `MOST`."""

_PAGE_BYTES = 55_000_000
"""Total size of the pictures of a page that shows a whole dataset."""

_SAMPLE_BYTES = 17_000_000
"""Total size of the pictures of a page that shows a sample."""

_BYTES_PER_THUMBNAIL = 350
"""Size of a small thumbnail before its first pixel, base64 included, as measured over all maps."""

_BYTES_PER_PIXEL = 0.22
"""What each of its pixels adds."""

_SIDES = (64, 320)
"""Smallest and largest side of a thumbnail that is chosen."""

_QUALITY = 60


@dataclass(frozen=True, kw_only=True)
class ReportSummary:
    """What a report shows."""

    photographs: int
    """Photographs that the page shows."""
    dataset_photographs: int
    """Photographs in the dataset."""
    side: int
    """Longer side of the thumbnails, in pixels."""
    bytes: int
    """Size of the page."""
    seconds: float
    """Wall-clock time."""


def write_report(
    root: AnyPath,
    out: AnyPath,
    *,
    side: int | None = None,
    most: int | None = None,
    jobs: int | None = None,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> ReportSummary:
    """Write a page that shows the photographs of a dataset: maps, label, scores, statistics.

    Of more than `most` photographs every n-th is shown, with the smallest n that suffices, and the
    page says so; shards without such a photograph are not read. Of what was left out of the shards
    that are read, at most `most` entries are listed likewise. Of a photograph's inputs the first is
    shown.

    Parameters
    ----------
    root : str or path-like
        Folder of the dataset.
    out : str or path-like
        The HTML file; it needs no other and can be opened from disk.
    side : int, optional
        Longer side of the thumbnails in pixels. By default 320, or less where there are so many
        photographs that the page would grow beyond about 60 MB, or 20 MB if it shows a sample.
    most : int, optional
        Largest number of photographs to show, at least 1. By default 3,000; where there are more,
        a sample of 2,000.
    jobs : int, optional
        Worker processes; one per core if not given.
    progress : callable
        Called with the number of shards that are done and of all that are read.

    Raises
    ------
    DatasetError
        `root` is not a complete dataset, or a shard is damaged.
    InputError
        The folder for `out` does not exist.
    ValueError
        `most` is less than 1.
    """
    if most is not None and most < 1:
        raise ValueError(f"most must be at least 1, got {most}")
    root = as_path(root, "root")
    out = as_path(out, "out")
    started = time.monotonic()
    if not out.parent.is_dir():  # better known now than after the work
        raise InputError(f"--out {out}: the folder {out.parent} does not exist.")
    index = read_index(root)
    if most is None:
        most = MOST if index.totals.images <= MOST else SAMPLE
    every = _step(index.totals.images, most)
    side = side or choose_side(index, every)
    shown: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {}
    shards = [s for s in list_shards(root, index) if every == 1 or _sampled(s, every)]
    function = partial(_show_shard, side=side, every=every)
    for shard, result in run_on_shards(function, shards, jobs=jobs, progress=progress):
        shown[shard.path.name] = result
    in_order = [shown[shard.path.name] for shard in shards]
    photographs = [one for of_shard, _ in in_order for one in of_shard]
    left_out = [one for _, of_shard in in_order for one in of_shard]
    left_out = left_out[:: _step(len(left_out), most)]
    page = make_page(index, photographs, left_out).encode()
    write_atomically(out, page)
    return ReportSummary(
        photographs=len(photographs),
        dataset_photographs=index.totals.images,
        side=side,
        bytes=len(page),
        seconds=time.monotonic() - started,
    )


def choose_side(index: Index, every: int = 1) -> int:
    """Return the longer side of thumbnails that keeps the page small, in pixels.

    The page shows every n-th photograph, where n is `every`.
    """
    maps = sum(len(names) for names in index.maps.values())
    shapes = index.columns.shapes[::every]
    areas = float((shapes.min(axis=1) / shapes.max(axis=1)).sum()) if len(shapes) else 0.0
    size = _PAGE_BYTES if every == 1 else _SAMPLE_BYTES
    room = max(size - _BYTES_PER_THUMBNAIL * maps * len(shapes), 0)
    side = math.sqrt(room / (_BYTES_PER_PIXEL * maps * max(areas, 1)))
    low, high = _SIDES
    return int(min(max(side, low), high))


def make_page(
    index: Index, photographs: list[dict[str, Any]], left_out: list[dict[str, Any]]
) -> str:
    """Put the data, the style and the script into the page."""
    data = {
        "name": index.recipe.get("name") or "",
        "description": describe_dataset(index),
        "minScore": index.recipe["labels"]["min_score"],
        "maps": [name for group in ("samples", "images") for name in index.maps[group]],
        "photographs": photographs,
        "datasetPhotographs": index.totals.images,
        "leftOut": left_out,
        "datasetLeftOut": index.totals.rejected + index.totals.errors,
    }
    folder = resources.files("vocsmooth.views")
    page, style, script = (
        folder.joinpath(f"page.{ending}").read_text("utf-8") for ending in ("html", "css", "js")
    )
    # "<" could end the script element that holds the data. The data go in last: what looks like a
    # place to fill in there is left alone.
    text = json.dumps(data, ensure_ascii=False, allow_nan=False).replace("<", "\\u003c")
    return page.replace("@STYLE@", style).replace("@SCRIPT@", script).replace("@DATA@", text)


def _step(count: int, most: int) -> int:
    """Return the smallest n for which every n-th of `count` things are at most `most`."""
    return max(1, -(-count // most))


def _sampled(shard: ShardScan, every: int) -> range:
    """Return the places in a shard of the photographs that are in the sample of the dataset."""
    first = -shard.indexed.first_image % every
    return range(first, shard.entry.images, every)


def _show_shard(
    shard: ShardScan, side: int, every: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return what the page needs to show the sampled photographs of a shard, and its left out."""
    sampled = _sampled(shard, every)
    left_out = [
        {
            "id": entry.id,
            "split": entry.split,
            "kind": entry.kind,
            "score": entry.provenance.get("label", {}).get("score"),
            "reason": entry.reason,
        }
        for entry in shard.read_record().sidecar.left_out
    ]
    return [
        _show(image, maps, shard.maps["samples"], side)
        for place, (image, maps) in enumerate(shard.read())
        if place in sampled
    ], left_out


def _show(
    image: ImageEntry,
    maps: Mapping[str, NDArray[Any]],
    of_inputs: Mapping[str, int],
    side: int,
) -> dict[str, Any]:
    """Return facts and thumbnails of one photograph, with the first of its inputs."""
    label = image.provenance["label"]
    present = np.unique(maps["mask"]).tolist()
    shown = {
        name: pixels[0] if name in of_inputs else pixels
        for name, pixels in maps.items()
        if name not in of_inputs or image.samples
    }
    return {
        "id": image.id,
        "split": image.split,
        "height": image.height,
        "width": image.width,
        "inputs": image.samples,
        "operator": name_operator(label),
        "method": label["method"],
        "score": label["score"],
        "classes": [VOC_CLASSES[i] for i in present if 0 < i < len(VOC_CLASSES)],
        "texture": next((one["texture"] for one in image.provenance["textures"]), None),
        "failed": failed_checks(image.provenance),
        "thumbnails": {name: _thumbnail(name, pixels, side) for name, pixels in shown.items()},
    }


def _thumbnail(name: str, pixels: NDArray[Any], side: int) -> str:
    """Return a small picture of a map as a data URI."""
    picture = Image.fromarray(_visible(name, pixels))
    nearest = name == "mask"  # colours between two classes would be a third
    resampling = Image.Resampling.NEAREST if nearest else Image.Resampling.LANCZOS
    picture.thumbnail((side, side), resampling)
    buffer = io.BytesIO()
    # WebP takes two thirds of the bytes of JPEG here: labels are smooth.
    picture.save(buffer, "WEBP", quality=_QUALITY, lossless=nearest)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _visible(name: str, pixels: NDArray[Any]) -> Pixels:
    """Return a map in colours that people can see; the background of masks is transparent."""
    if name == "mask":
        colours = np.concatenate([VOC_PALETTE, np.full((256, 1), 255, np.uint8)], axis=1)
        colours[0] = 0
        return np.asarray(colours[pixels], np.uint8)
    if name == "edge":
        return np.where(pixels, 0, 255).astype(np.uint8)
    if name == "texture":
        return np.asarray(np.clip(pixels + 128, 0, 255), np.uint8)
    return np.ascontiguousarray(pixels)
