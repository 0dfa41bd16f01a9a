"""Repair a dataset: rebuild what is broken from its sources, and require the same bytes.

The index follows from the plan and the sidecars, and the plan from the index. Shards are rebuilt
from their photographs, together with their sidecars; so are those whose sidecar is lost, or is not
the one that the index means.
"""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vocsmooth.dataset.make import finish_shards, package_versions
from vocsmooth.dataset.plan import describe_textures, make_plan
from vocsmooth.dataset.recover import (
    Known,
    Records,
    read_sound_index,
    read_sound_plan,
    write_if_other,
    write_records,
)
from vocsmooth.dataset.verify import Verification, verify_dataset
from vocsmooth.dataset.work import Work
from vocsmooth.errors import DatasetError, InputError
from vocsmooth.files import AnyPath, as_path, as_path_or_none, remove_leftovers, sha256_file
from vocsmooth.maps.recipe import Recipe
from vocsmooth.maps.textures import TextureSource, open_textures
from vocsmooth.operators import kernels
from vocsmooth.settings import digest, from_dict
from vocsmooth.shards.entries import ImageEntry, Index, LeftOutEntry, Sidecar
from vocsmooth.shards.index import (
    INDEX_NAME,
    PLAN_NAME,
    as_object,
    read_index,
    read_sidecar,
    refuse_archive,
    sidecar_path,
    to_bytes,
)
from vocsmooth.shards.planned import Plan
from vocsmooth.shards.schema import INDEX_VERSION
from vocsmooth.sources.ids import Ids, decode_ids, places_of
from vocsmooth.sources.listing import Photographs
from vocsmooth.sources.voc import find_tree, list_photographs
from vocsmooth.workers.processes import available_cores, local_runner, sigterm_interrupts

WORKSHOP_NAME = ".repair"
"""Folder within that of the dataset; shards are rebuilt there until they are known to be right."""


@dataclass(frozen=True, kw_only=True)
class Repair:
    """What was rebuilt, and what is still wrong."""

    shards: tuple[str, ...]
    """File names of the shards that were rebuilt from their photographs."""
    files: tuple[str, ...]
    """Names of the other files that were rewritten."""
    verification: Verification
    """Of the repaired dataset."""


