"""Make the shards of a dataset, one task for each, and survive the photographs that kill a worker.

`finish_shards` hands every task to a worker, which runs `finish_shard`: it keeps the shard of an
earlier run, or makes its maps (`make_images`) and writes them (`build_shard`).
"""

from __future__ import annotations

import functools
import os
import platform
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path

import cv2
import h5py

import vocsmooth
from vocsmooth.dataset.tally import Tally
from vocsmooth.errors import DatasetError, InputError
from vocsmooth.files import write_atomically
from vocsmooth.maps.photograph import make_maps
from vocsmooth.maps.recipe import Recipe, maps_of
from vocsmooth.maps.textures import TextureSource
from vocsmooth.operators import kernels
from vocsmooth.shards.digests import digests_of, is_proved
from vocsmooth.shards.entries import ImageEntry, LeftOutEntry, ShardEntry, Sidecar
from vocsmooth.shards.index import read_sidecar, sidecar_path, write_sidecar
from vocsmooth.shards.planned import PlannedShard
from vocsmooth.shards.writer import ImageMaps, encode_shard, recipe_text
from vocsmooth.sources.listing import Photograph
from vocsmooth.workers.processes import Runner, WorkerDied

_DIED = "the process that worked on it died, out of memory or of a fault in a library."

_DIED_TOGETHER = (
    "the process that made its shard died, though no photograph kills one alone; "
    "with more memory, or smaller shards, the same command may succeed."
)

_installed = functools.cache(metadata.version)  # which parses a file, and is asked for each shard

# What the operators and their libraries may raise on one photograph. That must not end a build of
# thousands: the photograph is left out, with the name of the error in its reason.
_FAILURES = (
    ArithmeticError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    cv2.error,
)


@dataclass(frozen=True, kw_only=True)
class ShardTask:
    """All that a worker needs to make one shard."""

    planned: PlannedShard
    """Its name, split and ids."""
    photographs: tuple[Photograph, ...]
    """The files of these ids."""
    digest: str
    """Digest of the plan."""
    recipe: Recipe
    textures: TextureSource
    out: Path
    """Folder of the dataset."""
    strict: bool = False
    """Raise for a photograph that cannot be used."""
    fatal: dict[str, str] = field(default_factory=dict)
    """The photographs to leave out because they kill the process: ids with reasons."""
    tally: Tally | None = None
    """Where each photograph is ticked once it is made."""
    first: int = 0
    """Number of the first photograph in the tally."""


@dataclass(frozen=True, kw_only=True)
class FinishedShard:
    """A shard that is complete on the disk."""

    left_out: tuple[LeftOutEntry, ...]
    """Photographs that were left out of it."""
    kept: bool
    """An earlier run made it."""


@contextmanager
def counted(tasks: Iterable[ShardTask], tally: Tally) -> Iterator[Iterator[ShardTask]]:
    """Yield tasks that tick their photographs in a tally, which is removed at the end."""

    def numbered() -> Iterator[ShardTask]:
        first = 0
        for task in tasks:
            yield replace(task, tally=tally, first=first)
            first += len(task.photographs)

    try:
        tally.begin()
        yield numbered()
    finally:
        tally.path.unlink(missing_ok=True)


def finish_shards(
    tasks: Iterable[ShardTask], run: Runner
) -> Generator[tuple[ShardTask, FinishedShard], None, None]:
    """Keep or make every shard; yield each as it is finished.

    Where a worker dies, the photographs that kill it are found and left out; the rest of their
    shard is made.
    """
    with closing(run(finish_shard, tasks)) as results:
        for task, result in results:
            if isinstance(result, WorkerDied):
                sidecar = _build_around_deaths(task, run)
                yield task, FinishedShard(left_out=sidecar.left_out, kept=False)
            else:
                yield task, result


def finish_shard(task: ShardTask) -> FinishedShard:
    """Keep the shard if an earlier run has finished it as this one would, else build it."""
    kept = _find_kept(task)
    sidecar = kept or build_shard(task)
    return FinishedShard(left_out=sidecar.left_out, kept=kept is not None)


def build_shard(task: ShardTask) -> Sidecar:
    """Write one shard and its sidecar: a pure function of the task and the files that it names.

    Raises
    ------
    OSError
        A file could not be written; it is then missing, or unchanged.
    InputError, ConvergenceError
        With ``task.strict`` only: a photograph cannot be used.
    """
    made = make_images(task)
    images = [one for one in made if isinstance(one, ImageMaps)]
    left_out = [_without_root(one, task) for one in made if isinstance(one, LeftOutEntry)]
    recipe = recipe_text(task.recipe.record())
    data = encode_shard(images, maps_of(task.recipe), recipe, task.digest)
    path = task.out / task.planned.name
    sidecar = Sidecar(
        digest=task.digest,
        versions=package_versions(),
        shard=ShardEntry(
            name=path.name,
            split=task.planned.split,
            bytes=len(data),
            **digests_of(data),
            images=len(images),
            samples=sum(len(image.inputs) for image in images),
        ),
        images=tuple(_describe_image(image, path.name) for image in images),
        left_out=tuple(left_out),
    )
    with explained_writing(path):
        write_atomically(path, data)
        write_sidecar(sidecar_path(path), sidecar)
    return sidecar


