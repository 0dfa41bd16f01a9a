"""Networks as the Hugging Face Hub keeps them: folders, and a real client with a real server."""

from __future__ import annotations

import base64
import functools
import http.server
import inspect
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

import csgisnet
from csgisnet import SmoothingNetwork
from csgisnet.checkpoints.format import load_weights
from csgisnet.checkpoints.pretrained import find_weights
from csgisnet.errors import CheckpointError, ConfigError
from csgisnet.networks import smoothing
from csgisnet.networks.smoothing import NetworkConfig

CONFIG = NetworkConfig(width=8, blocks=1, coarse_blocks=1, refine_blocks=1, shuffle=2, skip=True)


@pytest.fixture
def network() -> SmoothingNetwork:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return SmoothingNetwork(CONFIG).eval()


def assert_equal(one: smoothing.SmoothingNetwork, other: smoothing.SmoothingNetwork) -> None:
    assert one.config == other.config
    tensors, others = one.state_dict(), other.state_dict()
    assert tensors.keys() == others.keys()
    assert all(torch.equal(tensors[name], others[name]) for name in tensors)


def test_a_folder_returns_the_network(network: SmoothingNetwork, tmp_path: Path) -> None:
    network.save_pretrained(tmp_path / "net", license="mit", metadata={"trained_on": "scenes"})
    loaded = SmoothingNetwork.from_pretrained(tmp_path / "net")
    assert_equal(loaded, network)
    assert not loaded.training
    assert json.loads((tmp_path / "net/config.json").read_text())["width"] == 8
    weights = load_weights(tmp_path / "net/model.safetensors", "network")
    assert weights.metadata["trained_on"] == "scenes"
    card = (tmp_path / "net/README.md").read_text()
    assert card.startswith("---\nlicense: mit\nlibrary_name: csgisnet\n")
    (tmp_path / "net/README.md").write_text("mine")
    network.save_pretrained(tmp_path / "net")
    assert (tmp_path / "net/README.md").read_text() == "mine"


def test_classes_with_the_mixin_read_ours_and_are_read(
    network: SmoothingNetwork, tmp_path: Path
) -> None:
    hub = pytest.importorskip("huggingface_hub")
    mixed: Any = type("Mixed", (smoothing.SmoothingNetwork, hub.PyTorchModelHubMixin), {})
    network.save_pretrained(tmp_path / "ours")
    theirs = mixed.from_pretrained(tmp_path / "ours", config=CONFIG, strict=True)
    assert_equal(theirs, network)
    theirs.save_pretrained(tmp_path / "theirs")
    assert sorted(p.name for p in (tmp_path / "theirs").iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
    ]
    assert_equal(SmoothingNetwork.from_pretrained(tmp_path / "theirs"), network)


def test_weights_that_do_not_fit_are_refused(network: SmoothingNetwork, tmp_path: Path) -> None:
    import safetensors.torch

    tensors = network.state_dict()
    tensors.pop("descriptor.conv_in.bias")
    safetensors.torch.save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"config.json is missing"):
        SmoothingNetwork.from_pretrained(tmp_path)
    for text, words in (
        ("{", "is not valid JSON"),
        ("[]", "it is not an object"),
        ('{"widht": 8}', "unknown key 'widht'. Did you mean 'width'"),
        (json.dumps(vars(CONFIG)), "lacks 'descriptor.conv_in.bias'"),
    ):
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(CheckpointError, match=words):
            SmoothingNetwork.from_pretrained(tmp_path)
    network.save_pretrained(tmp_path)
    content = bytearray((tmp_path / "model.safetensors").read_bytes())
    content[-1] ^= 1
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged"):
        SmoothingNetwork.from_pretrained(tmp_path)


def test_without_the_library_the_cure_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ConfigError, match=r"pip install 'csgisnet\[hub\]'"):
        find_weights("hf:someone/network")


