"""The record is that of the bundled network, and valid by OpenModelDB's published schema.

The rules are those of `src/lib/schema.ts`, `src/lib/model-props.ts` and `src/lib/validate-model.ts`
in OpenModelDB/open-model-database, written down anew; safetensors as in its published records.
"""

from __future__ import annotations

import copy
import json
import re
import runpy
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "integrations/openmodeldb"

RECORD = runpy.run_path(str(FOLDER / "record.py"))

ENTRIES, MODEL, make_record, PLACEHOLDER, download_address = (
    RECORD[name] for name in ("ENTRIES", "MODEL", "make_record", "PLACEHOLDER", "download_address")
)

ID = re.compile(r"[a-zA-Z0-9]+(?:-[a-zA-Z0-9]+)*")

TAGS = {
    *("anime", "anti-aliasing", "cartoon", "colorization", "dds", "debanding", "deblur"),
    *("dedither", "dehalo", "denoise", "faces", "game-textures", "general-upscaler"),
    *("inpainting", "jpeg", "manga", "photo", "pixel-art", "pretrained", "research"),
    *("restoration", "text", "texture-generation", "video-frame"),
}
"""The tags of the database that people set."""

PLATFORMS = {"pth": "pytorch", "safetensors": "pytorch", "onnx": "onnx"}

TOP = {
    *("name", "author", "license", "tags", "description", "date", "architecture", "size"),
    *("scale", "inputChannels", "outputChannels", "resources", "images"),
}

MORE = {
    *("trainingIterations", "trainingEpochs", "trainingBatchSize", "trainingHRSize"),
    *("trainingOTF", "dataset", "datasetSize", "pretrainedModelG", "pretrainedModelD"),
}


def faults(model_id: str, record: Mapping[str, Any], known: Mapping[str, Any]) -> list[str]:
    """Return what the database would report."""
    if missing := TOP - record.keys():
        return [f"lacks {sorted(missing)}"]
    number, text = record["scale"], record["description"]
    checks: dict[str, bool] = {
        "unknown key": record.keys() <= TOP | MORE,
        "id": re.fullmatch(rf"{number}x-{ID.pattern}", model_id) is not None,
        "name": bool(record["name"]) and record["name"] == record["name"].strip(),
        "author": record["author"] in known["users.json"],
        "architecture": record["architecture"] in known["architectures.json"],
        "license": bool(record["license"]),
        "tags": bool(record["tags"]) and set(record["tags"]) <= TAGS,
        "description": bool(text) and text == text.strip(),
        "date": date.fromisoformat(record["date"]).isoformat() == record["date"],
        "size": bool(record["size"]) and all(record["size"]),
        "scale": type(number) is int and 1 <= number <= 16,
        "channels": all(record[f"{end}Channels"] in (1, 2, 3, 4) for end in ("input", "output")),
        "resources": bool(record["resources"]),
        "images": record["images"] == [],
        "dataset": isinstance(record.get("dataset", ""), str),
    }
    for resource in record["resources"]:
        platforms = known["architectures.json"].get(record["architecture"], {})
        checks |= {
            "resource": resource.keys() == {"platform", "type", "size", "sha256", "urls"},
            "platform": resource["platform"] == PLATFORMS.get(resource["type"])
            and resource["platform"] in platforms.get("compatiblePlatforms", ()),
            "bytes": type(resource["size"]) is int and resource["size"] >= 1,
            "sha256": re.fullmatch("[0-9a-f]{64}", resource["sha256"]) is not None,
            "urls": bool(resource["urls"])
            and all(url.startswith("https://") for url in resource["urls"]),
        }
    return [name for name, holds in checks.items() if not holds]


def test_the_record_is_that_of_the_bundled_network() -> None:
    written = {
        name: json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
        for name in (MODEL, "entries")
    }
    again = "run `python -m integrations.openmodeldb.record` and commit what it writes"
    assert written == {MODEL: make_record(), "entries": ENTRIES}, again


def test_the_address_is_that_of_the_repository_once_it_is_named() -> None:
    release = "/releases/download/v0.1.0/compact.safetensors"
    commented = '# [project.urls]\n# Repository = "https://host.example/a/b"\n'
    assert download_address(commented) == f"{PLACEHOLDER}{release}"
    named = commented.replace("# ", "")
    assert download_address(named) == f"https://host.example/a/b{release}"


def test_the_record_and_its_entries_are_valid() -> None:
    assert faults(MODEL, make_record(), ENTRIES) == []
    for entries in ENTRIES.values():
        assert all(ID.fullmatch(name) for name in entries)
    (architecture,) = ENTRIES["architectures.json"].values()
    assert architecture.keys() == {"name", "input", "compatiblePlatforms"}
    assert architecture["input"] == "image"
    assert set(architecture["compatiblePlatforms"]) <= {"pytorch", "onnx", "ncnn"}
    assert [user.keys() for user in ENTRIES["users.json"].values()] == [{"name"}]


@pytest.mark.parametrize(
    ("expected", "change"),
    [
        ("author", lambda record: record.update(author="nobody")),
        ("tags", lambda record: record.update(tags=["smoothing"])),
        ("description", lambda record: record.update(description="text ")),
        ("sha256", lambda record: record["resources"][0].update(sha256="0")),
        ("platform", lambda record: record["resources"][0].update(type="ncnn")),
        ("id", lambda record: record.update(scale=2)),
    ],
)
def test_the_rules_can_fail(expected: str, change: Callable[[dict[str, Any]], object]) -> None:
    record = copy.deepcopy(make_record())
    change(record)
    assert faults(MODEL, record, ENTRIES) == [expected]
