"""Each step of a dataset's life with any number of photographs, for `benchmarks.scale`.

Each runs in a process of its own. Seconds are those of the processor, in this process and its
workers, which other work on the machine changes less than wall-clock time; both are recorded. The
memory is the peak of the process itself without its workers (VmHWM, because `ru_maxrss` starts with
that of whatever started the process).
"""

from __future__ import annotations

import json
import resource
import tempfile
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from operator import itemgetter
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image

from benchmarks.scale_growth import Row
from vocsmooth.dataset.build import BuildSummary, build_dataset
from vocsmooth.dataset.plan import make_plan
from vocsmooth.dataset.repair import repair_dataset
from vocsmooth.dataset.verify import verify_dataset
from vocsmooth.files import write_pieces
from vocsmooth.maps.recipe import Labels, Recipe
from vocsmooth.maps.texture_settings import Textures
from vocsmooth.maps.textures import open_textures
from vocsmooth.shards import windows
from vocsmooth.shards.entries import Index, Sidecar
from vocsmooth.shards.index import INDEX_NAME, index_files, read_index
from vocsmooth.shards.reader import open_dataset
from vocsmooth.shards.scan import list_shards
from vocsmooth.shards.split import Split
from vocsmooth.sources.voc import find_tree, list_photographs
from vocsmooth.views.croissant import DESCRIPTIONS
from vocsmooth.views.page import write_report
from vocsmooth.views.text import count_labels, describe_labels

SIDE = 32
CROP = 16
BATCH = 16
JOBS = 2
LINKS = 60_000  # to one file: what ext4 allows, and a few less
SPLITS = ("train",)
TEXTURES = "textures"
RECIPE = Recipe(labels=Labels(exact=True), textures=Textures(count=1), val_fraction=0.0)

Result = TypeVar("Result")


def measure_steps(count: int) -> dict[str, Row]:
    """Measure every step with this number of photographs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_tree(folder, count)
        rows = {}
        for step, function in STEPS.items():
            several = [apart(measure, function, folder) for _ in range(TIMES.get(step, 1))]
            rows[step] = sorted(several, key=itemgetter("seconds"))[len(several) // 2]
            if step == "build":
                files = [path.stat().st_size for path in Path(folder, "out").iterdir()]
                rows[step]["dataset_bytes_a_photograph"] = sum(files) / count
            for page in PAGES.get(step, ()):
                rows[step][f"{page}_MB"] = Path(folder, page).stat().st_size / 1e6
        return rows


def measure_planning(count: int) -> Row:
    """Measure listing and planning alone with this number of photographs: links to one file."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_tree(folder, 0)
        make_links(folder, count)
        return apart(measure, plan, folder)