def test_nothing_loads_the_library_unless_it_is_used() -> None:
    code = (
        "import csgisnet, sys; csgisnet.load(device='cpu'); import csgisnet.checkpoints.hub\n"
        "sys.exit('huggingface_hub' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class Hub(http.server.SimpleHTTPRequestHandler):
    """Answers as the hub does for OWNER/NAME/resolve/REVISION/FILE, and takes what is pushed."""

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers["Content-Length"]))
        address = f"http://{self.headers['Host']}/someone/network"
        answer: dict[str, Any] = {"url": address, "errors": [], "warnings": []}
        if "/preupload/" in self.path:
            answer["files"] = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                for file in json.loads(sent)["files"]
            ]
        elif "/commit/" in self.path:
            folder = Path(self.directory, "someone/network")
            folder.mkdir(parents=True, exist_ok=True)
            for one in map(json.loads, sent.splitlines()):
                if one["key"] == "file":
                    content = base64.b64decode(one["value"]["content"])
                    (folder / one["value"]["path"]).write_bytes(content)
            commit = "0" * 40
            answer |= {"commitOid": commit, "commitUrl": f"{address}/commit/{commit}"}
        content = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def send_error(self, code: int, *_: Any) -> None:
        self.send_response(code)
        self.send_header("X-Error-Code", "EntryNotFound")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def translate_path(self, path: str) -> str:
        return super().translate_path(path.replace("/resolve/main", ""))

    def end_headers(self) -> None:
        self.send_header("ETag", '"1"')
        self.send_header("X-Repo-Commit", "0" * 40)
        super().end_headers()

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """A hub on this machine that holds the repository someone/network."""
    handler = functools.partial(Hub, directory=str(tmp_path / "served"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as listening:
        thread = threading.Thread(target=listening.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{listening.server_port}"
        listening.shutdown()
        thread.join()


CLIENT = """
import sys
from csgisnet import SmoothingNetwork, load
from csgisnet.errors import CheckpointError
network = SmoothingNetwork.from_pretrained(sys.argv[1])
print(network.push_to_hub("someone/network", license="mit", token="hf_none"))
name = {"repo_id": "someone/network", "push_to_hub": True}  # into a repository that has a card
print(network.save_pretrained(sys.argv[1], token="hf_none", metadata={"data": "scenes"}, **name))
print(load("hf:someone/network", device="cpu").smooth.__name__)
for name in ("someone/network", "hf:someone/network"):
    print(SmoothingNetwork.from_pretrained(name, local_files_only=True).config.width)
try:
    SmoothingNetwork.from_pretrained("someone/other")
except CheckpointError as error:
    print(error)
"""


def test_what_is_pushed_is_found_by_its_name_and_downloaded_once(
    network: SmoothingNetwork, tmp_path: Path, server: str
) -> None:
    pytest.importorskip("huggingface_hub")
    network.save_pretrained(tmp_path / "mine")
    (tmp_path / "served").mkdir()
    environment = {**os.environ, "HF_ENDPOINT": server, "HF_HOME": str(tmp_path / "cache")}
    environment.pop("HF_HUB_OFFLINE", None)
    line = [sys.executable, "-c", CLIENT, str(tmp_path / "mine")]
    result = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    *commits, loaded, width, same, error = result.stdout.splitlines()
    assert commits == 2 * [f"{server}/someone/network/commit/{'0' * 40}"]
    card = (tmp_path / "served/someone/network/README.md").read_text()
    assert "license: mit" in card
    assert 'csgisnet.load("hf:someone/network")' in card
    assert (loaded, width, same) == ("smooth", "8", "8")
    assert b"scenes" in (tmp_path / "served/someone/network/model.safetensors").read_bytes()
    assert "model.safetensors of 'someone/other' cannot be downloaded" in error
    assert error.endswith("if you mean a file or folder, there is none of that name.")


def test_the_package_offers_the_name(network: SmoothingNetwork, tmp_path: Path) -> None:
    """A folder in the hub's layout is also a file of weights like any other."""
    network.save_pretrained(tmp_path)
    assert csgisnet.load(tmp_path / "model.safetensors", device="cpu").batch == 1


@pytest.mark.parametrize("method", ["from_pretrained", "save_pretrained", "push_to_hub"])
def test_the_methods_take_what_those_of_the_mixin_take(method: str) -> None:
    hub = pytest.importorskip("huggingface_hub")
    wanted, ours = (
        list(inspect.signature(getattr(cls, method)).parameters)
        for cls in (hub.PyTorchModelHubMixin, SmoothingNetwork)
    )
    # The settings are the network's own, the card is ours, and a repository gets every file.
    others = {"config", "model_kwargs", "model_card_kwargs"}
    others |= {f"{kind}_patterns" for kind in ("allow", "ignore", "delete")}
    assert set(wanted) - set(ours) <= others
    assert ours[: 1 + (method != "from_pretrained")] == wanted[: 1 + (method != "from_pretrained")]


def test_every_checkpoint_that_commands_take_is_loaded(
    network: SmoothingNetwork, tmp_path: Path
) -> None:
    network.save_pretrained(tmp_path / "net")
    assert_equal(SmoothingNetwork.from_pretrained(tmp_path / "net/model.safetensors"), network)
    (tmp_path / "run").mkdir()
    (tmp_path / "net/model.safetensors").rename(tmp_path / "run/best.safetensors")
    assert_equal(SmoothingNetwork.from_pretrained(str(tmp_path / "run")), network)
    bundled = SmoothingNetwork.from_pretrained("compact")
    assert bundled(torch.rand(1, 3, 9, 11)).result.shape == (1, 3, 9, 11)
    with pytest.raises(CheckpointError, match=r"no checkpoint .*model.safetensors"):
        SmoothingNetwork.from_pretrained(tmp_path / "net")


def test_a_network_from_the_hub_can_be_trained(network: SmoothingNetwork, tmp_path: Path) -> None:
    network.save_pretrained(tmp_path)
    loaded = SmoothingNetwork.from_pretrained(tmp_path).train()
    loaded(torch.rand(1, 3, 8, 8)).result.mean().backward()
    assert all(parameter.requires_grad for parameter in loaded.parameters())
    assert loaded.descriptor.conv_in.weight.grad is not None
