"""Networks on the Hugging Face Hub, in the layout of its `PyTorchModelHubMixin`.

A repository or a folder holds the weights as ``model.safetensors``, the settings as ``config.json``
and a card. Classes that inherit the mixin read what we write, and we read what they wrote.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from csgisnet.checkpoints.format import is_ours, read_safetensors
from csgisnet.checkpoints.networks import build_network, load_network, save_network
from csgisnet.errors import CheckpointError, ConfigError
from csgisnet.networks.smoothing import NetworkConfig, SmoothingNetwork
from vocsmooth import settings
from vocsmooth.errors import InputError
from vocsmooth.files import AnyPath, as_path, write_atomically, write_json

WEIGHTS = "model.safetensors"

CONFIG = "config.json"

_CARD = """\
---
{license}library_name: csgisnet
pipeline_tag: image-to-image
tags: [image-smoothing, texture-removal, csgisnet]
---

# A smoothing network

It removes texture from RGB images and keeps their structure (CSGIS-Net, arXiv 2209.00977).

```python
import csgisnet

smooth = csgisnet.load("hf:{repo_id}")  # pip install 'csgisnet[hub]'
```
"""


def save_pretrained(
    network: SmoothingNetwork,
    folder: AnyPath,
    *,
    license: str | None = None,  # noqa: A002 - the word of the cards
    repo_id: str = "OWNER/NAME",
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write a network to a folder, as a repository of the hub holds it.

    Parameters
    ----------
    network : SmoothingNetwork
        Any.
    folder : str or path-like
        Created if it is missing. A card (README.md) that is there is kept.
    license : str, optional
        SPDX identifier for a new card, such as "mit".
    repo_id : str
        Name on the hub for a new card.
    metadata : mapping, optional
        JSON values to record beside the weights.

    Examples
    --------
    >>> from csgisnet.networks.smoothing import COMPACT
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_pretrained(SmoothingNetwork(COMPACT), folder, license="mit")
    ...     same = from_pretrained(folder)
    ...     sorted(path.name for path in Path(folder).iterdir())
    ['README.md', 'config.json', 'model.safetensors']
    >>> same.config == COMPACT
    True
    """
    folder = as_path(folder, "folder")
    folder.mkdir(parents=True, exist_ok=True)
    save_network(folder / WEIGHTS, network, metadata)
    write_json(folder / CONFIG, settings.to_dict(network.config))
    card = folder / "README.md"
    if not card.exists():
        line = f"license: {license}\n" if license else ""
        write_atomically(card, _CARD.format(license=line, repo_id=repo_id).encode())


def push_to_hub(
    network: SmoothingNetwork,
    repo_id: str,
    *,
    license: str | None = None,  # noqa: A002
    private: bool | None = None,
    token: str | bool | None = None,
    message: str = "Add a smoothing network",
) -> str:
    """Upload a network as `save_pretrained` writes it; return the address of the commit.

    Parameters
    ----------
    network : SmoothingNetwork
        Any.
    repo_id : str
        "OWNER/NAME"; created if it is missing. A card that is there is kept.
    license, private, token, message
        SPDX identifier for a new card, whether a new repository is private, the access token, and
        the words of the commit.

    Raises
    ------
    ConfigError
        huggingface_hub is not installed. Its own errors pass through.
    """
    api = _library().HfApi(token=token)
    api.create_repo(repo_id, private=private, exist_ok=True)
    keep = "README.md" if api.file_exists(repo_id, "README.md") else None
    with tempfile.TemporaryDirectory() as folder:
        save_pretrained(network, folder, license=license, repo_id=repo_id)
        commit = api.upload_folder(
            repo_id=repo_id, folder_path=folder, ignore_patterns=keep, commit_message=message
        )
    return str(commit.commit_url)


def from_pretrained(
    folder_or_repo: AnyPath,
    *,
    revision: str | None = None,
    token: str | bool | None = None,
    cache_dir: AnyPath | None = None,
    local_files_only: bool = False,
) -> SmoothingNetwork:
    """Load a network from a folder or a repository of the hub; every weight must fit.

    Parameters
    ----------
    folder_or_repo : str or path-like
        What `save_pretrained` wrote, or "OWNER/NAME" on the hub.
    revision, token, cache_dir, local_files_only
        Of a repository, as huggingface_hub takes them: a branch, tag or commit, the access token,
        where to keep downloads, and whether to ask no server.

    Returns
    -------
    SmoothingNetwork
        In eval mode on the CPU.

    Raises
    ------
    CheckpointError
        A file is missing, damaged, or does not fit.
    ConfigError
        huggingface_hub is not installed, and a repository is named.
    """
    folder = as_path(folder_or_repo, "folder_or_repo")

    def find(name: str) -> Path:
        if folder.is_dir():
            return folder / name
        return download(
            folder.as_posix(),
            name,
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            local_files_only=local_files_only,
        )

    weights = find(WEIGHTS)
    if is_ours(weights):
        return load_network(weights)
    return build_network(_read_config(find(CONFIG)), read_safetensors(weights)[1], weights)


def download(repo_id: str, name: str = WEIGHTS, **access: Any) -> Path:
    """Return a file of a repository, which is downloaded if it is not in the cache.

    `access` is what `from_pretrained` takes for a repository.

    Raises
    ------
    CheckpointError
        There is no such repository or file, or it cannot be reached.
    ConfigError
        huggingface_hub is not installed.
    """
    hub = _library()
    try:
        file = hub.hf_hub_download(repo_id, name, **access)
    except (OSError, ValueError) as error:  # all errors of the hub, and wrong names
        reason = str(error).strip().splitlines()[0]
        raise CheckpointError(
            f"{name} of {repo_id!r} cannot be downloaded from the Hugging Face Hub: {reason} "
            "Check the name (OWNER/NAME) and the connection, or download the file and give "
            "its path."
        ) from None
    return Path(file)


def _read_config(path: Path) -> NetworkConfig:
    """Read the settings of a network."""
    try:
        content = settings.parse_json(path.read_bytes())
        if not isinstance(content, dict):
            raise ValueError("it is not an object")
        return settings.from_dict(NetworkConfig, content, str(path))
    except FileNotFoundError:
        raise CheckpointError(
            f"{path} is missing, which says how large the network is. Give a folder that holds "
            f"{CONFIG} beside {WEIGHTS}."
        ) from None
    except InputError as error:
        raise CheckpointError(str(error)) from None
    except ValueError as error:
        raise CheckpointError(f"{path} is not valid JSON: {error}.") from None


def _library() -> Any:
    """Import huggingface_hub; ConfigError if it is missing."""
    try:
        return import_module("huggingface_hub")
    except ImportError as error:
        raise ConfigError(
            f"The Hugging Face Hub needs one more package: pip install 'csgisnet[hub]' ({error})."
        ) from None
