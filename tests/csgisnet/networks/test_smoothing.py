"""The smoothing network equals its definition bit for bit; its receptive radius is exact."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from csgisnet.networks.smoothing import (
    COMPACT,
    FULL,
    NetworkConfig,
    Smoothing,
    SmoothingNetwork,
    receptive_radius,
)

SMALL = NetworkConfig(width=8, blocks=2, coarse_blocks=1, refine_blocks=2)


def released_state(width: int, blocks: int, coarse: int, refine: int) -> dict[str, Tensor]:
    """Random weights under the names and shapes of the authors' checkpoints, written down anew."""
    generator = torch.Generator().manual_seed(3)
    state: dict[str, Tensor] = {}

    def conv(name: str, channels: int, out: int = width) -> None:
        scale = (2 / (9 * channels)) ** 0.5
        state[f"{name}.weight"] = scale * torch.randn(out, channels, 3, 3, generator=generator)
        state[f"{name}.bias"] = 0.1 * torch.randn(out, generator=generator)

    def norm(name: str) -> None:
        state[f"{name}.weight"] = 0.5 + torch.rand(width, generator=generator)
        state[f"{name}.bias"] = 0.1 * torch.randn(width, generator=generator)
        state[f"{name}.running_mean"] = 0.1 * torch.randn(width, generator=generator)
        state[f"{name}.running_var"] = 0.5 + torch.rand(width, generator=generator)
        state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    def block(name: str) -> None:
        for i in (1, 2, 3):
            conv(f"{name}.conv_3x3_{i}", width)
            norm(f"{name}.bn_conv_3x3_{i}")

    conv("descriptor.conv_in", 3)
    for n in range(blocks):
        block(f"descriptor.res16.{n}")
    for n in (0, 3):
        conv(f"interpreter1.{n}", width)
        norm(f"interpreter1.{n + 1}")
    conv("interpreter1.6", width, 1)
    conv("interpreter2.0", width + 1)
    norm("interpreter2.1")
    for n in range(3, 3 + coarse):
        block(f"interpreter2.{n}")
    conv(f"interpreter2.{3 + coarse}", width)
    norm(f"interpreter2.{4 + coarse}")
    conv(f"interpreter2.{6 + coarse}", width, 3)
    conv("refine.0", width + 4)
    norm("refine.1")
    for n in range(3, 3 + refine):
        block(f"refine.{n}")
    conv(f"refine.{3 + refine}", width, 3)
    return state


def released_forward(state: dict[str, Tensor], image: Tensor, config: NetworkConfig) -> Smoothing:
    """The network's definition in plain functions."""

    def conv(x: Tensor, name: str, dilation: int = 1) -> Tensor:
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        return functional.conv2d(x, weight, bias, padding=dilation, dilation=dilation)

    def norm_relu(x: Tensor, name: str) -> Tensor:
        mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        weight, bias = state[f"{name}.weight"], state[f"{name}.bias"]
        return torch.relu(functional.batch_norm(x, mean, var, weight, bias))

    def block(x: Tensor, name: str) -> Tensor:
        y = x
        for i in (1, 2, 3):
            y = norm_relu(conv(y, f"{name}.conv_3x3_{i}", i), f"{name}.bn_conv_3x3_{i}")
        return x + y

    x = conv(image, "descriptor.conv_in")
    for n in range(config.blocks):
        x = block(x, f"descriptor.res16.{n}")
    edge = norm_relu(conv(x, "interpreter1.0"), "interpreter1.1")
    edge = conv(norm_relu(conv(edge, "interpreter1.3"), "interpreter1.4"), "interpreter1.6")
    x = torch.cat([x, edge], dim=1)
    c, n = norm_relu(conv(x, "interpreter2.0"), "interpreter2.1"), 3 + config.coarse_blocks
    for i in range(3, n):
        c = block(c, f"interpreter2.{i}")
    c = norm_relu(conv(c, f"interpreter2.{n}"), f"interpreter2.{n + 1}")
    c = conv(c, f"interpreter2.{n + 3}")
    r = norm_relu(conv(torch.cat([x, c], dim=1), "refine.0"), "refine.1")
    for i in range(3, 3 + config.refine_blocks):
        r = block(r, f"refine.{i}")
    r = conv(r, f"refine.{3 + config.refine_blocks}")
    return Smoothing(c + r, c, r, edge)


