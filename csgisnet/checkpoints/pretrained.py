"""Find the file of weights that a user means by a path, a run's folder, or a network's name."""

from __future__ import annotations

from pathlib import Path

from csgisnet.checkpoints.best import BEST_FILE
from csgisnet.errors import CheckpointError
from vocsmooth.errors import UnknownNameError
from vocsmooth.files import AnyPath, as_path
from vocsmooth.settings import nearest

BUNDLED = Path(__file__).parents[1] / "models"
"""Folder of the networks that come with the package, each as NAME.safetensors."""

HUB_PREFIX = "hf:"
"""Prefix of a repository's name, which could otherwise be the name of a file or folder."""

DEFAULT = "compact"
"""Name of the bundled network to use where none is named."""


def find_weights(path_or_name: AnyPath | None = None) -> Path:
    """Return the file of weights to load.

    Parameters
    ----------
    path_or_name : str or path-like, optional
        A file, or the folder of a run, whose best weights are meant; if no such path exists, the
        name of a bundled network, such as "compact", or "hf:OWNER/NAME" for a repository of the
        Hugging Face Hub. By default `DEFAULT`.

    Raises
    ------
    UnknownNameError
        Neither a path nor a bundled network has this name.
    CheckpointError
        The folder of a run has no weights yet, or a repository cannot be reached.
    ConfigError
        A repository is named, and huggingface_hub is not installed.
    """
    if path_or_name is None:
        return _bundled(DEFAULT)
    path = as_path(path_or_name, "path_or_name")
    if path.is_dir():
        return _best_of(path)
    if path.as_posix().startswith(HUB_PREFIX) and not path.exists():
        from csgisnet.checkpoints.hub import download

        return download(path.as_posix().removeprefix(HUB_PREFIX))
    if path.exists() or path.suffix or len(path.parts) != 1:
        return path
    return _bundled(path.name)


def bundled_models() -> dict[str, Path]:
    """Return the files of the networks that come with the package, by name."""
    return {file.stem: file for file in sorted(BUNDLED.glob("*.safetensors"))}


def _best_of(run: Path) -> Path:
    """Return the best weights of a run."""
    best = run / BEST_FILE
    if not best.is_file():
        raise CheckpointError(
            f"{run} holds no {BEST_FILE}. Give the folder of a run that has validated at least "
            "once, or a file of weights."
        )
    return best


def _bundled(name: str) -> Path:
    """Return the file of a bundled network."""
    models = bundled_models()
    if name in models:
        return models[name]
    hint = nearest(name, models) if models else " This package comes without networks."
    raise UnknownNameError(
        f"{name!r} does not exist as a file or folder, and names no bundled network.{hint} Give a "
        "file of weights or the folder of a run, which `csgisnet train` creates."
    )
