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

import torch

from csgisnet.checkpoints.format import is_ours, read_safetensors
from csgisnet.checkpoints.networks import build_network, load_network, save_network
from csgisnet.checkpoints.pretrained import HUB_PREFIX, find_weights
from csgisnet.errors import CheckpointError, ConfigError
from csgisnet.networks import smoothing
from csgisnet.networks.smoothing import NetworkConfig
from vocsmooth import settings
from vocsmooth.errors import InputError
from vocsmooth.files import AnyPath, as_path, write_atomically, write_json

WEIGHTS = "model.safetensors"

CONFIG = "config.json"

CARD = "README.md"

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


class SmoothingNetwork(smoothing.SmoothingNetwork):
    """The smoothing network, with the methods by which hubs know a model.

    They are those of huggingface_hub's `PyTorchModelHubMixin`, but for what only other classes
    need. Folders need no further package; repositories need ``pip install 'csgisnet[hub]'``.

    Parameters
    ----------
    config : NetworkConfig
        Size and variant, see `csgisnet.networks.smoothing`.

    Examples
    --------
    >>> network = SmoothingNetwork.from_pretrained("compact")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     network.save_pretrained(folder, license="mit")
    ...     same = SmoothingNetwork.from_pretrained(folder)
    ...     sorted(path.name for path in Path(folder).iterdir())
    ['README.md', 'config.json', 'model.safetensors']
    >>> same.config == network.config
    True
    """

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: AnyPath,
        *,
        force_download: bool = False,
        token: str | bool | None = None,
        cache_dir: AnyPath | None = None,
        local_files_only: bool = False,
        revision: str | None = None,
    ) -> SmoothingNetwork:
        """Load a network; every weight must fit.

        Parameters
        ----------
        pretrained_model_name_or_path : str or path-like
            A folder that `save_pretrained` wrote, "OWNER/NAME" for a repository of the hub, or any
            checkpoint that commands take: a file, the folder of a run, the name of a bundled
            network. What exists on this machine is preferred to a repository.
        force_download, token, cache_dir, local_files_only, revision
            Of a repository, as huggingface_hub takes them: whether to download again what is in
            the cache, the access token, where to keep downloads, whether to ask no server; and a
            branch, tag or commit.

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
        UnknownNameError
            Neither a path nor a bundled network has this name.
        """
        path = as_path(pretrained_model_name_or_path, "pretrained_model_name_or_path")
        if (path / CONFIG).exists() or (path / WEIGHTS).exists():
            loaded = _load(path / WEIGHTS, path / CONFIG)
        elif path.exists() or len(path.parts) != 2:
            loaded = load_network(find_weights(path))
        else:
            access = {
                "force_download": force_download,
                "token": token,
                "cache_dir": cache_dir,
                "local_files_only": local_files_only,
                "revision": revision,
            }
            repo_id = path.as_posix().removeprefix(HUB_PREFIX)
            weights = download(repo_id, WEIGHTS, **access)
            config = None if is_ours(weights) else download(repo_id, CONFIG, **access)
            loaded = _load(weights, config)
        with torch.device("meta"):
            network = cls(loaded.config)
        network.load_state_dict(loaded.state_dict(), assign=True)
        return network.eval()

    def save_pretrained(
        self,
        save_directory: AnyPath,
        *,
        repo_id: str | None = None,
        push_to_hub: bool = False,
        license: str | None = None,  # noqa: A002 - the word of the cards
        metadata: Mapping[str, Any] | None = None,
        **push_to_hub_kwargs: Any,
    ) -> str | None:
        """Write the network to a folder, as a repository of the hub holds it.

        Parameters
        ----------
        save_directory : str or path-like
            Created if it is missing. A card (README.md) that is there is kept.
        repo_id : str, optional
            "OWNER/NAME" on the hub, for a new card and for `push_to_hub`, which takes the folder's
            name for NAME otherwise.
        push_to_hub : bool
            Whether to upload as well.
        license : str, optional
            SPDX identifier for a new card, such as "mit".
        metadata : mapping, optional
            JSON values to record beside the weights.
        push_to_hub_kwargs
            For the method `push_to_hub`.

        Returns
        -------
        str or None
            The address of the commit, if there is one.
        """
        folder = as_path(save_directory, "save_directory")
        folder.mkdir(parents=True, exist_ok=True)
        save_network(folder / WEIGHTS, self, metadata)
        write_json(folder / CONFIG, settings.to_dict(self.config))
        if not (folder / CARD).exists():
            line = f"license: {license}\n" if license else ""
            write_atomically(
                folder / CARD, _CARD.format(license=line, repo_id=repo_id or "OWNER/NAME").encode()
            )
        if push_to_hub:
            name = repo_id or folder.resolve().name
            return _upload(folder, name, **push_to_hub_kwargs)
        return None

    def push_to_hub(
        self,
        repo_id: str,
        *,
        commit_message: str = "Add a smoothing network",
        private: bool | None = None,
        token: str | bool | None = None,
        branch: str | None = None,
        create_pr: bool | None = None,
        license: str | None = None,  # noqa: A002
    ) -> str:
        """Upload what `save_pretrained` writes; return the address of the commit.

        Parameters
        ----------
        repo_id : str
            "OWNER/NAME"; created if it is missing. A card that is there is kept.
        commit_message, private, token, branch, create_pr
            Words of the commit, whether a new repository is private, the access token, the branch
            to commit to ("main" by default), and whether to open a pull request instead.
        license : str, optional
            SPDX identifier for a new card.

        Raises
        ------
        ConfigError
            huggingface_hub is not installed. Its own errors pass through.
        """
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder, license=license, repo_id=repo_id)
            return _upload(
                Path(folder),
                repo_id,
                commit_message=commit_message,
                private=private,
                token=token,
                branch=branch,
                create_pr=create_pr,
            )


def _upload(
    folder: Path,
    repo_id: str,
    *,
    private: bool | None = None,
    token: str | bool | None = None,
    branch: str | None = None,
    **commit: Any,
) -> str:
    """Upload what `save_pretrained` wrote, but for a card where there is one; see `push_to_hub`."""
    api = _library().HfApi(token=token)
    repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
    kept = {CARD} if api.file_exists(repo_id, CARD, revision=branch) else set()
    what = {"folder_path": folder, "allow_patterns": sorted({WEIGHTS, CONFIG, CARD} - kept)}
    commit = {"commit_message": "Add a smoothing network", **commit}
    done = api.upload_folder(repo_id=repo_id, revision=branch, **what, **commit)
    return str(done.commit_url)


def download(repo_id: str, name: str = WEIGHTS, **access: Any) -> Path:
    """Return a file of a repository, which is downloaded if it is not in the cache.

    `access` is what `SmoothingNetwork.from_pretrained` takes for a repository.

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
            f"{name} of {repo_id!r} cannot be downloaded from the Hugging Face Hub: {reason} Check "
            "the name and the connection; if you mean a file or folder, there is none of that name."
        ) from None
    return Path(file)


def _load(weights: Path, config: Path | None) -> smoothing.SmoothingNetwork:
    """Load weights of ours, or those of a class with the mixin, whose settings lie beside them."""
    if config is None or is_ours(weights):
        return load_network(weights)
    return build_network(_read_config(config), read_safetensors(weights)[1], weights)


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
