"""The feature extractors return what their definitions say; weights of others are refused."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from csgisnet.checkpoints.segmenters import load_features, save_segmenter
from csgisnet.errors import CheckpointError
from csgisnet.networks.features import SegmenterFeatures, VggFeatures
from csgisnet.networks.segmenter import Segmenter, SegmenterConfig
from csgisnet.networks.smoothing import COMPACT, SmoothingNetwork

# Number, input and output channels of VGG-16's convolutions in torchvision.
CONVS = [
    (0, 3, 64),
    (2, 64, 64),
    (5, 64, 128),
    (7, 128, 128),
    (10, 128, 256),
    (12, 256, 256),
    (14, 256, 256),
    (17, 256, 512),
    (19, 512, 512),
    (21, 512, 512),
]
POOLS = (4, 9, 16)


def vgg_state() -> dict[str, Tensor]:
    """Random weights under torchvision's names and shapes, deeper layers as far as they matter."""
    generator = torch.Generator().manual_seed(6)
    state = {"features.24.weight": torch.zeros(8), "classifier.6.bias": torch.zeros(1000)}
    for number, channels, out in CONVS:
        weight = torch.randn(out, channels, 3, 3, generator=generator)
        state[f"features.{number}.weight"] = weight * (2 / (9 * channels)) ** 0.5
        state[f"features.{number}.bias"] = 0.1 * torch.randn(out, generator=generator)
    return state


def test_vgg_gives_the_four_maps_of_its_definition(tmp_path: Path) -> None:
    state = vgg_state()
    torch.save(state, tmp_path / "vgg16.pth")
    features, image = load_features(tmp_path / "vgg16.pth"), torch.rand(2, 3, 33, 24)
    assert isinstance(features, VggFeatures)
    assert not features.training
    mean = torch.tensor([0.485, 0.456, 0.406]).reshape(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).reshape(3, 1, 1)
    x, maps = (image - mean) / std, []
    with torch.no_grad():
        for number, _, _ in CONVS:
            if number - 1 in POOLS:
                maps.append(x)
                x = functional.max_pool2d(x, 2)
            weight, bias = state[f"features.{number}.weight"], state[f"features.{number}.bias"]
            x = functional.conv2d(x, weight, bias, padding=1).relu()
        for ours, theirs in zip(features(image), [*maps, x], strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_segmenter_gives_its_backbone(tmp_path: Path) -> None:
    segmenter = Segmenter(SegmenterConfig(width=0.25, head_width=16)).eval()
    save_segmenter(tmp_path / "segmenter.safetensors", segmenter)
    features, image = load_features(tmp_path / "segmenter.safetensors"), torch.rand(1, 3, 64, 64)
    assert isinstance(features, SegmenterFeatures)
    maps = features(image)
    assert [m.shape[-1] for m in maps] == [31, 16, 8, 4]
    for ours, theirs in zip(maps, segmenter.levels(image), strict=False):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("features.17.weight", lambda t: None),
        ("features.0.weight", lambda t: t[:32]),
        ("features.7.bias", lambda t: t.int()),
        ("features.5.bias", lambda t: t / 0),
    ],
)
def test_other_networks_are_refused_by_the_first_tensor_that_differs(
    name: str, change: object, tmp_path: Path
) -> None:
    state = vgg_state()
    changed = change(state.pop(name))  # type: ignore[operator]
    if changed is not None:
        state[name] = changed
    torch.save(state, tmp_path / "vgg.pth")
    with pytest.raises(CheckpointError, match=name):
        load_features(tmp_path / "vgg.pth")


def test_smoothing_network_is_refused(tmp_path: Path) -> None:
    torch.save({"net": SmoothingNetwork(COMPACT).state_dict()}, tmp_path / "net.pth")
    with pytest.raises(CheckpointError, match=r"a smoothing network.*expected a DeepLabV3\+ segm"):
        load_features(tmp_path / "net.pth")
