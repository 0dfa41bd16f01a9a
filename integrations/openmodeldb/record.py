"""Write the record of the bundled network for OpenModelDB, and what it refers to.

    python -m integrations.openmodeldb.record

Run it again whenever the network changes: size and checksum are read off the file. The address for
downloads is that of a release of the repository that pyproject.toml names; until it names one, the
record holds a placeholder and cannot be sent. To send it, add the entries of `entries.json` to the
database's own files of those names, and copy the record to `data/models`. The database's editor
then adds pairs of images, which must be hosted elsewhere.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import csgisnet
from csgisnet.checkpoints.format import load_weights
from csgisnet.checkpoints.pretrained import find_weights
from csgisnet.networks.smoothing import NetworkConfig
from vocsmooth.files import sha256_file, write_atomically

FOLDER = Path(__file__).parent

MODEL = "1x-CSGIS-Net-Compact"
"""The record's name in the database: the scale, and no more than letters, digits and hyphens."""

PLACEHOLDER = "https://github.com/OWNER/NAME"
"""Repository in the record as long as pyproject.toml names none."""

DATE = "2026-11-27"

ENTRIES: dict[str, Any] = {
    "architectures.json": {
        "csgis-net": {
            "name": "CSGIS-Net",
            "input": "image",
            "compatiblePlatforms": ["pytorch", "onnx"],
        }
    },
    "users.json": {"voc-smooth": {"name": "The VOC-smooth and CSGIS-Net developers"}},
}
"""What the record refers to and the database lacks, by the file that it belongs to."""

DESCRIPTION = """\
Removes texture from any picture and keeps structure: contours stay sharp, areas become flat. \
Meant for abstraction, detail and tone manipulation, and as a first step before edges or segments \
are looked for. It is not meant to remove noise or compression artefacts.

The network is the one of [Contrastive Semantic-Guided Image Smoothing Network]\
(https://arxiv.org/abs/2209.00977), made small and trained anew on drawn scenes under photographed \
and procedural textures. Texture as broad as structure stays; small marks that look like texture go.

Programs that use spandrel load it after one call: `pip install "csgisnet[spandrel]"`, then \
`csgisnet.prediction.spandrel.register()`. It takes images of any size. Where the program leaves \
tiling to the model, or in the project's own node for ComfyUI, there are no seams."""


def download_address(project: str) -> str:
    """Return where a release has the network, by the text of pyproject.toml."""
    named = re.search(r'^Repository = "(.+)"$', project, re.MULTILINE)
    repository = named[1] if named else PLACEHOLDER
    return f"{repository}/releases/download/v{csgisnet.__version__}/compact.safetensors"


def make_record() -> dict[str, Any]:
    """Return the record of the bundled compact network."""
    path = find_weights("compact")
    config = load_weights(path, "network").config_as(NetworkConfig, path)
    return {
        "name": "CSGIS-Net Compact",
        "author": next(iter(ENTRIES["users.json"])),
        "license": "MIT",
        "tags": ["photo", "restoration"],
        "description": DESCRIPTION,
        "date": DATE,
        "architecture": next(iter(ENTRIES["architectures.json"])),
        "size": [f"{config.width}nf", f"{config.blocks}nb"],
        "scale": 1,
        "inputChannels": 3,
        "outputChannels": 3,
        "resources": [
            {
                "platform": "pytorch",
                "type": "safetensors",
                "size": path.stat().st_size,
                "sha256": sha256_file(path),
                "urls": [
                    download_address(
                        (FOLDER.parents[1] / "pyproject.toml").read_text(encoding="utf-8")
                    )
                ],
            }
        ],
        "dataset": "Drawn scenes under photographed and procedural textures, with exact labels",
        "images": [],
    }


def main() -> None:
    """Write the record and the entries beside this file."""
    for name, content in ((MODEL, make_record()), ("entries", ENTRIES)):
        text = json.dumps(content, indent=4, ensure_ascii=False) + "\n"
        write_atomically(FOLDER / f"{name}.json", text.encode())


if __name__ == "__main__":
    main()
