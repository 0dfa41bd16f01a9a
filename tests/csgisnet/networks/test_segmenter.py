"""The segmenter equals its public definition at any size; weights of others are refused."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from csgisnet.checkpoints.segmenters import load_segmenter, save_segmenter
from csgisnet.errors import CheckpointError
from csgisnet.networks.segmenter import Segmenter, SegmenterConfig, normalise
from csgisnet.networks.smoothing import COMPACT, SmoothingNetwork

SMALL = SegmenterConfig(width=0.25, head_width=16)

# Input channels, output channels, stride and expansion of MobileNetV2's 17 blocks.
BLOCKS = [
    (32, 16, 1, 1),
    (16, 24, 2, 6),
    (24, 24, 1, 6),
    (24, 32, 2, 6),
    *[(32, 32, 1, 6)] * 2,
    (32, 64, 2, 6),
    *[(64, 64, 1, 6)] * 3,
    (64, 96, 1, 6),
    *[(96, 96, 1, 6)] * 2,
    (96, 160, 2, 6),
    *[(160, 160, 1, 6)] * 2,
    (160, 320, 1, 6),
]
RATES = {8: (12, 24, 36), 16: (6, 12, 18)}


def block_name(number: int) -> str:
    return f"backbone.{'low' if number < 4 else 'high'}_level_features.{number}"


def public_state(classes: int = 21) -> dict[str, Tensor]:
    """Random weights under the names and shapes of the public VOC checkpoint, written down anew."""
    generator = torch.Generator().manual_seed(4)
    state: dict[str, Tensor] = {}

    def conv(name: str, channels: int, out: int, kernel: int = 1) -> None:
        scale = (1 / (channels * kernel**2)) ** 0.5
        shape = (out, channels, kernel, kernel)
        state[f"{name}.weight"] = scale * torch.randn(shape, generator=generator)

    def norm(name: str, channels: int) -> None:
        state[f"{name}.weight"] = 0.5 + torch.rand(channels, generator=generator)
        state[f"{name}.bias"] = 0.3 * torch.randn(channels, generator=generator)
        state[f"{name}.running_mean"] = 0.1 * torch.randn(channels, generator=generator)
        state[f"{name}.running_var"] = 0.5 + torch.rand(channels, generator=generator)
        state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    def layer(name: str, channels: int, out: int, kernel: int = 1, first: int = 0) -> None:
        conv(f"{name}.{first}", channels, out, kernel)
        norm(f"{name}.{first + 1}", out)

    layer("backbone.low_level_features.0", 3, 32, 3)
    for number, (channels, out, _, expansion) in enumerate(BLOCKS, start=1):
        name, hidden, n = f"{block_name(number)}.conv", channels * expansion, 0
        if expansion > 1:
            layer(f"{name}.0", channels, hidden)
            n = 1
        layer(f"{name}.{n}", 1, hidden, 3)
        conv(f"{name}.{n + 1}", hidden, out)
        norm(f"{name}.{n + 2}", out)
    layer("classifier.project", 24, 48)
    layer("classifier.aspp.convs.0", 320, 256)
    for n in (1, 2, 3):
        layer(f"classifier.aspp.convs.{n}", 320, 256, 3)
    layer("classifier.aspp.convs.4", 320, 256, first=1)
    layer("classifier.aspp.project", 5 * 256, 256)
    layer("classifier.classifier", 304, 256, 3)
    conv("classifier.classifier.3", 256, classes)
    state["classifier.classifier.3.bias"] = torch.randn(classes, generator=generator)
    return state


def public_forward(state: dict[str, Tensor], image: Tensor, output_stride: int) -> Tensor:
    """DeepLabV3+ on MobileNetV2 in plain functions, as the public weights were trained."""

    def norm(x: Tensor, name: str) -> Tensor:
        mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        return functional.batch_norm(x, mean, var, state[f"{name}.weight"], state[f"{name}.bias"])

    def layer(x: Tensor, name: str, first: int = 0, **how: Any) -> Tensor:
        x = functional.conv2d(x, state[f"{name}.{first}.weight"], **how)
        return norm(x, f"{name}.{first + 1}").relu()

    def block(x: Tensor, number: int, stride: int, dilation: int) -> Tensor:
        channels, out, _, expansion = BLOCKS[number - 1]
        name, n, y = f"{block_name(number)}.conv", 0, functional.pad(x, [dilation] * 4)
        if expansion > 1:
            y, n = layer(y, f"{name}.0").clamp(max=6), 1
        groups = channels * expansion
        y = layer(y, f"{name}.{n}", stride=stride, dilation=dilation, groups=groups).clamp(max=6)
        y = norm(functional.conv2d(y, state[f"{name}.{n + 1}.weight"]), f"{name}.{n + 2}")
        return x + y if stride == 1 and channels == out else y

    mean = torch.tensor([0.485, 0.456, 0.406]).reshape(3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).reshape(3, 1, 1)
    x = layer((image - mean) / std, "backbone.low_level_features.0", stride=2).clamp(max=6)
    reached, dilation, low = 2, 1, x
    for number, (_, _, stride, _) in enumerate(BLOCKS, start=1):
        if stride == 2 and reached == output_stride:
            x, dilation = block(x, number, 1, dilation), 2 * dilation
        else:
            x, reached = block(x, number, stride, dilation), reached * stride
        low = x if number == 3 else low
    aspp, size = "classifier.aspp.convs", x.shape[-2:]
    maps = [layer(x, f"{aspp}.0")]
    for n, rate in enumerate(RATES[output_stride], start=1):
        maps.append(layer(x, f"{aspp}.{n}", padding=rate, dilation=rate))
    pooled = layer(x.mean(dim=(2, 3), keepdim=True), f"{aspp}.4", first=1)
    x = layer(torch.cat([*maps, pooled.expand(-1, -1, *size)], dim=1), "classifier.aspp.project")
    low = layer(low, "classifier.project")
    x = functional.interpolate(x, low.shape[-2:], mode="bilinear", align_corners=False)
    x = layer(torch.cat([low, x], dim=1), "classifier.classifier", padding=1)
    last = "classifier.classifier.3"
    x = functional.conv2d(x, state[f"{last}.weight"], state[f"{last}.bias"])
    return functional.interpolate(x, image.shape[-2:], mode="bilinear", align_corners=False)


@pytest.mark.parametrize("output_stride", [8, 16])
def test_public_checkpoint_gives_what_its_definition_gives(
    output_stride: Literal[8, 16], tmp_path: Path
) -> None:
    state = public_state()
    # as published: beside the weights lie the optimizer's state and a NumPy score
    content = {"model_state": state, "cur_itrs": 30000, "best_score": np.float64(0.711)}
    torch.save(content, tmp_path / "voc.pth")
    segmenter = load_segmenter(tmp_path / "voc.pth", output_stride)
    image = torch.rand(2, 3, 65, 80)
    with torch.no_grad():
        expected = public_forward(state, image, output_stride)
        torch.testing.assert_close(segmenter(image), expected, rtol=1e-4, atol=1e-4)
    assert not segmenter.training


def test_ours_comes_back_bit_for_bit(tmp_path: Path) -> None:
    segmenter = Segmenter(SMALL).eval()
    save_segmenter(tmp_path / "ours.safetensors", segmenter, {"miou": 0.5})
    loaded = load_segmenter(tmp_path / "ours.safetensors")
    assert loaded.config == SMALL
    image = torch.rand(1, 3, 32, 40)
    assert torch.equal(loaded(image), segmenter(image))


@pytest.mark.parametrize("size", [(3, 3), (16, 9), (64, 65)])
def test_keeps_any_size(size: tuple[int, int]) -> None:
    assert Segmenter(SMALL).eval()(torch.rand(2, 3, *size)).shape == (2, 21, *size)


@pytest.mark.parametrize(("output_stride", "sides"), [(16, [4, 8, 16]), (8, [8, 8, 16])])
def test_levels_have_their_strides(output_stride: Literal[8, 16], sides: list[int]) -> None:
    config = SegmenterConfig(width=0.25, head_width=16, output_stride=output_stride)
    levels = Segmenter(config).eval().levels(torch.rand(1, 3, 64, 64))
    assert [level.shape[-1] for level in levels[:0:-1]] == [sides[0], *sides]


def test_levels_are_the_last_layers_of_their_size() -> None:
    with torch.device("meta"):
        levels = Segmenter().eval().levels(torch.rand(1, 3, 64, 64))
    assert [level.shape[1] for level in levels] == [16, 24, 32, 96, 320]


def test_learns_to_tell_colours() -> None:
    torch.manual_seed(0)
    segmenter = Segmenter(SegmenterConfig(width=0.25, head_width=16, num_classes=2)).train()
    optimizer = torch.optim.Adam(segmenter.parameters(), lr=5e-3)
    mask = torch.zeros(4, 32, 32, dtype=torch.int64)
    for i in range(4):
        mask[i, :, 6 + 6 * i :] = 1
    image = torch.stack([mask, 1 - mask, mask * 0], dim=1).float()
    for _ in range(20):
        loss = functional.cross_entropy(segmenter(image), mask)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    right = (segmenter(image).argmax(dim=1) == mask).float().mean()
    assert right > 0.9


def test_normalise_gives_zero_mean_and_unit_variance_colours() -> None:
    grey = torch.tensor([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1)
    assert torch.equal(normalise(grey), torch.zeros(1, 3, 1, 1))
    torch.testing.assert_close(
        normalise(grey + torch.tensor([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1)),
        torch.ones(1, 3, 1, 1),
    )


def test_smoothing_network_is_refused(tmp_path: Path) -> None:
    torch.save({"net": SmoothingNetwork(COMPACT).state_dict()}, tmp_path / "net.pth")
    with pytest.raises(
        CheckpointError, match=r"a smoothing network.*expected a DeepLabV3\+ .*train-segm"
    ):
        load_segmenter(tmp_path / "net.pth")


def test_other_backbone_is_refused(tmp_path: Path) -> None:
    state = public_state()
    del state["backbone.high_level_features.17.conv.0.0.weight"]
    torch.save({"model_state": state}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"it lacks 'backbone.high_level_features.17"):
        load_segmenter(tmp_path / "other.pth", 16)


@pytest.mark.parametrize(
    "field", [{"width": 0.0}, {"head_width": 0}, {"output_stride": 4}, {"num_classes": 1}]
)
def test_settings_out_of_range_are_refused(field: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(field))} must be"):
        SegmenterConfig(**field)
