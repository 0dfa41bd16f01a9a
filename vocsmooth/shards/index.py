"""The JSON files of a dataset: one sidecar beside each shard, the index written last."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from vocsmooth.errors import DatasetError, InputError
from vocsmooth.files import write_atomically
from vocsmooth.settings import from_dict, to_dict
from vocsmooth.shard_schema import BASE_MAPS, FORMAT, TABLES, VERSION

T = TypeVar("T")

INDEX_NAME = "index.json"
"""Its presence means that the dataset is complete."""
PLAN_NAME = "plan.json"
"""Written first: what the dataset will be."""
ARCHIVE_NAME = "metadata"
"""Folder of these files in an archive, see `vocsmooth.repack`."""

_SHARD_NAME = re.compile(r"[\w-]+-\d{5,}\.h5")


@dataclass(frozen=True, kw_only=True)
class ShardEntry:
    """One shard of the dataset."""

    name: str
    """File name, SPLIT-00000.h5."""
    split: str
    """The split of all its photographs."""
    bytes: int
    """Length of the file."""
    sha256: str
    """SHA-256 of the file, hexadecimal."""
    images: int
    """Photographs in it."""
    samples: int
    """Inputs in it."""

    def __post_init__(self) -> None:
        _check_name(self.name)


@dataclass(frozen=True, kw_only=True)
class ImageEntry:
    """One photograph of the dataset."""

    id: str
    """The photograph's id."""
    split: str
    """Its split."""
    shard: str
    """File name of its shard."""
    height: int
    width: int
    samples: int
    """Inputs made of it."""
    provenance: dict[str, Any]
    """Source files, operator, scores, textures."""

    def __post_init__(self) -> None:
        if min(self.height, self.width) < 1 or self.samples < 0:
            raise ValueError(f"image {self.id!r} has impossible sizes")


@dataclass(frozen=True, kw_only=True)
class LeftOutEntry:
    """One photograph that is not in the dataset."""

    id: str
    split: str
    kind: str
    """rejected: no label was good enough. error: its files could not be used."""
    reason: str
    provenance: dict[str, Any]
    """Of a rejected photograph: source files and the scores of all candidates."""


@dataclass(frozen=True, kw_only=True)
class PlannedShard:
    """The photographs that one shard is made of."""

    name: str
    """File name, SPLIT-00000.h5."""
    split: str
    """Their split."""
    ids: tuple[str, ...]
    """Their ids, in order; those left out later stay in this list."""

    def __post_init__(self) -> None:
        _check_name(self.name)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that decides a dataset's bytes, written before its first shard."""

    format: str = FORMAT
    version: int = VERSION
    package: str
    """Version of vocsmooth."""
    digest: str
    """Digest of all else in the plan."""
    recipe: dict[str, Any]
    """The resolved recipe."""
    textures: dict[str, Any]
    """Names and hashes of the textures."""
    maps: dict[str, Any]
    """Channels of each map by name, in the groups "images" and "samples"."""
    splits: tuple[str, ...]
    """Names of the splits, in order."""
    shards: tuple[PlannedShard, ...]


@dataclass(frozen=True, kw_only=True)
class Sidecar:
    """What is known of one shard, written beside it after it; with it the shard is finished."""

    format: str = FORMAT
    version: int = VERSION
    digest: str
    """Digest of the plan that the shard is part of."""
    versions: dict[str, str]
    """Of the packages that made the shard."""
    shard: ShardEntry
    images: tuple[ImageEntry, ...]
    left_out: tuple[LeftOutEntry, ...]


@dataclass(frozen=True, kw_only=True)
class Totals:
    """Counts over a dataset."""

    images: int
    """Photographs in it."""
    samples: int
    """Inputs in it."""
    rejected: int
    """Photographs without a good enough label."""
    errors: int
    """Photographs whose files could not be used."""
    bytes: int
    """Of all shards."""


@dataclass(frozen=True, kw_only=True)
class Index:
    """What a dataset holds and where."""

    format: str = FORMAT
    version: int = VERSION
    digest: str
    """Digest of the plan, also in every shard."""
    recipe: dict[str, Any]
    """The resolved recipe."""
    versions: dict[str, str]
    """Of the packages that made it."""
    maps: dict[str, Any]
    """Channels of each map by name, in the groups "images" and "samples"."""
    splits: tuple[str, ...]
    """Names of the splits; one may be without images."""
    totals: Totals
    shards: tuple[ShardEntry, ...]
    images: tuple[ImageEntry, ...]
    left_out: tuple[LeftOutEntry, ...]


