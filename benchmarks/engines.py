"""Other runtimes that predict with the exported network, as their manuals say; see `predict`.

Quantisation to int8, ours as well, is calibrated on scikit-image's photographs; theirs leaves out
what outputs an image.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import skimage.data
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from csgisnet.device import place
from csgisnet.networks.folding import fold_batch_norm
from csgisnet.networks.smoothing import SmoothingNetwork
from vocsmooth.arrays import to_float

Image: TypeAlias = NDArray[np.float32]
Way: TypeAlias = Callable[[Image], Image]

_SIDE = 256


def inductor(network: SmoothingNetwork, device: torch.device, *, autocast: bool) -> Way:
    """Return the folded network compiled with frozen weights, which needs a C++ compiler."""
    config: Any = importlib.import_module("torch._inductor.config")
    config.freezing = True
    function = torch.compile(place(fold_batch_norm(network), device), dynamic=False)

    def way(image: Image) -> Image:
        x = batch_of(image).to(device).contiguous(memory_format=torch.channels_last)
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=autocast):
            return image_of(function(x).result)

    return way


def ahead_of_time(network: SmoothingNetwork, path: Path, *, autocast: bool) -> Callable[[], Way]:
    """Compile the network for any size before it is opened, which takes 10 to 30 s."""

    class Result(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = place(fold_batch_norm(network), torch.device("cpu"))

        def forward(self, x: Tensor) -> Tensor:
            with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                result: Tensor = self.network(x).result
            return result

    step = network.config.shuffle
    sizes = {axis: step * torch.export.Dim(f"n{axis}", min=16, max=2048) for axis in (2, 3)}
    example = torch.zeros(1, 3, 320, 480).contiguous(memory_format=torch.channels_last)
    with torch.no_grad():
        program = torch.export.export(Result(), (example,), dynamic_shapes=(sizes,))
    compiler: Any = importlib.import_module("torch._inductor")
    compiler.aoti_compile_and_package(
        program, package_path=str(path), inductor_configs={"freezing": True}
    )

    def open_package() -> Way:
        function = compiler.aoti_load_package(str(path))

        def way(image: Image) -> Image:
            height, width = image.shape[:2]
            padding = (0, -width % step, 0, -height % step)  # as the network pads; no branch then
            x = functional.pad(batch_of(image), padding, mode="replicate")
            with torch.no_grad():
                result = function(x.contiguous(memory_format=torch.channels_last))
            return image_of(result[..., :height, :width])

        return way

    return open_package


def onnx_runtime(path: Path) -> Way:
    """Return an exported network in ONNX Runtime."""
    runtime: Any = importlib.import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = runtime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda image: image_of(
        torch.from_numpy(session.run(None, {"image": batch_of(image).numpy()})[0])
    )


def openvino(path: Path, hint: str) -> Way:
    """Return an exported network in OpenVINO."""
    settings = {
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "INFERENCE_PRECISION_HINT": hint,
        "NUM_STREAMS": 1,
    }
    runtime: Any = importlib.import_module("openvino")
    model = runtime.Core().compile_model(str(path), "CPU", settings)
    return lambda image: image_of(torch.from_numpy(model([batch_of(image).numpy()])[0]))


def onnx_int8(exported: Path, path: Path, images: int) -> None:
    """Write ONNX Runtime's static quantisation: per channel, all but what outputs an image."""
    onnx: Any = importlib.import_module("onnx")
    tools: Any = importlib.import_module("onnxruntime.quantization")
    shapes: Any = importlib.import_module("onnxruntime.quantization.shape_inference")
    prepared = path.with_suffix(".prepared.onnx")
    shapes.quant_pre_process(exported, prepared, skip_symbolic_shape=True)
    graph = onnx.load(prepared).graph
    channels = {weight.name: weight.dims[0] for weight in graph.initializer if weight.dims}
    convs = [node for node in graph.node if node.op_type in ("Conv", "FusedConv")]

    class Reader(tools.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.batches = ({"image": batch_of(image).numpy()} for image in calibration())

        def get_next(self) -> dict[str, Any] | None:
            return next(self.batches, None)

    tools.quantize_static(
        prepared,
        path,
        Reader(),
        per_channel=True,
        activation_type=tools.QuantType.QUInt8,
        weight_type=tools.QuantType.QInt8,
        op_types_to_quantize=["Conv", "Relu"],
        nodes_to_exclude=[node.name for node in convs if channels[node.input[1]] == images],
    )


def openvino_int8(exported: Path, path: Path, images: int) -> None:
    """Write NNCF's quantisation of all but what outputs an image."""
    nncf: Any = importlib.import_module("nncf")
    nncf.set_log_level(logging.ERROR)
    core: Any = importlib.import_module("openvino").Core()
    model = core.read_model(str(exported))
    operators = [op for op in model.get_ordered_ops() if channels_of(op) in (3, images)]
    ignored = {
        op.get_friendly_name() for op in operators if op.get_type_name() in ("Convolution", "Add")
    }
    photographs = [batch_of(image).numpy() for image in calibration()]
    quantised = nncf.quantize(
        model,
        nncf.Dataset(photographs),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(photographs),
        ignored_scope=nncf.IgnoredScope(names=sorted(ignored)),
    )
    importlib.import_module("openvino").save_model(quantised, str(path))


def channels_of(operator: Any) -> int:
    """Return the channels of what an operator of OpenVINO outputs; 0 if that is no batch."""
    shape: Any = operator.output(0).get_partial_shape() if operator.get_output_size() else []
    batch = len(shape) == 4 and shape[1].is_static
    return int(shape[1].get_length()) if batch else 0


def calibration() -> Iterator[Image]:
    """Yield windows of scikit-image's photographs."""
    rng = np.random.default_rng(0)
    for name in ("astronaut", "chelsea", "coffee", "rocket", "retina"):
        image = to_float(getattr(skimage.data, name)())
        for _ in range(4):
            top, left = (int(rng.integers(side - _SIDE)) for side in image.shape[:2])
            yield np.ascontiguousarray(image[top : top + _SIDE, left : left + _SIDE])


def batch_of(image: Image) -> Tensor:
    """Return an image (H, W, 3) as a contiguous NCHW batch of one."""
    return torch.from_numpy(image).permute(2, 0, 1).contiguous()[None]


def image_of(batch: Tensor) -> Image:
    """Return the image (H, W, 3) of a batch of one, clipped to [0, 1]."""
    image: Image = batch[0].float().clamp(0, 1).permute(1, 2, 0).cpu().numpy()
    return image
