"""A dataset as folders of PNG files, for trainers that read pairs of images from disk.

In every folder ``SPLIT/MAP`` the same name stands for the same sample, as the paired-folder
datasets of BasicSR and its relatives want it: ``train/input/2007_000032_1.png`` is the second input
of the photograph 2007_000032, ``train/label/2007_000032_1.png`` what a network should make of it.
What a photograph has once is stored once: its other names are hard links.

A list in each ``SPLIT`` names the samples, as the readers of the chosen form expect it:

- ``png``: ``meta_info.txt`` of BasicSR, a line "NAME (HEIGHT,WIDTH,3)" for each sample.
- ``imagefolder``: ``metadata.jsonl`` of Hugging Face, from which ``load_dataset("imagefolder",
  data_dir=...)`` makes an image column of each map, and columns of the photograph's id, the number
  of its input, the operator of its label and the texture.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vocsmooth.classes import VOC_PALETTE
from vocsmooth.errors import DatasetError, UnknownNameError
from vocsmooth.files import AnyPath, as_path, remove_leftovers, write_atomically
from vocsmooth.folders import claim_folder
from vocsmooth.settings import nearest
from vocsmooth.shards.entries import ImageEntry
from vocsmooth.shards.index import read_index
from vocsmooth.shards.scan import ShardScan, list_shards, run_on_shards

EXPORT_NAME = "export.json"
"""Written first; says which dataset the folders come from."""

_NOT_EXPORTED = "texture"  # int16, which PNG lacks; it is input - label wherever nothing clips

_LEVEL = 3  # of zlib: for textured images as small as 6, in half the time


@dataclass(frozen=True, kw_only=True)
class ExportSummary:
    """What an export has made."""

    samples: int
    """Inputs in the exported splits."""
    written: int
    """Files that this run has written or linked."""
    kept: int
    """Files that an earlier run had written."""
    seconds: float
    """Wall-clock time."""


def export_png(
    root: AnyPath,
    out: AnyPath,
    *,
    form: str = "png",
    splits: Sequence[str] = (),
    maps: Sequence[str] = (),
    jobs: int | None = None,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> ExportSummary:
    """Write the samples of a dataset as PNG files, or continue an export.

    Colour maps become 8-bit RGB, edges 8-bit grey (0 or 255), masks palette PNGs like those of VOC.
    A file that exists is complete, and is kept.

    Parameters
    ----------
    root : str or path-like
        Folder of the dataset.
    out : str or path-like
        New or empty folder, or one with an export of the same dataset in the same form.
    form : {"png", "imagefolder"}
        Which list each split gets.
    splits, maps : sequence of str
        What to export; none given means all, but never the int16 texture fields.
    jobs : int, optional
        Worker processes; one per core if not given.
    progress : callable
        Called with the number of shards that are done and of all.

    Raises
    ------
    DatasetError
        `root` is not a complete dataset, or a shard is damaged.
    InputError
        There is no such form, split or map, or `out` holds something else.
    """
    root = as_path(root, "root")
    out = as_path(out, "out")
    started = time.monotonic()
    if form not in FORMS:
        raise UnknownNameError(f"No form {form!r} of an export.{nearest(form, FORMS)}")
    index = read_index(root)
    chosen_splits = _choose("split", splits, index.splits)
    names = [name for group in ("samples", "images") for name in index.maps[group]]
    chosen = _choose("map", maps, [name for name in names if name != _NOT_EXPORTED])
    shards = [shard for shard in list_shards(root, index) if shard.entry.split in chosen_splits]
    for shard in shards:
        for image_id in shard.indexed.ids:
            _check_id(image_id)
    note = {"format": f"{index.format}-{form}", "digest": index.digest}
    claim_folder(out, out / EXPORT_NAME, (json.dumps(note) + "\n").encode())
    for split in chosen_splits:
        for name in chosen:
            folder = out / split / name
            folder.mkdir(parents=True, exist_ok=True)
            remove_leftovers(folder)
    function = partial(_export_shard, out=out, maps=tuple(chosen))
    counts = [count for _, count in run_on_shards(function, shards, jobs=jobs, progress=progress)]
    for split in chosen_splits:
        list_name, lines_of = FORMS[form]
        images = (i for shard in shards if shard.entry.split == split for i in shard.read_images())
        lines = (line for image in images for line in lines_of(image, chosen))
        write_atomically(out / split / list_name, "".join(f"{line}\n" for line in lines).encode())
    samples = sum(shard.entry.samples for shard in shards)
    written = sum(counts)
    return ExportSummary(
        samples=samples,
        written=written,
        kept=samples * len(chosen) - written,
        seconds=time.monotonic() - started,
    )


def _choose(kind: str, wanted: Sequence[str], legal: Sequence[str]) -> Sequence[str]:
    """Return the names asked for, by default all; UnknownNameError if one does not exist."""
    for name in wanted:
        if name not in legal:
            raise UnknownNameError(f"No {kind} {name!r} to export.{nearest(name, legal)}")
    return wanted or legal


def _check_id(image_id: str) -> None:
    """Refuse ids that would lead out of the folder."""
    if Path(image_id).name != image_id:
        raise DatasetError(f"The id {image_id!r} cannot be the name of a file.")


def _export_shard(shard: ShardScan, out: Path, maps: tuple[str, ...]) -> int:
    """Write what is missing of a shard's files; return how many those were."""
    folder = out / shard.entry.split
    expected = {
        path
        for image_id, _, _, samples in shard.indexed.rows()
        for name in maps
        for path in _paths(folder, name, image_id, samples)
    }
    missing = {path for path in expected if not path.exists()}
    if missing:
        for image, arrays in shard.read():
            for name in maps:
                paths = _paths(folder, name, image.id, image.samples)
                if not missing.isdisjoint(paths):
                    _write_map(paths, arrays[name], name, shared=name in shard.maps["images"])
    return len(missing)


