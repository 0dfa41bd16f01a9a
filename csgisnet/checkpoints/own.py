"""Networks of somebody else's as files: the weights, and which class they belong to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from torch import nn

from csgisnet.checkpoints.fitting import load_into
from csgisnet.checkpoints.format import Weights, load_weights, save_weights
from vocsmooth.files import AnyPath, as_path

_KIND = "module"

Net = TypeVar("Net", bound=nn.Module)


def save_module(path: Path, module: nn.Module, metadata: Mapping[str, Any] | None = None) -> None:
    """Write a module's weights and the name of its class, and `metadata` (JSON) beside them."""
    cls = type(module)
    weights = Weights(
        kind=_KIND,
        config={"class": f"{cls.__module__}.{cls.__qualname__}"},
        metadata=dict(metadata or {}),
        tensors=module.state_dict(),
    )
    save_weights(path, weights)


def load_module(path: AnyPath, module: Net) -> Net:
    """Load what `csgisnet.training.train.train` saved of a network of your own.

    Parameters
    ----------
    path : str or path-like
        A file such as "best.safetensors" in the run's folder.
    module : Module
        The network, made as it was for the run; its weights are replaced.

    Returns
    -------
    Module
        The same module, in eval mode.

    Raises
    ------
    CheckpointError
        The file is missing or damaged, or its weights do not fit the module.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_module(Path(folder) / "mine.safetensors", nn.Conv2d(3, 3, 1))
    ...     load_module(Path(folder) / "mine.safetensors", nn.Conv2d(3, 3, 1))
    Conv2d(3, 3, kernel_size=(1, 1), stride=(1, 1))
    """
    path = as_path(path, "path")
    load_into(module, load_weights(path, _KIND).tensors, path)
    return module.eval()
