"""The files that a run learns from, recorded when it begins and checked when it resumes."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, get_args

from csgisnet.checkpoints.format import is_ours
from csgisnet.errors import ConfigError
from csgisnet.networks.segmenter import OutputStride
from vocsmooth import settings
from vocsmooth.errors import DatasetError, InputError
from vocsmooth.files import read_file, sha256_file
from vocsmooth.shards.index import INDEX_NAME, read_index


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sources:
    """The files that a run learns from."""

    data: Path | None = None
    """Folder of the dataset."""
    segmenter: Path | None = None
    """Weights of the segmenter."""
    features: Path | None = None
    """Weights of the feature extractor."""
    simplifier: Path | None = None
    """Weights of the network that makes the labels of level 1."""
    photographs: Path | None = None
    """Folder of the dataset of photographs that teach level 1."""
    output_stride: OutputStride | None = None
    """Output stride of a public segmenter whose file does not say it."""

    def given(self) -> dict[str, Path]:
        """Return the files that are not None, by name."""
        return {name: path for name, path in vars(self).items() if isinstance(path, Path)}

    def record(self) -> dict[str, Any]:
        """Return what `sources_of` reads, as JSON can hold it: each file with its SHA-256."""
        files = {
            name: {"path": str(path.resolve()), "sha256": next(iter(_identify(path)), None)}
            for name, path in self.given().items()
        }
        return {"sources": files, "output_stride": self.output_stride}


def sources_of(record: dict[str, Any], path: Path, given: Sources) -> Sources:
    """Return the sources that a run recorded, each checked against the one given now, if any."""
    noted = record.get("sources", {})  # older runs did not record them
    try:
        recorded = {name: (Path(one["path"]), str(one["sha256"])) for name, one in noted.items()}
        paths = {name: known[0] for name, known in recorded.items()} | given.given()
        sources = Sources(**paths, output_stride=_stride_of(record, path, given, paths))
    except (AttributeError, KeyError, TypeError) as error:
        raise no_record(path, error) from None
    if not recorded:
        return sources
    for name, now in sources.given().items():
        before, digest = recorded.get(name, (None, None))
        found = _identify(now)
        if found and digest not in found:
            raise ConfigError(
                f"The run in {path.parent} began with {before or 'none'} as its {name}, and {now} "
                f"is another. Leave out --{name} or give the same, or begin a new run."
            )
    return sources


def read_record(path: Path) -> dict[str, Any]:
    """Return what a run recorded when it began."""
    try:
        content = settings.parse_json(read_file(path))
    except FileNotFoundError:
        raise InputError(f"{path.parent} does not hold a run. Leave out --resume.") from None
    except ValueError as error:
        raise no_record(path, error) from None
    if not isinstance(content, dict):
        raise no_record(path, content)
    return content


def no_record(path: Path, found: object) -> InputError:
    """Return the error for a record whose content is not what `claim_run` writes."""
    return InputError(f"{path} is not the record of a run: {found!r}.")


def _stride_of(
    record: dict[str, Any], path: Path, given: Sources, paths: dict[str, Path]
) -> OutputStride | None:
    """Return the output stride that a run recorded, checked against the one given now, if any."""
    if "output_stride" in record:
        began: OutputStride | None = record["output_stride"]
        if began not in (None, *get_args(OutputStride)):
            raise no_record(path, began)
    else:  # a run of the time when public segmenters always ran at 16
        teachers = [paths[name] for name in ("segmenter", "features") if name in paths]
        began = None if all(map(is_ours, teachers)) else 16
    if given.output_stride not in (None, began):
        raise ConfigError(
            f"The run in {path.parent} began with {began or 'none'} as its output stride, given "
            f"{given.output_stride}. Leave --output-stride out, or begin a new run."
        )
    return began


def _identify(path: Path) -> list[str]:
    """Return the SHA-256 of a file, or of what a dataset holds.

    For a dataset that of its index's file follows, which older runs recorded. Empty if it cannot be
    read: whoever opens it next says why.
    """
    try:
        if path.is_dir():
            return [read_index(path).identity, sha256_file(path / INDEX_NAME)]
        return [sha256_file(path)]
    except (OSError, DatasetError):
        return []
