"""The authors' checkpoints: their size is read off the weights, BGR becomes RGB."""

import dataclasses
from pathlib import Path

import pytest
import safetensors.torch
import torch

from csgisnet.checkpoints.bare import config_of
from csgisnet.checkpoints.export import export_network
from csgisnet.checkpoints.format import load_weights
from csgisnet.checkpoints.networks import load_network, publish_network, save_network
from csgisnet.errors import ChannelOrderWarning, CheckpointError
from csgisnet.networks.smoothing import NetworkConfig, SmoothingNetwork
from vocsmooth.errors import UnknownNameError
from vocsmooth.files import sha256_file

SMALL = NetworkConfig(width=4, blocks=2, coarse_blocks=1, refine_blocks=3)


def make_network() -> SmoothingNetwork:
    torch.manual_seed(0)
    network = SmoothingNetwork(SMALL)
    network(torch.rand(2, 3, 8, 8))  # running statistics that are not those of a new network
    return network.eval()


@pytest.mark.parametrize("key", ["net", None])
def test_released_network_tells_its_own_size(key: str | None, tmp_path: Path) -> None:
    network, image = make_network(), torch.rand(1, 3, 9, 10)
    state = network.state_dict()
    torch.save({key: state, "epoch": 218} if key else state, tmp_path / "released.pth")
    loaded = load_network(tmp_path / "released.pth", "rgb")
    assert loaded.config == SMALL
    assert torch.equal(loaded(image).result, network(image).result)


def test_network_trained_on_bgr_is_turned_round(tmp_path: Path) -> None:
    network, image = make_network(), torch.rand(1, 3, 9, 10)
    torch.save({"net": network.state_dict()}, tmp_path / "bgr.pth")
    turned = load_network(tmp_path / "bgr.pth", channel_order="bgr")(image)
    expected = network(image.flip(1))
    for name in ("result", "coarse", "residual"):
        torch.testing.assert_close(getattr(turned, name), getattr(expected, name).flip(1))
    torch.testing.assert_close(turned.edge, expected.edge)


@pytest.mark.parametrize(
    "config",
    [
        dataclasses.replace(SMALL, width=width, shuffle=shuffle, skip=skip)
        for width, shuffle, skip in [(4, 1, False), (6, 1, True), (4, 2, False), (8, 3, True)]
    ],
)
def test_the_whole_configuration_is_read_off_names_and_shapes(config: NetworkConfig) -> None:
    assert config_of(SmoothingNetwork(config).state_dict(), Path("n")) == config


def test_our_own_network_without_its_header_loads_as_what_it_is(tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = SmoothingNetwork(dataclasses.replace(SMALL, shuffle=2, skip=True)).eval()
    image, path = torch.rand(1, 3, 9, 10), tmp_path / "bare.safetensors"
    path.write_bytes(safetensors.torch.save(network.state_dict()))
    loaded = load_network(path)  # without a warning: no network of others is like this
    assert loaded.config == network.config
    assert torch.equal(loaded(image).result, network(image).result)
    with pytest.raises(CheckpointError, match="whose networks take RGB"):
        load_network(path, "bgr")


def test_released_network_with_a_part_missing_is_refused(tmp_path: Path) -> None:
    state = make_network().state_dict()
    for name in [name for name in state if name.startswith("refine.")]:
        del state[name]
    torch.save({"net": state}, tmp_path / "n.pth")
    with pytest.raises(
        CheckpointError, match=r"another variant.* in refine .*only HDC_edge_refine"
    ):
        load_network(tmp_path / "n.pth")


@pytest.mark.parametrize("stages", [("interpreter2",), ("interpreter2", "refine")])
def test_other_variants_of_the_network_are_named(stages: tuple[str, ...], tmp_path: Path) -> None:
    state = {
        name.replace("conv_3x3", "conv") if name.startswith(stages) else name: tensor
        for name, tensor in make_network().state_dict().items()
    }
    torch.save({"net": state}, tmp_path / "rdb.pth")
    with pytest.raises(CheckpointError, match=f"another variant.* in {' and '.join(stages)} "):
        load_network(tmp_path / "rdb.pth")


@pytest.mark.parametrize(
    "change",
    [
        {"refine.1.weight": None},
        {"interpreter1.6.bias": None},
        {"interpreter1.6.weight": None},
        {"cbam1.weight": torch.zeros(1)},
    ],
)
def test_the_first_tensor_too_many_or_too_few_is_named(
    change: dict[str, torch.Tensor | None], tmp_path: Path
) -> None:
    state = {**make_network().state_dict(), **change}
    torch.save({name: t for name, t in state.items() if t is not None}, tmp_path / "n.pth")
    with pytest.raises(CheckpointError, match=f"'{next(iter(change))}'"):
        load_network(tmp_path / "n.pth")


@pytest.mark.parametrize("form", ["pickle", "safetensors"])
def test_without_an_order_rgb_is_taken_with_a_word(form: str, tmp_path: Path) -> None:
    path, network, image = tmp_path / "n", make_network(), torch.rand(1, 3, 9, 10)
    if form == "pickle":
        torch.save({"net": network.state_dict()}, path)
    else:
        path.write_bytes(safetensors.torch.save(network.state_dict()))
    with pytest.warns(ChannelOrderWarning, match=r"Easy2Hard.*RGB is taken.*--channel-order"):
        loaded = load_network(path)
    assert torch.equal(loaded(image).result, network(image).result)


def test_an_unknown_order_is_refused(tmp_path: Path) -> None:
    torch.save({"net": make_network().state_dict()}, tmp_path / "n")
    with pytest.raises(UnknownNameError, match='"rgb" or "bgr", got \'grb\''):
        load_network(tmp_path / "n", "grb")  # type: ignore[arg-type]


def test_our_own_files_take_rgb_and_say_so(tmp_path: Path) -> None:
    path = tmp_path / "ours"
    save_network(path, make_network())
    assert load_weights(path, "network").metadata == {"channel_order": "rgb"}
    load_network(path, "rgb")
    with pytest.raises(CheckpointError, match="is a file of csgisnet, whose networks take RGB"):
        load_network(path, "bgr")


def test_what_is_made_of_a_bgr_network_takes_rgb_and_remembers_its_origin(tmp_path: Path) -> None:
    source, network, image = tmp_path / "bgr.pth", make_network(), torch.rand(1, 3, 9, 10)
    torch.save({"net": network.state_dict()}, source)
    publish_network(source, tmp_path / "ours", description="theirs", channel_order="bgr")
    publish_network(tmp_path / "ours", tmp_path / "again", description="theirs still")
    for name in ("ours", "again"):
        converted = load_network(tmp_path / name)(image).result
        torch.testing.assert_close(converted, network(image.flip(1)).result.flip(1))
        metadata = load_weights(tmp_path / name, "network").metadata
        assert metadata["channel_order"] == "rgb"
        origin = {"file": "bgr.pth", "sha256": sha256_file(source), "channel_order": "bgr"}
        assert metadata["converted_from"] == origin


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_what_is_exported_of_a_bgr_network_takes_rgb(tmp_path: Path) -> None:
    source, out, network = tmp_path / "bgr.pth", tmp_path / "net.pt", make_network()
    torch.save({"net": network.state_dict()}, source)
    export_network(load_network(source, "bgr"), out, "torchscript")
    exported, image = torch.jit.load(out), torch.rand(1, 3, 12, 17)  # type: ignore[no-untyped-call]
    expected = network(image.flip(1)).result.flip(1).clamp(0, 1)
    torch.testing.assert_close(exported(image), expected, atol=1e-5, rtol=0)
