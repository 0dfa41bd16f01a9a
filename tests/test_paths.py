"""Every public function that takes a path takes a str as well, and says what else it got."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from csgisnet.checkpoints.export import export_network
from csgisnet.checkpoints.networks import load_network, publish_network, save_network
from csgisnet.checkpoints.pretrained import find_weights
from csgisnet.checkpoints.segmenters import load_segmenter
from csgisnet.networks.smoothing import COMPACT, SmoothingNetwork
from csgisnet.prediction.loading import load
from csgisnet.training.config import as_config, load_config
from csgisnet.training.train import train
from csgisnet.training.train_segmenter import train_segmenter
from vocsmooth.dataset.archive import pack_dataset, unpack_dataset
from vocsmooth.dataset.build import build_dataset
from vocsmooth.dataset.repair import repair_dataset
from vocsmooth.dataset.verify import verify_dataset
from vocsmooth.images.finding import find_images, pair_by_name
from vocsmooth.images.reading import read_picture, read_rgb
from vocsmooth.maps.recipe import as_recipe, load_recipe
from vocsmooth.maps.textures import open_textures
from vocsmooth.shards import open_dataset
from vocsmooth.sources.ids import read_ids
from vocsmooth.sources.masks import read_mask
from vocsmooth.sources.voc import find_tree
from vocsmooth.views.page import write_report
from vocsmooth.views.png import export_png

READERS: dict[str, Callable[[Any], object]] = {
    "build_dataset voc_root": lambda path: build_dataset(path, "out", "demo"),
    "build_dataset recipe": lambda path: build_dataset("voc", "out", path),
    "repair_dataset": lambda path: repair_dataset(path, "voc"),
    "verify_dataset": verify_dataset,
    "pack_dataset": lambda path: pack_dataset(path, "out"),
    "unpack_dataset": lambda path: unpack_dataset(path, "out"),
    "open_dataset": open_dataset,
    "export_png": lambda path: export_png(path, "out"),
    "write_report": lambda path: write_report(path, "out.html"),
    "find_tree": find_tree,
    "read_ids": read_ids,
    "read_mask": read_mask,
    "read_picture": read_picture,
    "read_rgb": read_rgb,
    "find_images": lambda path: find_images(path, "out"),
    "pair_by_name": lambda path: pair_by_name(path, "labels"),
    "open_textures": open_textures,
    "load_recipe": load_recipe,
    "load_config": load_config,
    "load_network": load_network,
    "load": load,
    "load_segmenter": load_segmenter,
    "publish_network": lambda path: publish_network(path, "out.safetensors", description="x"),
    "train": lambda path: train(path, "run", "demo", device="cpu"),
    "train config": lambda path: train("data", "run", path, device="cpu"),
    "train_segmenter": lambda path: train_segmenter(path, "out.safetensors", device="cpu"),
}
"""Functions that read what is at a path."""

WRITERS: dict[str, Callable[[Any], object]] = {
    "build_dataset": lambda path: build_dataset("voc", path, "demo"),
    "export_network": lambda path: export_network(SmoothingNetwork(COMPACT), path, "onnx"),
    "save_network": lambda path: save_network(path, SmoothingNetwork(COMPACT)),
    "train": lambda path: train("data", path, device="cpu"),
    "train_segmenter": lambda path: train_segmenter("data", path, device="cpu"),
}
"""Functions that write to a path."""


@pytest.mark.parametrize("name", READERS)
def test_a_str_and_a_path_are_one(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    missing = tmp_path / "missing.txt"
    messages = []
    for path in (missing, str(missing)):
        with pytest.raises(Exception, match=r"missing\.txt") as caught:
            READERS[name](path)
        messages.append((type(caught.value), str(caught.value)))
    assert messages[0] == messages[1]
    assert not issubclass(messages[0][0], AttributeError | TypeError)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("wrong", [b"data", 3, ["data"], {"a": 1}], ids=str)
@pytest.mark.parametrize("function", [*READERS.values(), *WRITERS.values()])
def test_anything_else_is_named(
    function: Callable[[Any], object], wrong: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TypeError, match=r"must be a (path|Recipe|Config)"):
        function(wrong)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_path_is_not_the_working_directory() -> None:
    with pytest.raises(ValueError, match="root must be a path, got an empty string"):
        verify_dataset("")


def test_objects_go_by_their_names() -> None:
    assert as_recipe("demo") == load_recipe("demo") == as_recipe(load_recipe("demo"))
    assert as_config("demo") == load_config("demo") == as_config(load_config("demo"))
    assert find_weights("compact") == find_weights()
