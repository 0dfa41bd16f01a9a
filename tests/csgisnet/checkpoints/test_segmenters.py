"""Segmenters know their output stride: from our own files, from a public one, or from the user."""

import argparse
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor

from csgisnet.checkpoints.segmenters import load_features, load_segmenter, save_segmenter
from csgisnet.errors import CheckpointError
from csgisnet.networks.features import SegmenterFeatures, VggFeatures
from csgisnet.networks.segmenter import Segmenter


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    """Weights of the size that public checkpoints have."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return Segmenter().state_dict()


FIRST_ASKED = {"classifier.classifier.3.weight": torch.zeros(21, 1, 1, 1)}
"""What is looked at before the output stride is asked for."""

SETTINGS = (
    {"output_stride": 8},
    {"args": {"out_stride": 8}},
    {"opts": argparse.Namespace(output_stride=8, num_classes=21)},
    {"hyper_parameters": {"model": {"output_stride": "8"}}},
)


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: next(iter(settings)))
def test_settings_beside_the_weights_say_the_stride(
    settings: dict[str, Any], state: dict[str, Tensor], tmp_path: Path
) -> None:
    path = tmp_path / "voc_os16.pth"  # settings are believed before the name
    torch.save({"model_state": state, **settings}, path)
    assert load_segmenter(path).config.output_stride == 8


def test_metadata_of_safetensors_says_the_stride(state: dict[str, Tensor], tmp_path: Path) -> None:
    (tmp_path / "voc").write_bytes(safetensors.torch.save(state, {"output_stride": "8"}))
    assert load_segmenter(tmp_path / "voc").config.output_stride == 8


@pytest.mark.parametrize(
    ("name", "stride"),
    [("best_deeplabv3plus_mobilenet_voc_os16.pth", 16), ("latest-OS8.pth", 8)],
)
def test_a_name_says_the_stride_unless_another_is_given(
    name: str, stride: int, state: dict[str, Tensor], tmp_path: Path
) -> None:
    path = tmp_path / name
    torch.save({"model_state": state}, path)
    assert load_segmenter(path).config.output_stride == stride
    features = load_features(path, 8)
    assert isinstance(features, SegmenterFeatures)
    assert features.segmenter.config.output_stride == 8


@pytest.mark.parametrize("name", ["voc", "pos8.pth", "os8_then_os16.pth", f"os{'8' * 99}.pth"])
def test_where_nothing_says_the_stride_it_is_asked_for(name: str, tmp_path: Path) -> None:
    torch.save({"model_state": FIRST_ASKED}, tmp_path / name)
    for load in (load_segmenter, load_features):
        with pytest.raises(CheckpointError, match=r"its output stride is 8 or 16.*--output-stride"):
            load(tmp_path / name)


def test_a_stride_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    torch.save({"model_state": FIRST_ASKED, "output_stride": 32}, tmp_path / "voc.pth")
    with pytest.raises(CheckpointError, match="output_stride must be 8 or 16, got 32"):
        load_segmenter(tmp_path / "voc.pth")


@pytest.mark.parametrize("stride", ["8" * 9999, "\uff18" * 9999, "", None, [8], {"of": 8}])
def test_a_setting_that_is_no_stride_is_passed_over(stride: Any, tmp_path: Path) -> None:
    torch.save({"model_state": FIRST_ASKED, "output_stride": stride}, tmp_path / "voc.pth")
    with pytest.raises(CheckpointError, match="whether its output stride is 8 or 16"):
        load_segmenter(tmp_path / "voc.pth")


def test_our_own_file_remembers_the_stride(state: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save({"model_state": state}, tmp_path / "voc.pth")
    public = load_segmenter(tmp_path / "voc.pth", 8)
    save_segmenter(tmp_path / "ours", public)
    ours, image = load_segmenter(tmp_path / "ours"), torch.rand(1, 3, 65, 49)
    assert torch.equal(ours(image), public(image))
    other = load_segmenter(tmp_path / "voc.pth", 16)
    assert not torch.equal(other(image), public(image))
    assert load_segmenter(tmp_path / "ours", 8).config == public.config
    with pytest.raises(CheckpointError, match=r"trained with output stride 8, given 16"):
        load_segmenter(tmp_path / "ours", 16)


def test_vgg_may_be_safetensors(tmp_path: Path) -> None:
    vgg = VggFeatures()
    (tmp_path / "vgg").write_bytes(safetensors.torch.save(vgg.state_dict(), {"format": "pt"}))
    loaded, image = load_features(tmp_path / "vgg"), torch.rand(1, 3, 16, 16)
    assert isinstance(loaded, VggFeatures)
    for ours, theirs in zip(loaded(image), vgg(image), strict=True):
        assert torch.equal(ours, theirs)
