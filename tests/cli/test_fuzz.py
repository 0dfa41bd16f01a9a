"""Hundreds of damaged files in one run: each is named, none stops it, all good ones are written.

Both commands run as processes of their own, so that a crash of a decoder fails the test.
"""

from __future__ import annotations

import io
import os
import re
import struct
import subprocess
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from csgisnet.checkpoints.networks import save_network
from csgisnet.networks.smoothing import NetworkConfig, SmoothingNetwork

TINY = NetworkConfig(width=4, blocks=1, coarse_blocks=1, refine_blocks=1, shuffle=2, skip=True)
SIZE = (37, 45)
Process = Callable[..., subprocess.CompletedProcess[str]]


@dataclass(frozen=True)
class Files:
    """What lies in the folder."""

    good: tuple[Path, ...]
    hopeless: tuple[Path, ...]
    """Damaged so that no reader can know the picture."""
    flipped: tuple[Path, ...]
    """Damaged somewhere: a picture may come out, or an error."""


def encode(array: np.ndarray, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, form, **options)
    return buffer.getvalue()


def originals() -> dict[str, bytes]:
    """One good file of every kind."""
    rng = np.random.default_rng(8)
    coarse = rng.integers(0, 256, (5, 6, 3), np.uint8)
    colour = cv2.resize(coarse, SIZE[::-1], interpolation=cv2.INTER_CUBIC)
    grey, alpha = colour[..., 0], np.dstack([colour, colour[..., 1]])
    deep = colour.astype(np.uint16) * 257 + 3
    turned = Image.Exif()
    turned[0x0112] = 6
    return {
        "plain.jpg": encode(colour, "JPEG"),
        "grey.jpg": encode(grey, "JPEG"),
        "turned.jpeg": encode(colour, "JPEG", progressive=True, exif=turned.tobytes()),
        "plain.png": encode(colour, "PNG"),
        "alpha.png": encode(alpha, "PNG"),
        "palette.png": encode(grey // 16, "PNG", bits=4),
        "deep.png": cv2.imencode(".png", deep)[1].tobytes(),
        "grey deep.png": cv2.imencode(".png", deep[..., 0])[1].tobytes(),
        "plain.tif": encode(colour, "TIFF", compression="tiff_adobe_deflate"),
        "deep.tiff": cv2.imencode(".tiff", deep)[1].tobytes(),
        "plain.webp": encode(colour, "WEBP"),
        "lossless.webp": encode(alpha, "WEBP", lossless=True),
        "plain.bmp": encode(colour, "BMP"),
        "frame.gif": encode(grey, "GIF"),
        "map.ppm": encode(colour, "PPM"),
    }


def flip_bits(data: bytes, rng: np.random.Generator) -> bytes:
    """Flip 1 to 16 bits, or fill a stretch with zeros."""
    content = np.frombuffer(data, np.uint8).copy()
    if rng.random() < 0.25:
        start = rng.integers(len(content))
        content[start : start + 64] = 0
    for place in rng.integers(len(content), size=rng.integers(1, 17)):
        content[place] ^= 1 << rng.integers(8)
    return content.tobytes()


def spoil_header(data: bytes, rng: np.random.Generator) -> bytes:
    """Replace the first bytes by noise, or by another format's."""
    magics = (
        b"\xff\xd8\xff\xe0",
        b"\x89PNG\r\n\x1a\n",
        b"II*\0",
        b"RIFF\0\0\0\0WEBP",
        b"BM",
        b"PK\3\4",
    )
    magic = magics[rng.integers(len(magics))] if rng.random() < 0.5 else b""
    return (magic + rng.bytes(24))[:24] + data[24:]


def absurd_sizes() -> Iterator[tuple[str, bytes]]:
    """Files that declare dimensions which cannot be."""
    good = originals()

    def png(width: int, height: int) -> bytes:
        header = b"IHDR" + struct.pack(">II", width, height) + good["plain.png"][24:29]
        crc = struct.pack(">I", zlib.crc32(header))
        return good["plain.png"][:12] + header + crc + good["plain.png"][33:]

    for width, height in ((2**31 - 1, 2**31 - 1), (0, 7), (7, 0), (60_000, 60_000), (99_999, 37)):
        yield f"{width}x{height}.png", png(width, height)
    for width, height in ((2**31 - 1, 2**31 - 1), (0, 5), (-4, -4), (70_000, 70_000)):
        yield (
            f"{width}x{height}.bmp",
            good["plain.bmp"][:18] + struct.pack("<ii", width, height) + good["plain.bmp"][26:],
        )
    frame = good["plain.jpg"].index(b"\xff\xc0")
    for height, width in ((65_535, 65_535), (0, 0), (65_500, 0)):
        size = struct.pack(">HH", height, width)
        yield (
            f"{width}x{height}.jpg",
            good["plain.jpg"][: frame + 5] + size + good["plain.jpg"][frame + 9 :],
        )
    yield "65535x65535.gif", b"GIF89a" + struct.pack("<HH", 65_535, 65_535) + good["frame.gif"][10:]
    yield "99999x99999.ppm", b"P6 99999 99999 255\n" + good["map.ppm"][20:]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "päth with spaces 画像"


@pytest.fixture(scope="module")
def files(folder: Path) -> Files:
    """Fill the folder."""
    rng = np.random.default_rng(9)
    for name in ("good", "cut", "flipped", "header", "absurd", "other"):
        (folder / name).mkdir(parents=True)
    good: list[Path] = []
    hopeless: list[Path] = []
    flipped: list[Path] = []

    def add(kind: list[Path], name: str, data: bytes) -> None:
        (folder / name).write_bytes(data)
        kind.append(folder / name)

    for name, data in originals().items():
        add(good, f"good/ünï 写真 {name}", data)
        for number in range(10):
            add(flipped, f"flipped/{number} {name}", flip_bits(data, rng))
        for number in range(7):
            length = int(rng.integers(1, len(data) * 9 // 10))
            add(hopeless, f"cut/{number} {name}", data[:length])
        for number in range(4):
            add(hopeless, f"header/{number} {name}", spoil_header(data, rng))
    for name, data in absurd_sizes():
        add(hopeless, f"absurd/{name}", data)
    for number in range(6):
        add(hopeless, f"other/empty {number}.png", b"")
        add(hopeless, f"other/zeros {number}.jpg", bytes(10**number))
        add(hopeless, f"other/noise {number}.tif", rng.bytes(3000))
    add(hopeless, "other/page.jpg", b"<!doctype html><p>404 not found</p>")
    special = [folder / f"other/{name}" for name in ("folder.jpg", "gone.jpg", "pipe.png")]
    special[0].mkdir()
    special[1].symlink_to(folder / "nowhere.jpg")
    os.mkfifo(special[2])
    (folder / "other/link to folder.jpg").symlink_to(folder / "good")
    hopeless += [*special, folder / "other/link to folder.jpg"]
    add(good, "other/folder.jpg/inside.png", originals()["plain.png"])
    (folder / "good/link.jpg").symlink_to(good[0])
    good.append(folder / "good/link.jpg")
    return Files(tuple(good), tuple(hopeless), tuple(flipped))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("net") / "tiny.safetensors"
    save_network(path, SmoothingNetwork(TINY))
    return path


def outputs(out: Path) -> set[Path]:
    return {path for path in out.rglob("*") if path.is_file()}


def expect_whole_run(
    result: subprocess.CompletedProcess[str], files: Files, folder: Path, out: Path
) -> None:
    """Every file is either named with a reason or written, as its damage asks for."""
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    damaged = {*files.hopeless, *files.flipped}
    assert len(damaged) >= 300
    named = {path for path in damaged | set(files.good) if f"failed: {path}: " in result.stderr}
    written = {
        path: out
        / path.relative_to(folder).with_suffix(
            ".png" if path.suffix in (".gif", ".ppm") else path.suffix
        )
        for path in damaged | set(files.good)
    }
    made = outputs(out)
    for path in files.good:
        assert written[path] in made, path
        with Image.open(written[path]) as image:
            image.load()
            assert sorted(image.size) == sorted(SIZE)
    assert not set(files.hopeless) - named
    assert not named & set(files.good)
    for path in files.flipped:
        assert (path in named) != (written[path] in made), path
    assert made == {written[path] for path in (damaged | set(files.good)) - named}
    count = re.search(r": (\d+) written, 0 skipped, (\d+) failed", result.stdout)
    assert count
    assert (int(count[1]), int(count[2])) == (len(made), len(named))


def test_operators_survive_damaged_files(
    process: Process, files: Files, folder: Path, tmp_path: Path
) -> None:
    words = ("smooth", folder, "--operator", "guided", "--radius", 2, "--jobs", 2)
    result = process("vocsmooth", *words, "--out", tmp_path / "ausgäbe")
    expect_whole_run(result, files, folder, tmp_path / "ausgäbe")


def test_the_network_survives_damaged_files(
    process: Process, files: Files, folder: Path, checkpoint: Path, tmp_path: Path
) -> None:
    words = ("predict", folder, "--checkpoint", checkpoint, "--device", "cpu", "--jobs", 2)
    result = process("csgisnet", *words, "--out", tmp_path / "ausgäbe")
    expect_whole_run(result, files, folder, tmp_path / "ausgäbe")
