"""Read and write the records of a dataset: plan, sidecars and index.

The plan is written first, one sidecar beside each shard, and the index last: its table first
(index.hdf5), then index.json, which holds the table's SHA-256. The table holds those of all shards
and sidecars, so the SHA-256 of index.json stands for every byte of the dataset.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from vocsmooth.errors import DatasetError, InputError
from vocsmooth.files import AnyPath, as_path, read_file, write_atomically
from vocsmooth.settings import from_dict, parse_json, to_dict
from vocsmooth.shards.entries import Index, IndexFile, Record, Sidecar, totals_of
from vocsmooth.shards.schema import BASE_MAPS, FORMAT, INDEX_VERSION, TABLES, VERSION
from vocsmooth.shards.table import decode_table, encode_table

if TYPE_CHECKING:
    from vocsmooth.shards.remote import Store
    from vocsmooth.shards.version1 import Index1

T = TypeVar("T")

INDEX_NAME = "index.json"
"""File of the index; its presence means that the dataset is complete."""

TABLE_NAME = "index.hdf5"
"""File of the index's table, see `vocsmooth.shards.table`; "*.h5" means shards only."""

PLAN_NAME = "plan.json"
"""File of the plan, written first: what the dataset will be."""

ARCHIVE_NAME = "metadata"
"""Folder of these files in an archive, see `vocsmooth.dataset.archive`."""


def read_index(root: AnyPath) -> Index:
    """Read the index of the dataset in the folder `root`, of version 2 or 1.

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
    return parse_index(root, lambda name: _read(root / name))


def parse_index(root: Path | Store, read: Callable[[str], bytes]) -> Index:
    """Return the index, of version 2 or 1, of the dataset in `root`, whose files `read` gives.

    Raises
    ------
    DatasetError
        The index is damaged or of another version; or from `read`, called with a file's name.
    """
    path, table = str(root / INDEX_NAME), str(root / TABLE_NAME)
    content = _decode(read(INDEX_NAME), path, (1, INDEX_VERSION))
    if content["version"] == 1:
        from vocsmooth.shards.version1 import convert

        return convert(_parse_version1(content, path), path)
    head = parse(IndexFile, content, path)
    _check_maps(head.maps, path)
    data = read(TABLE_NAME)
    _check_table(data, head, table)
    columns = decode_table(data, table)
    if columns.split.size and columns.split[-1] >= len(head.splits):
        raise DatasetError(f"{table} has more splits than {path} names.")
    if totals_of(columns) != head.totals:
        raise DatasetError(f"{path}: totals is not what {TABLE_NAME} adds up to.")
    return Index(**vars(head), columns=columns)


def read_version1(root: Path) -> Index1:
    """Read the index of a dataset whose index has version 1, with all that it says."""
    path = root / INDEX_NAME
    return _parse_version1(read_object(path, (1,)), str(path))


def index_files(index: Index) -> dict[str, bytes]:
    """Return the files of an index by name, in the order in which they must be written."""
    head = IndexFile(**{name: value for name, value in vars(index).items() if name in _HEAD})
    return {TABLE_NAME: encode_table(index.columns), INDEX_NAME: to_bytes(to_dict(head))}


def refuse_archive(root: Path) -> None:
    """Raise DatasetError if `root` is an archive, which has to be unpacked first."""
    if (root / ARCHIVE_NAME / INDEX_NAME).is_file():
        raise DatasetError(
            f"{root} is an archive. Unpack it to read or verify it: "
            f"`vocsmooth repack {root} --to shards --out FOLDER`."
        )


def read_sidecar(path: Path) -> Sidecar:
    """Read a sidecar; DatasetError if it is missing or damaged."""
    return read_record(path).sidecar


def read_record(path: Path) -> Record:
    """Read a sidecar and the SHA-256 of its file; DatasetError if it is missing or damaged."""
    data = _read(path)
    sidecar = parse(Sidecar, _decode(data, str(path), (VERSION,)), str(path))
    return Record(sidecar=sidecar, sha256=hashlib.sha256(data).hexdigest())


def record_of(sidecar: Sidecar) -> Record:
    """Return a sidecar with the SHA-256 of the file that `write_sidecar` makes of it."""
    data = to_bytes(as_object(sidecar))
    return Record(sidecar=sidecar, sha256=hashlib.sha256(data).hexdigest())


def as_object(record: Sidecar | Index1) -> dict[str, Any]:
    """Return a record as plain dicts and lists, without digests that are not known."""
    content = to_dict(record)
    for shard in [content["shard"]] if isinstance(record, Sidecar) else content["shards"]:
        if not shard["blake3"]:
            del shard["blake3"]
    return content


def to_bytes(content: Mapping[str, Any]) -> bytes:
    """Return the one spelling of a JSON object that the files of a dataset use."""
    return f"{_spell(content)}\n".encode()


def spell_list(
    head: Mapping[str, Any], key: str, items: Iterable[Mapping[str, Any]]
) -> Iterator[str]:
    """Yield, item by item, the text of `to_bytes` for an object that ends with a long list.

    Parameters
    ----------
    head : mapping
        What comes before the list; not empty.
    key : str
        Key of the list.
    items : iterable of mapping
        The list.
    """
    yield f"{_spell(head)[:-2]},\n {json.dumps(key)}: ["
    end = "]"
    for number, item in enumerate(items):
        text = _spell(item).replace("\n", "\n  ")
        yield f"{',' if number else ''}\n  {text}"
        end = "\n ]"
    yield f"{end}\n}}\n"


def write_sidecar(path: Path, sidecar: Sidecar) -> None:
    """Write a sidecar, completely or not at all."""
    write_atomically(path, to_bytes(as_object(sidecar)))


def sidecar_path(shard: Path) -> Path:
    """Return the path of a shard's sidecar."""
    return shard.with_suffix(".json")