def find_finished(path: Path, digest: str) -> Sidecar | None:
    """Return the sidecar of a shard if it was made for this plan and by the installed versions.

    None otherwise. Only the shard's length is compared with it, not its bytes.
    """
    try:
        sidecar = read_sidecar(sidecar_path(path))
        same = (
            sidecar.digest == digest
            and sidecar.versions == package_versions()
            and sidecar.shard.name == path.name
            and path.stat().st_size == sidecar.shard.bytes
        )
    except (DatasetError, OSError):
        return None
    return sidecar if same else None


def make_images(task: ShardTask) -> list[ImageMaps | LeftOutEntry]:
    """Make the maps of every photograph of a shard, in order; nothing but the tally is written."""
    made = []
    for number, photograph in enumerate(task.photographs, task.first):
        made.append(_make_one(photograph, task))
        if task.tally is not None:
            task.tally.tick(number)
    return made


def make_nothing(task: ShardTask) -> None:
    """Make the maps and discard them, to see whether the process survives that."""
    make_images(task)


def package_versions() -> dict[str, str]:
    """Return the versions of all packages that influence a shard's bytes."""
    return {
        "vocsmooth": vocsmooth.__version__,
        "python": ".".join(platform.python_version_tuple()[:2]),
        "kernels": kernels.name(),
        "hdf5": h5py.version.hdf5_version,
        # Four distributions install cv2, with the same results: ask the module, not the metadata.
        # Sidecars have always called it this, so older datasets can be repaired.
        "opencv-contrib-python": _opencv_version(),
        **{n: _installed(n) for n in ("h5py", "numpy", "pillow", "scikit-image", "scipy")},
    }


def _opencv_version() -> str:
    """Return the version of the wheel, or of the library where it comes from elsewhere (conda)."""
    return str(getattr(getattr(cv2, "version", None), "opencv_version", cv2.__version__))


@contextmanager
def explained_writing(path: Path) -> Iterator[None]:
    """Add to an error raised while `path` is written what becomes of the work done so far."""
    try:
        yield
    except OSError as error:
        message = f"{error.strerror}; nothing is half-written, the same command goes on from here"
        raise OSError(error.errno, message, str(path)) from error


def _build_around_deaths(task: ShardTask, run: Runner) -> Sidecar:
    """Make a shard that kills its worker, without the photographs that do so."""
    singles = [
        replace(task, photographs=(photograph,), tally=None) for photograph in task.photographs
    ]
    with closing(run(make_nothing, singles)) as results:
        deadly = {
            single.photographs[0].id for single, result in results if isinstance(result, WorkerDied)
        }
    culprits = [photo for photo in task.photographs if photo.id in deadly]
    if task.strict and culprits:
        raise InputError(f"{culprits[0].image}: {_DIED}")
    fatal = {photo.id: f"{photo.image}: {_DIED}" for photo in culprits}
    together = {photo.id: f"{photo.image}: {_DIED_TOGETHER}" for photo in task.photographs}
    # Without a culprit it may have been killed from outside, so the whole shard is tried once more.
    for left_out in (fatal, together | fatal):
        with closing(run(build_shard, [replace(task, fatal=left_out)])) as results_of_rest:
            _, sidecar = next(results_of_rest)
        if not isinstance(sidecar, WorkerDied):
            return sidecar
    raise InputError(f"{task.out / task.planned.name}: {_DIED}")


def _find_kept(task: ShardTask) -> Sidecar | None:
    """Return the sidecar of a shard that can be kept: right bytes, and no photograph failed."""
    path = task.out / task.planned.name
    sidecar = find_finished(path, task.digest)
    if sidecar is None or any(entry.kind == "error" for entry in sidecar.left_out):
        return None
    try:
        return sidecar if is_proved(path, sidecar.shard) else None
    except OSError:
        return None


def _make_one(photograph: Photograph, task: ShardTask) -> ImageMaps | LeftOutEntry:
    """Make the maps of one photograph; without `strict` its failures become a `LeftOutEntry`."""
    reason = task.fatal.get(photograph.id)
    if reason is None:
        try:
            return make_maps(photograph, task.recipe, task.textures, strict=task.strict)
        except _FAILURES as error:
            if task.strict:
                raise
            reason = f"{photograph.image}: {type(error).__name__}: {error}"
    return LeftOutEntry(
        id=photograph.id, split=photograph.split, kind="error", reason=reason, provenance={}
    )


def _without_root(entry: LeftOutEntry, task: ShardTask) -> LeftOutEntry:
    """Drop the root of the tree from the reason: the same bytes wherever the tree lies."""
    root = task.photographs[0].image.parents[1]
    return replace(entry, reason=entry.reason.replace(f"{root}{os.sep}", ""))


def _describe_image(image: ImageMaps, shard: str) -> ImageEntry:
    """Return what the index says about a photograph."""
    height, width = image.label.shape[:2]
    return ImageEntry(
        id=image.id,
        split=image.split,
        shard=shard,
        height=height,
        width=width,
        samples=len(image.inputs),
        provenance=image.provenance,
    )