def read_index(root: Path) -> Index:
    """Read the index of the dataset in the folder `root`.

    Raises
    ------
    DatasetError
        There is none (no dataset, an archive, or a build that has not ended), or it is damaged or
        of another version.
    """
    refuse_archive(root)
    path = root / INDEX_NAME
    if not path.is_file():
        raise DatasetError(
            f"{root} holds no {INDEX_NAME}: no dataset, or one whose build has not ended. "
            "Run `vocsmooth build` with the same arguments again to finish it."
        )
    index = parse(Index, read_object(path), str(path))
    _check_maps(index.maps, str(path))
    return index


def refuse_archive(root: Path) -> None:
    """Raise DatasetError if `root` is an archive of a dataset, which has to be unpacked first."""
    if (root / ARCHIVE_NAME / INDEX_NAME).is_file():
        raise DatasetError(
            f"{root} is an archive. Unpack it to read or verify it: "
            f"`vocsmooth repack {root} --to shards --out FOLDER`."
        )


def read_sidecar(path: Path) -> Sidecar:
    """Read the JSON file beside a shard; DatasetError if it is missing or damaged."""
    return parse(Sidecar, read_object(path), str(path))


def read_plan(path: Path) -> Plan:
    """Read a plan; DatasetError if it is missing or damaged."""
    return parse(Plan, read_object(path), str(path))


def assemble_index(plan: Plan, sidecars: Sequence[Sidecar]) -> Index:
    """Return the index of a finished dataset: it follows from the plan and all sidecars, in order.

    Raises
    ------
    DatasetError
        The shards were made by different versions of the packages.
    """
    versions = [sidecar.versions for sidecar in sidecars]
    if any(other != versions[0] for other in versions):
        raise DatasetError(
            "The shards of the dataset were made by different versions of the packages."
        )
    shards = tuple(sidecar.shard for sidecar in sidecars)
    left_out = tuple(entry for sidecar in sidecars for entry in sidecar.left_out)
    kinds = [entry.kind for entry in left_out]
    return Index(
        digest=plan.digest,
        recipe=plan.recipe,
        versions=versions[0] if versions else {},
        maps=plan.maps,
        splits=plan.splits,
        totals=Totals(
            images=sum(shard.images for shard in shards),
            samples=sum(shard.samples for shard in shards),
            rejected=kinds.count("rejected"),
            errors=kinds.count("error"),
            bytes=sum(shard.bytes for shard in shards),
        ),
        shards=shards,
        images=tuple(image for sidecar in sidecars for image in sidecar.images),
        left_out=left_out,
    )


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object of this format; DatasetError says what is wrong with the file."""
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise DatasetError(f"Cannot read {path}: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path} is damaged: {error}.") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise DatasetError(f"{path} is no {FORMAT} file.")
    if content.get("version") != VERSION:
        raise DatasetError(
            f"{path} has version {content.get('version')!r}; this package reads {VERSION}."
        )
    return content


def to_bytes(content: dict[str, Any]) -> bytes:
    """Spell a JSON object the one way in which the files of a dataset are written."""
    return (json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def write_object(path: Path, settings: Plan | Sidecar | Index) -> None:
    """Write one of the JSON files, whole or not at all."""
    write_atomically(path, to_bytes(to_dict(settings)))


def sidecar_path(shard: Path) -> Path:
    """Return the JSON file that belongs to a shard."""
    return shard.with_suffix(".json")


def parse(cls: type[T], content: Mapping[str, Any], where: str) -> T:
    """Build a dataclass of this module from JSON; DatasetError if a key or type is wrong."""
    try:
        return from_dict(cls, content, where)
    except (InputError, TypeError) as error:
        raise DatasetError(f"{error}") from None


def _check_name(name: str) -> None:
    """Refuse shard names that lead out of the dataset's folder."""
    if not _SHARD_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no shard name")


def _check_maps(maps: Any, where: str) -> None:
    """Check that every map that all datasets have is there, and the channels of all."""
    try:
        extra = {
            (group, name): channels
            for group in TABLES
            for name, channels in maps[group].items()
            if BASE_MAPS[group].get(name) != channels
        }
        missing = [n for group, names in BASE_MAPS.items() for n in names if n not in maps[group]]
    except (AttributeError, LookupError, TypeError):
        raise DatasetError(f"{where}: maps is no table of channels by group and name.") from None
    if missing or any(channels != 3 for channels in extra.values()):
        raise DatasetError(f"{where}: maps lacks {missing} or gives other numbers of channels.")
