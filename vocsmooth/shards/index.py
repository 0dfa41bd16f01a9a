"""Read and write the JSON files of a dataset, and assemble the index from plan and sidecars.

The plan is written first, one sidecar beside each shard, and the index last.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from vocsmooth.errors import DatasetError, InputError
from vocsmooth.files import AnyPath, as_path, read_file, write_atomically
from vocsmooth.settings import from_dict, parse_json, to_dict
from vocsmooth.shards.entries import Index, Plan, Sidecar, Totals
from vocsmooth.shards.schema import BASE_MAPS, FORMAT, TABLES, VERSION

T = TypeVar("T")

INDEX_NAME = "index.json"
"""File of the index; its presence means that the dataset is complete."""

PLAN_NAME = "plan.json"
"""File of the plan, written first: what the dataset will be."""

ARCHIVE_NAME = "metadata"
"""Folder of these files in an archive, see `vocsmooth.dataset.archive`."""


def read_index(root: AnyPath) -> Index:
    """Read the index of the dataset in the folder `root`.

    Raises
    ------
    DatasetError
        The folder is not a dataset, or its build has not finished; it is an archive; or the index
        is damaged or of another version.
    """
    root = as_path(root, "root")
    if not root.is_dir():
        raise DatasetError(f"No folder {root}; the folder of a dataset was expected.")
    refuse_archive(root)
    path = root / INDEX_NAME
    if not path.is_file():
        raise DatasetError(
            f"{root} holds no {INDEX_NAME}: it is not a dataset, or its build has not finished. "
            "To finish it, run `vocsmooth build` with the same arguments again."
        )
    index = _parse(Index, _read_object(path), str(path))
    _check_maps(index.maps, str(path))
    return index


def refuse_archive(root: Path) -> None:
    """Raise DatasetError if `root` is an archive, which has to be unpacked first."""
    if (root / ARCHIVE_NAME / INDEX_NAME).is_file():
        raise DatasetError(
            f"{root} is an archive. Unpack it to read or verify it: "
            f"`vocsmooth repack {root} --to shards --out FOLDER`."
        )


def read_sidecar(path: Path) -> Sidecar:
    """Read a sidecar; DatasetError if it is missing or damaged."""
    return _parse(Sidecar, _read_object(path), str(path))


def read_plan(path: Path) -> Plan:
    """Read a plan; DatasetError if it is missing or damaged."""
    return _parse(Plan, _read_object(path), str(path))


def assemble_index(plan: Plan, sidecars: Sequence[Sidecar]) -> Index:
    """Return the index of a finished dataset; it follows from the plan and the ordered sidecars.

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


def to_bytes(content: dict[str, Any]) -> bytes:
    """Return the one spelling of a JSON object that the files of a dataset use."""
    return (json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def write_object(path: Path, settings: Plan | Sidecar | Index) -> None:
    """Write one of the JSON files, completely or not at all."""
    write_atomically(path, to_bytes(to_dict(settings)))


def sidecar_path(shard: Path) -> Path:
    """Return the path of a shard's sidecar."""
    return shard.with_suffix(".json")


def _read_object(path: Path) -> dict[str, Any]:
    """Read one of a dataset's JSON files; DatasetError says what is wrong with it."""
    try:
        content = parse_json(read_file(path))
    except OSError as error:
        raise DatasetError(f"Cannot read {path}: {error.strerror}.") from None
    except ValueError as error:
        raise DatasetError(f"{path} is damaged: {error}.") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise DatasetError(f"{path} is not a {FORMAT} file.")
    if content.get("version") != VERSION:
        raise DatasetError(
            f"{path} has version {content.get('version')!r}; this package reads version {VERSION}."
        )
    return content


def _parse(cls: type[T], content: Mapping[str, Any], where: str) -> T:
    """Turn JSON into one of the `entries`; DatasetError if a key or type is wrong."""
    try:
        return from_dict(cls, content, where)
    except (InputError, TypeError) as error:
        raise DatasetError(f"{error}") from None


def _check_maps(maps: Any, where: str) -> None:
    """Check that no map that every dataset has is missing, and the channels of all maps."""
    try:
        extra = {
            (group, name): channels
            for group in TABLES
            for name, channels in maps[group].items()
            if BASE_MAPS[group].get(name) != channels
        }
        missing = [n for group, names in BASE_MAPS.items() for n in names if n not in maps[group]]
    except (AttributeError, LookupError, TypeError):
        raise DatasetError(f"{where}: maps is not a table of channels by group and name.") from None
    if missing or any(channels != 3 for channels in extra.values()):
        raise DatasetError(f"{where}: maps lacks {missing} or gives wrong numbers of channels.")
