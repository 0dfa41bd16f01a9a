"""Exported files compute what the network computes, at sizes that the exporter never saw."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from csgisnet.checkpoints.export import Format, export_network
from csgisnet.checkpoints.networks import load_network
from csgisnet.errors import CheckpointError, ConfigError
from csgisnet.networks.smoothing import NetworkConfig, SmoothingNetwork

PLAIN = NetworkConfig(width=4, blocks=1, coarse_blocks=1, refine_blocks=1)
SHUFFLED = NetworkConfig(width=4, blocks=1, coarse_blocks=1, refine_blocks=1, shuffle=2, skip=True)
FINISHED = dataclasses.replace(SHUFFLED, finish=4, level=True, default_level=0.3)
SHAPES = ((1, 3, 1, 1), (2, 3, 40, 33), (1, 3, 57, 80), (3, 3, 5, 2))


def make_network(config: NetworkConfig) -> SmoothingNetwork:
    """A network whose batch statistics are far from those of a fresh one."""
    with torch.random.fork_rng():
        torch.manual_seed(4)
        network = SmoothingNetwork(config)
        for name, value in network.state_dict().items():
            if name.endswith("running_mean"):
                value.normal_(std=0.3)
            elif name.endswith("running_var"):
                value.uniform_(0.5, 2)
    return network.eval()


def expect(network: SmoothingNetwork, image: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        result: torch.Tensor = network(image).result
        return result.clamp(0, 1)


def test_onnx_runs_in_onnxruntime(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="needs the extra: pip install csgisnet[export]")
    runtime = pytest.importorskip("onnxruntime")
    network, path = make_network(SHUFFLED), tmp_path / "net.onnx"
    assert export_network(network, path, "onnx") <= 1e-5
    assert [p.name for p in tmp_path.iterdir()] == ["net.onnx"]
    session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [i.name for i in session.get_inputs()] == ["image"]
    assert [o.name for o in session.get_outputs()] == ["smoothed"]
    for shape in SHAPES:
        image = torch.rand(shape)
        (result,) = session.run(None, {"image": image.numpy()})
        np.testing.assert_allclose(result, expect(network, image), atol=1e-5)


@pytest.mark.parametrize("config", [PLAIN, SHUFFLED, FINISHED])
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_torchscript_loads_without_the_package(config: NetworkConfig, tmp_path: Path) -> None:
    network, path = make_network(config), tmp_path / "net.pt"
    assert export_network(network, path, "torchscript") <= 1e-5
    assert [p.name for p in tmp_path.iterdir()] == ["net.pt"]
    loaded = torch.jit.load(path)  # type: ignore[no-untyped-call]
    for shape in SHAPES:
        image = torch.rand(shape)
        torch.testing.assert_close(loaded(image), expect(network, image), atol=1e-5, rtol=0)


@pytest.mark.parametrize("form", ["onnx", "torchscript"])
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_the_level_can_be_an_input(form: Format, tmp_path: Path) -> None:
    network, path = make_network(FINISHED), tmp_path / "net"
    network.get_parameter("refine.4.weight").data *= 300  # corrections begin near zero
    image, level = torch.rand(2, 3, 21, 34), torch.tensor([0.0, 0.9])
    with torch.no_grad():
        expected = network(image, level).result.clamp(0, 1)
    assert (expected - expect(network, image)).abs().max() > 1e-3
    if form == "torchscript":
        export_network(network, path, form, level_input=True)
        result = torch.jit.load(path)(image, level)  # type: ignore[no-untyped-call]
    else:
        pytest.importorskip("onnxscript", reason="needs the extra: pip install csgisnet[export]")
        runtime = pytest.importorskip("onnxruntime")
        export_network(network, path, form, level_input=True)
        session = runtime.InferenceSession(path, providers=["CPUExecutionProvider"])
        assert [(i.name, i.shape[:1]) for i in session.get_inputs()] == [
            ("image", ["batch"]),
            ("level", ["batch"]),
        ]
        arrays = {"image": image.numpy(), "level": level.numpy()}
        result = torch.from_numpy(session.run(None, arrays)[0])
    torch.testing.assert_close(result, expected, atol=1e-5, rtol=0)


def test_a_network_without_a_level_has_no_such_input(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="takes no level"):
        export_network(make_network(SHUFFLED), tmp_path / "net.pt", "torchscript", level_input=True)
    assert list(tmp_path.iterdir()) == []


def test_a_network_that_does_not_compute_is_not_written(tmp_path: Path) -> None:
    network = make_network(PLAIN)
    next(network.parameters()).data[0] = torch.nan
    with pytest.raises(CheckpointError, match=r"net\.pt was not written.*nan"):
        export_network(network, tmp_path / "net.pt", "torchscript")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("missing", ["onnxscript", "onnxruntime"])
def test_a_missing_package_is_named_with_its_cure(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if missing == "onnxruntime":
        pytest.importorskip("onnxscript")
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ConfigError, match=rf"{missing}: pip install 'csgisnet\[export\]'"):
        export_network(make_network(PLAIN), tmp_path / "net.onnx", "onnx")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("side", [(16, 16), (64, 64), (256, 256), (512, 512), (31, 57), (1, 3)])
def test_onnx_axes_have_names_and_strict_shape_inference_finds_every_size(
    side: tuple[int, int], onnx_file: Path
) -> None:
    """Fixing the input's size alone is how node editors such as chaiNNer load a model.

    They take the model's scale from the output's size that follows; data are not propagated.
    """
    onnx = pytest.importorskip("onnx")
    model = onnx.load(onnx_file)
    (value,), (output,) = model.graph.input, model.graph.output
    for axes in (value.type.tensor_type.shape.dim, output.type.tensor_type.shape.dim):
        assert [axis.dim_param or axis.dim_value for axis in axes] == [
            "batch",
            3,
            "height",
            "width",
        ]
    for axis, size in zip((0, 2, 3), (1, *side), strict=True):
        value.type.tensor_type.shape.dim[axis].dim_value = size
    onnx.checker.check_model(model)
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    onnx.checker.check_model(inferred, full_check=True)
    (output,) = inferred.graph.output
    expected = [size if size > 1 else 0 for size in side]  # one pixel could also be repeated
    assert [axis.dim_value for axis in output.type.tensor_type.shape.dim][1:] == [3, *expected]


def test_onnx_metadata_says_what_goes_in_and_comes_out(onnx_file: Path) -> None:
    onnx = pytest.importorskip("onnx")
    found = {entry.key: entry.value for entry in onnx.load(onnx_file).metadata_props}
    assert found["channel_order"] == "RGB"
    assert found["input"] == "image: (batch, 3, height, width) float32 in [0, 1]"
    assert found["producer"].startswith("csgisnet ")


def test_an_onnx_file_is_not_a_checkpoint(onnx_file: Path) -> None:
    with pytest.raises(CheckpointError, match=r"net\.onnx is an ONNX model.*cannot be read back"):
        load_network(onnx_file)


@pytest.fixture(scope="module")
def onnx_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of the bundled one's kind, written at its own level: images are the only input."""
    pytest.importorskip("onnxscript", reason="needs the extra: pip install csgisnet[export]")
    path = tmp_path_factory.mktemp("onnx") / "net.onnx"
    export_network(make_network(FINISHED), path, "onnx")
    return path
