"""Memory of the whole `csgisnet predict` process on large images: the tile, and bytes, not floats.

With SOAK=1 in the environment more formats, and 30 megapixels with the compact network.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from csgisnet.checkpoints.networks import save_network
from csgisnet.networks.smoothing import COMPACT, NetworkConfig, SmoothingNetwork

SOAK = bool(os.environ.get("SOAK"))

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

TINY = NetworkConfig(width=4, blocks=1, coarse_blocks=1, refine_blocks=1, shuffle=2, skip=True)
RUN = """
from vocsmooth_cli.network import main
try:
    main()
finally:
    print(open("/proc/self/status").read())
"""


def peak_of(image: Path, checkpoint: Path, out: Path, memory: int) -> int:
    """Return the peak resident memory of the command in bytes."""
    words = ["predict", image, "--checkpoint", checkpoint, "--device", "cpu", "--memory", memory]
    line = [sys.executable, "-c", RUN, *map(str, words), "--save-edges", "--out", str(out)]
    result = subprocess.run(line, capture_output=True, text=True, check=True)
    found = re.search(r"VmHWM:\s+(\d+) kB", result.stdout)
    assert found
    return int(found[1]) * 1024


def save_noise(path: Path, height: int, width: int) -> Path:
    path.parent.mkdir(exist_ok=True)
    noise = np.random.default_rng(0).integers(0, 64, (height, width, 3), np.uint8)
    cv2.imwrite(str(path), noise)
    return path


def growth(
    tmp_path: Path, config: NetworkConfig, size: tuple[int, int], memory: int, ending: str
) -> float:
    """Return what a large image takes beyond a small one, in bytes a pixel."""
    save_network(tmp_path / "net.safetensors", SmoothingNetwork(config))
    small = save_noise(tmp_path / f"small/image.{ending}", 40, 40)
    large = save_noise(tmp_path / f"large/image.{ending}", *size)
    peaks = [
        peak_of(image, tmp_path / "net.safetensors", tmp_path / "out" / image.parent.name, memory)
        for image in (small, large)
    ]
    return (peaks[1] - peaks[0] - memory * 1e6) / (size[0] * size[1])


@pytest.mark.parametrize("ending", ["png", "jpg", "tif"] if SOAK else ["png"])
def test_a_large_image_costs_its_bytes_and_a_tile(tmp_path: Path, ending: str) -> None:
    # 12 bytes a pixel are one copy of it in floats; three of its bytes are one in integers.
    assert growth(tmp_path, TINY, (2600, 3400), 64, ending) < 18


@pytest.mark.skipif(not SOAK, reason="takes minutes: set SOAK=1")
@pytest.mark.timeout(1800)
def test_thirty_megapixels_cost_no_more_than_small_images_a_pixel(tmp_path: Path) -> None:
    assert growth(tmp_path, COMPACT, (5000, 6000), 1024, "png") < 18