def apart(function: Callable[..., Result], *arguments: object) -> Result:
    """Run a function in a process of its own, for its memory; it may start others."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def make_tree(folder: Path, count: int) -> None:
    """Write photographs of noise, and a texture."""
    images = folder / "JPEGImages"
    (folder / TEXTURES).mkdir()
    images.mkdir()
    generator = np.random.default_rng(0)
    for path in (folder / TEXTURES / "noise.png", *(images / name_of(n) for n in range(count))):
        pixels = generator.integers(0, 256, (SIDE, SIDE, 3), np.uint8)
        Image.fromarray(pixels).save(path)


def make_links(folder: Path, count: int) -> None:
    """Make photographs that can be listed, but not read: links to a few empty files."""
    images = folder / "JPEGImages"
    for number in range(count):
        path, first = (images / name_of(n) for n in (number, number - number % LINKS))
        if path == first:
            path.touch()
        else:
            path.hardlink_to(first)


def name_of(number: int) -> str:
    """Return the file name of a photograph."""
    return f"photograph_{number:08d}.png"


def measure(step: Callable[[Path], object], folder: Path) -> Row:
    """Run a step; return its seconds, and the peak memory of this process."""
    if step is kept_shards:
        (folder / "out" / INDEX_NAME).unlink()
    elif step is repair:
        min((folder / "out").glob("*.h5")).unlink()
    run = _again(folder) if step is crop_again else partial(step, folder)
    started, worked = time.perf_counter(), _processor_seconds()
    run()
    return {
        "seconds": _processor_seconds() - worked,
        "wall_seconds": time.perf_counter() - started,
        "MB": _peak_megabytes(),
    }


def plan(folder: Path) -> None:
    """List the photographs and deal them out to shards."""
    make_plan(
        list_photographs(find_tree(folder), SPLITS, val_fraction=RECIPE.val_fraction),
        RECIPE,
        open_textures(folder / TEXTURES),
        SPLITS,
    )


def build(folder: Path) -> BuildSummary:
    """Make the dataset."""
    out, textures = folder / "out", folder / TEXTURES
    return build_dataset(folder, out, RECIPE, textures_dir=textures, splits=SPLITS, jobs=JOBS)


def finished(folder: Path) -> None:
    """Build a dataset that is finished."""
    assert build(folder).complete_before


def kept_shards(folder: Path) -> None:
    """Build a dataset of which only the index is missing."""
    build(folder)


def open_split(folder: Path) -> None:
    """Open the dataset."""
    open_dataset(folder / "out").split(SPLITS[0])


def crop(folder: Path) -> None:
    """Read one window of each input; each shard is mapped, and each of its pages touched."""
    _read_windows(open_dataset(folder / "out").split(SPLITS[0]))


def crop_again(folder: Path) -> None:
    """Read the same windows twice, of which the second time is measured."""
    _again(folder)()


def _again(folder: Path) -> Callable[[], None]:
    """Read one window of each input, and return what reads the same ones again."""
    windows._MOST_MAPPED = 2**16  # a process keeps fewer mapped than it might
    split = open_dataset(folder / "out").split(SPLITS[0])
    _read_windows(split)
    return partial(_read_windows, split)


def _read_windows(split: Split) -> None:
    """Read one window of each input, in random order."""
    order = np.random.default_rng(0).permutation(len(split))
    for start in range(0, len(order), BATCH):
        indices = order[start : start + BATCH]
        corner = np.zeros(len(indices), np.int64)
        split.crop(indices, corner, corner, CROP, ("input", "label", "edge", "mask"))


def verify(folder: Path) -> None:
    """Check every file."""
    assert not verify_dataset(folder / "out", jobs=JOBS, fresh=True).problems


def repair(folder: Path) -> None:
    """Make a lost shard again."""
    textures = folder / TEXTURES
    repaired = repair_dataset(folder / "out", folder, textures_dir=textures, jobs=JOBS, fresh=True)
    assert len(repaired.shards) == 1
    assert not repaired.verification.problems


def report(folder: Path) -> None:
    """Write the page."""
    write_report(folder / "out", folder / "page.html", jobs=JOBS)


def card(folder: Path) -> None:
    """Write the files that describe the dataset."""
    index = read_index(folder / "out")
    files = index_files(index)
    for name, spell in DESCRIPTIONS.items():
        write_pieces(folder / name, (text.encode() for text in spell(index, files)))


def labels(folder: Path) -> None:
    """Report on the labels, for people and for programs."""
    index = read_index(folder / "out")
    shards = list_shards(folder / "out", index)
    for name, write in (("labels.txt", describe_labels), ("labels.json", _labels_json)):
        text = write(index, (shard.read_record().sidecar for shard in shards))
        (folder / name).write_text(text)


def _labels_json(index: Index, sidecars: Iterable[Sidecar]) -> str:
    """Return what `vocsmooth labels report --json` prints."""
    return json.dumps(count_labels(index, sidecars), indent=2)


STEPS: dict[str, Callable[[Path], object]] = {
    "plan": plan,
    "build": build,
    "resume": finished,
    "continue": kept_shards,
    "open": open_split,
    "crop": crop,
    "again": crop_again,
    "verify": verify,
    "repair": repair,
    "report": report,
    "card": card,
    "labels": labels,
}

TIMES = dict.fromkeys(("plan", "resume", "open", "crop", "again", "card"), 3)
"""How often steps are measured that take little and change nothing; the median counts."""

PAGES = {
    "report": ("page.html",),
    "card": tuple(DESCRIPTIONS),
    "labels": ("labels.txt", "labels.json"),
}
"""What steps write for people."""


def _processor_seconds() -> float:
    """Return the processor time of this process and of its workers that have ended."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    usages = [resource.getrusage(kind) for kind in kinds]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _peak_megabytes() -> float:
    """Return the most memory that this process has held."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) * 1024 / 1e6
