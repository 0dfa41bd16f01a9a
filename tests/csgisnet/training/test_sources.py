"""What a run learns from is recorded, with the output stride of a teacher that does not say it."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import make_version1

from csgisnet.errors import ConfigError
from csgisnet.training.sources import Sources, sources_of
from vocsmooth.dataset.recover import upgrade_index
from vocsmooth.errors import InputError
from vocsmooth.files import sha256_file


@pytest.fixture
def public(tmp_path: Path) -> Path:
    """A file of another project."""
    path = tmp_path / "voc.pth"
    torch.save({"model_state": {"a": torch.zeros(1)}}, path)
    return path


def test_the_record_gives_the_sources_back(public: Path) -> None:
    sources = Sources(segmenter=public, output_stride=8)
    record = sources.record()
    assert sources_of(record, Path("run.json"), Sources()) == sources
    assert sources_of(record, Path("run.json"), Sources(output_stride=8)) == sources
    with pytest.raises(
        ConfigError, match=r"began with 8 as its output stride, given 16.*--output-"
    ):
        sources_of(record, Path("run.json"), Sources(output_stride=16))


def test_older_runs_go_on_at_the_stride_that_they_had(public: Path, segmenter_file: Path) -> None:
    for teacher, stride in ((public, 16), (segmenter_file, None)):
        record = Sources(segmenter=teacher).record()
        del record["output_stride"]
        assert sources_of(record, Path("run.json"), Sources()).output_stride == stride


@pytest.mark.parametrize("stride", [4, "8", [8], {}])
def test_a_record_with_another_stride_is_none(stride: Any, public: Path) -> None:
    record = {**Sources(segmenter=public).record(), "output_stride": stride}
    with pytest.raises(InputError, match=r"run\.json is not the record of a run"):
        sources_of(record, Path("run.json"), Sources())


def test_a_dataset_is_the_same_after_an_upgrade(data_dir: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(data_dir, copy)
    make_version1(copy)
    record = Sources(data=copy).record()
    older = json.loads(json.dumps(record))
    older["sources"]["data"]["sha256"] = sha256_file(copy / "index.json")  # what runs recorded
    for known in (record, older):
        assert sources_of(known, Path("run.json"), Sources()).data == copy
    upgrade_index(copy)
    assert sources_of(record, Path("run.json"), Sources()).data == copy
    (copy / "plan.json").unlink()
    os.truncate(copy / "index.json", 10)
    assert sources_of(record, Path("run.json"), Sources()).data == copy  # opening it says why
