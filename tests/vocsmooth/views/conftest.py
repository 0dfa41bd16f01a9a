"""A dataset with something to see in every part of its page."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers import assemble_anew

from vocsmooth.shards.entries import LeftOutEntry, Sidecar
from vocsmooth.shards.index import read_sidecar, write_sidecar
from vocsmooth.views.page import write_report

SCORES = {"a_1": 0.9, "b_2": 0.5, "c_3": 0.7}


@pytest.fixture(scope="module")
def screened(pristine_dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The dataset with scores, another operator, a failed check and a photograph left out."""
    root = shutil.copytree(pristine_dataset, tmp_path_factory.mktemp("screened") / "dataset")
    for path in sorted(root.glob("*-*.json")):
        sidecar = read_sidecar(path)
        write_sidecar(path, replace(sidecar, **altered(sidecar)))
    assemble_anew(root)
    return root


def altered(sidecar: Sidecar) -> dict[str, Any]:
    """Return what is other in a sidecar."""
    images = []
    for image in sidecar.images:
        label = image.provenance["label"] | {"score": SCORES.get(image.id)}
        checks = image.provenance["negatives"]
        if image.id == "v_1":
            label |= {"operator": "l0", "params": {"lam": 0.5}}
            checks = checks | {"over": {"worse": False}}
        provenance = {**image.provenance, "label": label, "negatives": checks}
        images.append(replace(image, provenance=provenance))
    left_out = LeftOutEntry(
        id="bad_9", split="val", kind="rejected", reason="too weak", provenance={}
    )
    rejected = (left_out,) if sidecar.shard.split == "val" else ()
    return {"images": tuple(images), "left_out": rejected}


@pytest.fixture(scope="module")
def page(screened: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "report.html"
    summary = write_report(screened, path, jobs=1)
    assert (summary.photographs, summary.side) == (7, 320)
    assert summary.bytes == path.stat().st_size
    return path.read_text(encoding="utf-8")
