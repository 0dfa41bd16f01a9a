"""Export networks to other runtimes, ONNX and TorchScript, for batches and images of any size."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional

import csgisnet
from csgisnet.errors import CheckpointError, ConfigError
from csgisnet.networks.folding import fold_batch_norm
from csgisnet.networks.smoothing import SmoothingNetwork
from vocsmooth.files import AnyPath, as_path, write_atomically

Format: TypeAlias = Literal["onnx", "torchscript"]

TensorFunction: TypeAlias = Callable[..., Tensor]
"""Takes images, and levels if they are an input of the file; returns smoothed images."""

TOLERANCE = 1e-4
"""Largest difference from the network that an exported file may show."""

_EXAMPLE = (2, 3, 33, 46)

_CHECKED = ((1, 3, 64, 48), (2, 3, 31, 77), (1, 3, 128, 97))

_DESCRIPTION = (
    "Structure-preserving smoothing. image: (N, 3, H, W) float32 RGB in [0, 1], any N, H and W; "
    "smoothed: the same shape, in [0, 1]."
)


_AXES = {0: "batch", 2: "height", 3: "width"}
"""Names of the free axes of input and output; the exporter writes an expression for the latter."""

_LEVEL = "level: (batch,) float32 in [0, 1]"

_METADATA = {
    "producer": f"csgisnet {csgisnet.__version__}",
    "description": _DESCRIPTION,
    "input": "image: (batch, 3, height, width) float32 in [0, 1]",
    "output": "smoothed: (batch, 3, height, width) float32 in [0, 1]",
    "channel_order": "RGB",
    "scale": "1",
}
"""What a program that loads the file may show or check."""


class _Kind(NamedTuple):
    """A format: the packages that it needs, and how to encode a network in memory and run it."""

    needs: tuple[str, ...]
    encode: Callable[[nn.Module, tuple[Tensor, ...]], bytes]
    open: Callable[[bytes], TensorFunction]


def export_network(
    network: SmoothingNetwork, path: AnyPath, form: Format, *, level_input: bool = False
) -> float:
    """Write a network for another runtime, after comparing it with the original on three sizes.

    The exported function takes "image", (N, 3, H, W) float32 RGB in [0, 1] with any N, H and W,
    and returns "smoothed", of the same shape and clipped to [0, 1]. Tiling large images is up to
    the caller.

    Parameters
    ----------
    network : SmoothingNetwork
        On the CPU; it is not modified.
    path : str or path-like
        File to write; it appears complete or not at all.
    form : {"onnx", "torchscript"}
        The format; "onnx" needs ``pip install csgisnet[export]``.
    level_input : bool
        Whether the function also takes "level", (N,) float32 in [0, 1], as a second input;
        otherwise a network that takes a level always smooths at its own.

    Returns
    -------
    float
        The largest difference between the two that was found.

    Raises
    ------
    ConfigError
        The packages for the format are not installed, or the network takes no level.
    CheckpointError
        The exported function differs from the network by more than `TOLERANCE`; nothing is written.
    """
    path = as_path(path, "path")
    if level_input and not network.config.level:
        raise ConfigError("This network takes no level: export it without a level as an input.")
    needs, encode, open_ = _KINDS[form]
    for package in needs:
        _import(package)
    with _quiet():
        example = (torch.rand(_EXAMPLE), *((torch.rand(_EXAMPLE[0]),) if level_input else ()))
        data = encode(_AnySize(fold_batch_norm(network)).eval(), example)
        difference = _largest_difference(network.eval(), open_(data), level_input)
    if not difference <= TOLERANCE:  # so that NaN fails too
        raise CheckpointError(
            f"{path} was not written: exported to {form}, the network's results differ by "
            f"{difference:.2g}, more than {TOLERANCE:g}. Are all its weights finite?"
        )
    write_atomically(path, data)
    return difference


class _AnySize(nn.Module):
    """The network to export; it pads without branching on the size, which would freeze it."""

    def __init__(self, network: SmoothingNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, image: Tensor, level: Tensor | None = None) -> Tensor:
        height, width = image.shape[-2:]
        factor = self.network.config.shuffle
        filled = image
        if factor > 1:
            rest = factor - 1
            padded = functional.pad(image, (0, rest, 0, rest), mode="replicate")
            rows, columns = (height + rest) // factor, (width + rest) // factor
            filled = padded[..., : rows * factor, : columns * factor]
        result: Tensor = self.network(filled, level).result[..., :height, :width]
        # Adds nothing, but tells every shape inference that the result has the image's size.
        return (result + 0 * image).clamp(0, 1)


def _largest_difference(
    network: SmoothingNetwork, function: TensorFunction, level_input: bool
) -> float:
    """Return the largest difference on images of several sizes, none of them the traced size."""
    generator = torch.Generator().manual_seed(0)
    differences = []
    for shape in _CHECKED:
        image = torch.rand(shape, generator=generator)
        level = (torch.rand(shape[0], generator=generator),) if level_input else ()
        with torch.no_grad():
            expected = network(image, *level).result.clamp(0, 1)
        differences.append((function(image, *level) - expected).abs().max())
    return float(torch.stack(differences).max())


def _to_torchscript(module: nn.Module, example: tuple[Tensor, ...]) -> bytes:
    """Trace a module into a TorchScript archive."""
    buffer = io.BytesIO()
    with torch.no_grad():
        torch.jit.save(torch.jit.trace(module, example), buffer)  # type: ignore[no-untyped-call]
    return buffer.getvalue()


def _open_torchscript(data: bytes) -> TensorFunction:
    """Return the function in a TorchScript archive."""
    function: TensorFunction = torch.jit.load(io.BytesIO(data))  # type: ignore[no-untyped-call]
    return function


def _to_onnx(module: nn.Module, example: tuple[Tensor, ...]) -> bytes:
    """Translate a module to ONNX."""
    batch = {0: torch.export.Dim("batch", min=1)}
    free = batch | {2: torch.export.Dim("height", min=1), 3: torch.export.Dim("width", min=1)}
    program = torch.onnx.export(
        module,
        example,
        dynamo=True,
        input_names=["image", "level"][: len(example)],
        output_names=["smoothed"],
        dynamic_shapes={"image": free} | ({"level": batch} if len(example) > 1 else {}),
        verbose=False,
    )
    if program is None:
        raise ConfigError(f"torch {torch.__version__} returned no ONNX program.")
    model = program.model_proto
    model.doc_string = _DESCRIPTION
    for value in (*model.graph.input, model.graph.output[0]):
        sizes = value.type.tensor_type.shape.dim
        for axis, name in _AXES.items():
            if axis < len(sizes):
                sizes[axis].dim_param = name
    metadata = dict(_METADATA)
    if len(example) > 1:
        metadata["input"] += f"; {_LEVEL}"
    for key, text in metadata.items():
        model.metadata_props.add(key=key, value=text)
    data: bytes = model.SerializeToString()
    return data


def _open_onnx(data: bytes) -> TensorFunction:
    """Return the function in an ONNX model, run by ONNX Runtime on the CPU."""
    session = _import("onnxruntime").InferenceSession(data, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_inputs()]

    def run(*inputs: Tensor) -> Tensor:
        arrays = {name: value.numpy() for name, value in zip(names, inputs, strict=True)}
        return torch.from_numpy(session.run(None, arrays)[0])

    return run


_KINDS: dict[Format, _Kind] = {
    "onnx": _Kind(("onnxscript", "onnxruntime"), _to_onnx, _open_onnx),
    "torchscript": _Kind((), _to_torchscript, _open_torchscript),
}


def _import(name: str) -> Any:
    """Import an optional package; if it is missing, ConfigError says how to install it."""
    try:
        return import_module(name)
    except ImportError:
        raise ConfigError(
            f"ONNX export needs the package {name}: pip install 'csgisnet[export]'."
        ) from None


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence what torch says about its own exporters; the check afterwards is what counts."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)  # it warns that torchvision is missing, which is not needed
    try:
        with warnings.catch_warnings():
            # Deprecations inside torch, and the tracer's warning about sizes read as numbers.
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