_HEAD = frozenset(IndexFile.__dataclass_fields__)


def _parse_version1(content: Mapping[str, Any], where: str) -> Index1:
    """Turn the JSON of an index of version 1 into what it says."""
    from vocsmooth.shards.version1 import Index1

    old = parse(Index1, content, where)
    _check_maps(old.maps, where)
    return old


def _spell(content: Mapping[str, Any]) -> str:
    """Return JSON with one value a line."""
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)


def _check_table(data: bytes, head: IndexFile, where: str) -> None:
    """Raise DatasetError unless these bytes of the table are those that index.json means."""
    found = hashlib.sha256(data).hexdigest()
    if found != head.table.sha256 or len(data) != head.table.bytes:
        raise DatasetError(
            f"{where} is damaged, or not the one of {INDEX_NAME}: {head.table.bytes} bytes with "
            f"SHA-256 {head.table.sha256} expected, got {len(data)} bytes with {found}. "
            "`vocsmooth verify --repair` on its folder makes it again."
        )


def _read(path: Path) -> bytes:
    """Return the bytes of a file; DatasetError if it cannot be read."""
    try:
        return read_file(path)
    except OSError as error:
        raise DatasetError(f"Cannot read {path}: {error.strerror}.") from None


def read_object(path: Path, versions: tuple[int, ...]) -> dict[str, Any]:
    """Read one of a dataset's JSON files; DatasetError says what is wrong with it."""
    return _decode(_read(path), str(path), versions)


def _decode(data: bytes, where: str, versions: tuple[int, ...]) -> dict[str, Any]:
    """Parse one of a dataset's JSON files, which must have one of these versions."""
    try:
        content = parse_json(data)
    except ValueError as error:
        raise DatasetError(f"{where} is damaged: {error}.") from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise DatasetError(f"{where} is not a {FORMAT} file.")
    if content.get("version") not in versions:
        known = " and ".join(map(str, versions))
        raise DatasetError(
            f"{where} has version {content.get('version')!r}; this package reads version {known}."
        )
    return content


def parse(cls: type[T], content: Mapping[str, Any], where: str) -> T:
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
