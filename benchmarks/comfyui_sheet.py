"""Draw what ComfyUI's nodes give, by calling them on a photograph that comes with scikit-image.

Example: python -m benchmarks.comfyui_sheet integrations/comfyui/nodes.jpg
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from integrations.comfyui.table import Node, nodes
from vocsmooth.arrays import to_float, to_uint
from vocsmooth.files import write_atomically
from vocsmooth.images.reading import read_rgb
from vocsmooth.sources.photographs import bundled_folder
from vocsmooth.views.sheet import Panel, compose_sheet

SHOWN = np.s_[40:260, 80:380]
"""Rows and columns of the photograph, the cat's face."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path, help="the picture, a JPEG")
    arguments = parser.parse_args()
    node = {node.node_id: node for node in nodes()}
    photograph = to_float(np.ascontiguousarray(read_rgb(bundled_folder() / "chelsea.png")[SHOWN]))
    image = torch.from_numpy(photograph)[None]
    smoothed = call(node["Csgisnet_network"], image=image)
    texture = call(node["Vocsmooth_texture"], image=image, smoothed=smoothed)
    strong = call(node["Csgisnet_network"], image=image, level=1.0)
    rtv = call(node["Vocsmooth_rtv"], image=image, lam=0.01)
    enhanced = call(node["Vocsmooth_enhance"], image=image, smoothed=smoothed)
    mask = torch.linspace(0, 1, image.shape[2]).expand(image.shape[:3])
    blended = call(node["Vocsmooth_blend"], image=image, smoothed=strong, mask=mask)
    drawing = call(node["Vocsmooth_abstract"], smoothed=rtv)
    rows = [
        [
            panel("image", image),
            panel("Smooth: CSGIS-Net, level 0.5", smoothed),
            panel("Smooth: CSGIS-Net, level 1", strong),
            panel("Texture Layer", texture),
        ],
        [
            panel("Smooth: RTV, lam 0.01", rtv),
            panel("Abstract, of RTV", drawing),
            panel("Enhance Detail", enhanced),
            panel("Blend Smoothed, by a mask", blended),
        ],
    ]
    encoded = io.BytesIO()
    Image.fromarray(compose_sheet(rows, height=220)).save(encoded, "JPEG", quality=88)
    write_atomically(arguments.out, encoded.getvalue())


def call(node: Node, **inputs: object) -> Tensor:
    """Run a node with its defaults for what is not given."""
    defaults = {control.name: control.default for control in node.controls}
    return node.run(**{**defaults, **inputs})[0]


def panel(caption: str, images: Tensor) -> Panel:
    return Panel(caption=caption, pixels=to_uint(images[0].numpy(), np.uint8))


if __name__ == "__main__":
    main()
