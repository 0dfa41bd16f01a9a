"""What a run learns from is recorded, with the output stride of a teacher that does not say it."""

from pathlib import Path
from typing import Any

import pytest
import torch

from csgisnet.errors import ConfigError
from csgisnet.training.sources import Sources, sources_of
from vocsmooth.errors import InputError


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