@pytest.mark.parametrize(("blocks", "count"), [(12, 2_528_519), (20, 3_417_863)])
def test_number_of_parameters_is_the_authors(blocks: int, count: int) -> None:
    with torch.device("meta"):
        network = SmoothingNetwork(NetworkConfig(blocks=blocks))
    assert sum(p.numel() for p in network.parameters()) == count


@pytest.mark.parametrize("config", [SMALL, FULL])
def test_equals_the_definition_bit_for_bit(config: NetworkConfig) -> None:
    state = released_state(config.width, config.blocks, config.coarse_blocks, config.refine_blocks)
    network = SmoothingNetwork(config).eval()
    network.load_state_dict(state)  # strict: every name and every shape
    image = torch.rand(2, 3, 17, 23)
    with torch.no_grad():
        for ours, theirs in zip(
            network(image), released_forward(state, image, config), strict=True
        ):
            assert torch.equal(ours, theirs)


@pytest.mark.parametrize(
    "config", [SMALL, COMPACT, NetworkConfig(width=8, shuffle=3, skip=True, finish=4)]
)
@pytest.mark.parametrize("size", [(1, 1), (1, 8), (7, 5), (12, 12)])
def test_keeps_any_size(config: NetworkConfig, size: tuple[int, int]) -> None:
    smoothing = SmoothingNetwork(config).eval()(torch.rand(2, 3, *size))
    for name, channels in {"result": 3, "coarse": 3, "residual": 3, "edge": 1}.items():
        assert getattr(smoothing, name).shape == (2, channels, *size)
    whole = torch.equal(smoothing.result, smoothing.coarse + smoothing.residual)
    assert whole == (config.finish == 0)


@pytest.mark.parametrize("size", [(32, 32), (31, 32), (32, 31)])
def test_compact_network_starts_near_the_identity(size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    image = torch.rand(2, 3, *size)
    difference = SmoothingNetwork(COMPACT)(image).result - image
    assert 0 < difference.abs().mean() < 0.02


@pytest.mark.parametrize(("shuffle", "finish"), [(1, 0), (2, 0), (1, 2), (2, 2)])
def test_receptive_radius_is_the_support_of_the_gradient(shuffle: int, finish: int) -> None:
    config = NetworkConfig(
        width=2, blocks=1, coarse_blocks=1, refine_blocks=1, shuffle=shuffle, finish=finish
    )
    network = SmoothingNetwork(config).eval()
    with torch.no_grad():
        for parameter in network.parameters():  # positive weights: every path is active
            parameter.copy_(parameter.abs() + 0.01)
    radius = receptive_radius(config)
    side = 2 * radius + 2 * shuffle + 2
    centre = side // 2 - side // 2 % shuffle
    reached = []
    for phase in range(shuffle):
        image = torch.full((1, 3, 1, side), 0.5, requires_grad=True)
        network(image).result[0, 0, 0, centre + phase].backward()
        assert image.grad is not None
        columns = image.grad[0].abs().sum(dim=(0, 1)).nonzero().flatten()
        reached += [int((columns - centre - phase).abs().max())]
    assert max(reached) == radius


@pytest.mark.parametrize(("blocks", "radius"), [(12, 135), (20, 183)])
def test_receptive_radius_of_the_paper(blocks: int, radius: int) -> None:
    assert receptive_radius(NetworkConfig(blocks=blocks)) == radius


def test_channels_last_gives_the_same() -> None:
    network, image = SmoothingNetwork(COMPACT).eval(), torch.rand(1, 3, 20, 20)
    expected = network(image).result
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    result = network(image.to(memory_format=torch.channels_last)).result
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("config", [SMALL, COMPACT])
def test_autocast_rounds_features_but_not_images(config: NetworkConfig) -> None:
    torch.manual_seed(0)
    network, image = SmoothingNetwork(config).eval(), torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        expected = network(image)
        with torch.autocast("cpu", torch.bfloat16):
            smoothing = network(image)
    assert smoothing.result.dtype == smoothing.coarse.dtype == torch.float32
    difference = (smoothing.result - expected.result).abs()
    assert 0 < difference.mean() < 0.5 / 255


@pytest.mark.parametrize(
    ("field", "least"),
    [("width", 1), ("blocks", 1), ("shuffle", 1), ("coarse_blocks", 0), ("refine_blocks", 0)],
)
def test_sizes_out_of_range_are_refused(field: str, least: int) -> None:
    for value in (least - 1, 100_000):
        with pytest.raises(ValueError, match=f"{field} must be {least} to 1024, got {value}"):
            NetworkConfig(**{field: value})  # type: ignore[arg-type]