def _paths(folder: Path, name: str, image_id: str, samples: int) -> list[Path]:
    """Return the files of a map, one for each input of a photograph."""
    return [folder / name / file for file in _file_names(image_id, samples)]


def _file_names(image_id: str, samples: int) -> Iterator[str]:
    """Name the samples of a photograph."""
    return (f"{image_id}_{number}.png" for number in range(samples))


def _write_map(paths: Sequence[Path], pixels: NDArray[Any], name: str, *, shared: bool) -> None:
    """Write the missing files of a map: one for each input, or one that all share."""
    if not shared:
        for path, one in zip(paths, pixels, strict=True):
            if not path.exists():
                write_atomically(path, _encode(one, name))
        return
    data = _encode(pixels, name)
    for path in paths:
        if not path.exists():
            _link(paths[0], path, data)


def _link(first: Path, path: Path, data: bytes) -> None:
    """Link the file `first` under another name, or write `data` where links are not possible."""
    try:
        path.hardlink_to(first)
    except OSError:  # `first` is not there yet, or the file system has no links, or no more of them
        write_atomically(path, data)


def _encode(pixels: NDArray[Any], name: str) -> bytes:
    """Return the PNG file of one map."""
    image = Image.fromarray(pixels * np.uint8(255) if name == "edge" else pixels)
    if name == "mask":
        image.putpalette(VOC_PALETTE.tobytes())
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=_LEVEL)
    return buffer.getvalue()


def _meta_info(image: ImageEntry, _: Sequence[str]) -> Iterator[str]:
    """List the samples of a photograph as BasicSR's `meta_info_file` does."""
    return (
        f"{name} ({image.height},{image.width},3)" for name in _file_names(image.id, image.samples)
    )


def _metadata(image: ImageEntry, maps: Sequence[str]) -> Iterator[str]:
    """List the samples of a photograph as Hugging Face's ImageFolder does."""
    for number, file in enumerate(_file_names(image.id, image.samples)):
        record = {
            "id": image.id,
            "number": number,
            **{f"{name}_file_name": f"{name}/{file}" for name in maps},
            "operator": image.provenance["label"]["operator"],
            "texture": image.provenance["textures"][number]["texture"],
        }
        yield json.dumps(record, ensure_ascii=False)


FORMS: Mapping[str, tuple[str, Callable[[ImageEntry, Sequence[str]], Iterator[str]]]] = {
    "png": ("meta_info.txt", _meta_info),
    "imagefolder": ("metadata.jsonl", _metadata),
}
"""The list that is written last in each split, by the form of the export: the file's name, and what
gives a line for each sample of a photograph."""