def repair_dataset(
    root: AnyPath,
    voc_root: AnyPath,
    *,
    textures_dir: AnyPath | None = None,
    jobs: int | None = None,
    fresh: bool = False,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> Repair:
    """Verify a dataset, rebuild what is broken or missing, and verify it again.

    Afterwards the dataset is byte for byte what it was, or an error says why that is impossible and
    which file is to blame. Files that do not belong to the dataset are left alone, and are still
    reported as problems.

    Parameters
    ----------
    root : str or path-like
        The dataset's folder.
    voc_root : str or path-like
        The VOC tree that it was built from.
    textures_dir : str or path-like, optional
        The folder of textures that it was built with; the bundled ones if not given.
    jobs, fresh, progress
        As in `vocsmooth.dataset.verify.verify_dataset`.

    Raises
    ------
    InputError
        A source file is missing, or not the one that the dataset was built from; or the installed
        packages have other versions than those that built it.
    DatasetError
        Plan and index are both damaged, or a rebuilt shard is not the recorded one.
    """
    root = as_path(root, "root")
    voc_root = as_path(voc_root, "voc_root")
    textures_dir = as_path_or_none(textures_dir, "textures_dir")
    if not root.is_dir():
        raise InputError(f"{root} is not a folder.")
    refuse_archive(root)
    jobs = jobs or available_cores()
    kernels.warn_if_slow()  # the workers do not
    index, plan = read_sound_index(root), read_sound_plan(root)
    if plan is None:
        plan = _derive_plan(root, index, voc_root, textures_dir)
    sources = _open_sources(plan, voc_root, textures_dir)
    remove_leftovers(root)
    records = Records(root, plan, index)
    unclear, written = records.sort_out()
    made = _rebuild(root, plan, sources, unclear, records, jobs)
    version = index.version if index is not None else INDEX_VERSION
    files = (*written, *write_records(root, plan, version))
    fresh = fresh or index is None  # then nothing vouches for what the sidecars say
    report = verify_dataset(root, jobs=jobs, fresh=fresh, progress=progress)
    names = set(plan.shards.names) - made
    broken = sorted({problem.shard for problem in report.problems if problem.shard in names})
    if broken:
        made |= _rebuild(root, plan, sources, broken, Records(root, plan, read_index(root)), jobs)
        files = (*files, *write_records(root, plan, version))
        report = verify_dataset(root, jobs=jobs, progress=progress)
    return Repair(shards=tuple(sorted(made)), files=files, verification=report)


@dataclass(frozen=True, kw_only=True)
class _Sources:
    """What a dataset is built from."""

    voc_root: Path
    recipe: Recipe
    textures: TextureSource


def _derive_plan(
    root: Path, index: Index | None, voc_root: Path, textures_dir: Path | None
) -> Plan:
    """Make the plan again; its digest in the index tells whether it is the right one."""
    if index is None:
        raise DatasetError(
            f"{root} cannot be repaired: both {PLAN_NAME} and {INDEX_NAME} are damaged or missing. "
            "Build it again, into another folder."
        )
    recipe = _read_recipe(index.recipe)
    textures = open_textures(textures_dir, procedural=recipe.textures.procedural)
    columns = index.columns
    ids = np.concatenate([columns.ids, columns.left_out_ids])
    counts = np.concatenate([columns.images, columns.left_out])
    split = np.repeat(np.concatenate([columns.split, columns.split]), counts)
    order = np.lexsort((ids, split))
    photographs = _find_photographs(voc_root, recipe, index.splits, ids[order], split[order])
    size = int((columns.images + columns.left_out).max(initial=1))
    plan = make_plan(photographs, recipe, textures, index.splits, size)
    if plan.digest != index.digest:
        raise InputError(
            f"{root / PLAN_NAME} is damaged or missing and cannot be derived: the photographs, the "
            "textures or the version of vocsmooth are not those that the dataset was built with."
        )
    return plan


def _open_sources(plan: Plan, voc_root: Path, textures_dir: Path | None) -> _Sources:
    """Open what the dataset was built from; the plan tells whether the textures are the same."""
    recipe = _read_recipe(plan.recipe)
    textures = open_textures(textures_dir, procedural=recipe.textures.procedural)
    if digest(describe_textures(textures)) != digest(plan.textures):
        raise InputError(
            f"The textures in {textures_dir or 'the installed packages'} are not those that the "
            "dataset was built with; give the same --textures as to `vocsmooth build`."
        )
    return _Sources(voc_root=voc_root, recipe=recipe, textures=textures)


def _read_recipe(recipe: dict[str, Any]) -> Recipe:
    """Return the recipe that a plan or an index holds."""
    try:
        return from_dict(Recipe, recipe, "the dataset's recipe")
    except InputError as error:
        raise DatasetError(f"{error}") from None


def _find_photographs(
    voc_root: Path,
    recipe: Recipe,
    splits: tuple[str, ...],
    ids: Ids,
    split: NDArray[np.integer[Any]],
) -> Photographs:
    """Find photographs by their ids, in this order, each in the split that it was in."""
    used = tuple(splits[number] for number in np.unique(split))
    found = list_photographs(find_tree(voc_root), used, None, recipe.val_fraction, ids=ids)
    by_id = np.argsort(found.ids)
    places = places_of(ids, found.ids[by_id])
    if missing := decode_ids(ids[places < 0]):
        raise InputError(
            f"{voc_root}: {missing[0]!r} is not in any of the splits {', '.join(used)}."
        )
    return replace(found.take(by_id[places]), splits=splits, split=split)


def _rebuild(
    root: Path, plan: Plan, sources: _Sources, names: Sequence[str], records: Records, jobs: int
) -> set[str]:
    """Rebuild shards from their photographs; put them in place if they are the recorded ones.

    Returns their names.
    """
    if not names:
        return set()
    wanted = set(names)
    shards, _ = plan.shards.choose(np.array([name in wanted for name in plan.shards.names]))
    known = {name: records.know(name) for name in names}
    _check_versions([versions for one in known.values() for versions in one.versions])
    splits = tuple(dict.fromkeys(shards.splits))
    split = np.repeat([splits.index(one) for one in shards.splits], np.diff(shards.starts))
    photographs = _find_photographs(sources.voc_root, sources.recipe, splits, shards.ids, split)
    _check_photographs(photographs, [s for one in known.values() for s in one.sidecars])
    workshop = root / WORKSHOP_NAME
    workshop.mkdir(exist_ok=True)
    work = Work(
        shards=shards,
        photographs=photographs,
        digest=plan.digest,
        recipe=sources.recipe,
        textures=sources.textures,
        out=workshop,
        strict=True,
        fatal={
            name: {e.id: e.reason for e in reversed(one.left_out) if e.kind == "error"}
            for name, one in known.items()
        },
    )
    with sigterm_interrupts(), closing(finish_shards(work.tasks(), local_runner(jobs))) as finished:
        for task, _ in finished:
            name = task.planned.name
            made = read_sidecar(sidecar_path(workshop / name))
            sidecar = _settle(root / name, made, known[name])
            (workshop / name).replace(root / name)
            write_if_other(sidecar_path(root / name), to_bytes(as_object(sidecar)))
    shutil.rmtree(workshop)
    return set(names)


def _check_versions(made_by: Sequence[Mapping[str, str]]) -> None:
    """Refuse to rebuild shards with versions other than those that made them: they would differ."""
    here = package_versions()
    if made_by and here not in made_by:
        differing = (
            f"{name} {version} (here {here.get(name, 'none')})"
            for name, version in made_by[0].items()
            if here.get(name) != version
        )
        raise InputError(
            f"The dataset was built with {', '.join(differing)}: rebuilt shards would not be the "
            "same. Install these versions to repair it."
        )


def _check_photographs(photographs: Photographs, records: Sequence[Sidecar]) -> None:
    """Refuse source files that are not those that the dataset was built from."""
    recorded: dict[tuple[str, str], set[str]] = defaultdict(set)
    for record in records:
        entries: list[ImageEntry | LeftOutEntry] = [*record.images, *record.left_out]
        for entry in entries:
            for kind in ("image", "mask"):
                source = entry.provenance.get(kind)
                if isinstance(source, dict) and "sha256" in source:
                    recorded[entry.id, kind].add(source["sha256"])
    for photograph in photographs:
        for kind, path in (("image", photograph.image), ("mask", photograph.mask)):
            expected = recorded[photograph.id, kind]
            if path is not None and expected and (found := sha256_file(path)) not in expected:
                raise InputError(
                    f"{path} is not the file that the dataset was built from: "
                    f"SHA-256 expected {' or '.join(sorted(expected))}, got {found}."
                )


def _settle(path: Path, made: Sidecar, known: Known) -> Sidecar:
    """Return the sidecar of a rebuilt shard; it must be a known one, or that which is in place."""
    settled = known.settle(made)
    if settled is None and known.shard_sha256:
        in_place = sha256_file(path) if path.is_file() else None
        if in_place != made.shard.sha256:
            raise DatasetError(
                f"{path} was rebuilt, but is not the shard that the dataset's records describe: "
                f"SHA-256 expected {known.shard_sha256}, got {made.shard.sha256}. The file was "
                "left as it was."
            )
    return settled or known.as_recorded(made)
