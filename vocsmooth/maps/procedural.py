"""Procedural textures: families of seamless tiles, unlimited in number, drawn from a generator."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.spatial import cKDTree

Tile = NDArray[np.float64]

TileMaker = Callable[[np.random.Generator], Tile]

SIZE = 256
"""Side of a tile, in pixels. Whatever is drawn repeats with this period."""

CONTRAST = 32.0
"""Standard deviation of a tile, in grey levels."""

_SHADING = 16.0


def draw_tile(family: str, rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw a tile of a family.

    Parameters
    ----------
    family : str
        A key of `FAMILIES`.
    rng : numpy.random.Generator
        Decides everything: period, angle, thickness, positions.

    Returns
    -------
    ndarray, (256, 256) float32
        Mean 0, standard deviation `CONTRAST`, cut at four times that; its copies join seamlessly.
    """
    tile = FAMILIES[family](rng)
    tile = tile - _blur(tile, _SHADING)  # broad light and dark would pass for structure
    tile /= max(tile.std(), 1e-6)
    return (CONTRAST * tile.clip(-4, 4)).astype(np.float32)


def _noise(rng: np.random.Generator, low: float, high: float, slope: float = 0.0) -> Tile:
    """White noise in the band low..high cycles a tile, amplitude falling as frequency ** -slope."""
    spectrum = fft.rfft2(rng.standard_normal((SIZE, SIZE)))
    frequency = np.hypot(fft.fftfreq(SIZE, 1 / SIZE)[:, None], fft.rfftfreq(SIZE, 1 / SIZE))
    gain = np.exp(-((frequency / high) ** 4)) * (1 - np.exp(-((frequency / low) ** 4)))
    tile: Tile = fft.irfft2(spectrum * gain * np.maximum(frequency, 1) ** -slope, (SIZE, SIZE))
    tile /= tile.std()
    return tile


def _blur(tile: Tile, sigma: float) -> Tile:
    """Gaussian blur on the torus."""
    gain = _gain(sigma)
    blurred: Tile = fft.irfft2(fft.rfft2(tile) * gain[:, None] * gain[: SIZE // 2 + 1], tile.shape)
    return blurred


def _gain(sigma: float) -> NDArray[np.float64]:
    """What a Gaussian blur leaves of each frequency of a line."""
    gain: NDArray[np.float64] = np.exp(-2 * (np.pi * sigma * fft.fftfreq(SIZE)) ** 2)
    return gain


def _phase(cycles_x: int, cycles_y: int) -> Tile:
    """Angle of a plane wave that fits whole cycles into the tile, given whole numbers."""
    steps: Tile = 2 * np.pi * (np.arange(SIZE) + 0.5) / SIZE
    return cycles_y * steps[:, None] + cycles_x * steps


def _square(wave: Tile, sharpness: float = 4.0) -> Tile:
    """Turn a wave in -1..1 into plateaus with soft flanks."""
    plateaus: Tile = np.tanh(sharpness * wave)
    return plateaus


def _whole(rng: np.random.Generator, low: int, high: int) -> int:
    """Draw a whole number from low to high, the latter left out."""
    return int(rng.integers(low, high))


def _direction(rng: np.random.Generator, low: int, high: int) -> tuple[int, int]:
    """Draw whole cycles along x and y with low to high cycles together."""
    angle, cycles = rng.uniform(0, np.pi), rng.uniform(low, high)
    return round(cycles * np.cos(angle)), round(cycles * np.sin(angle)) or low


def _scattered(
    rng: np.random.Generator, count: int, nearest: int = 1
) -> tuple[Tile, NDArray[np.int_]]:
    """Distances to the `nearest` of `count` points on the torus, and the number of the nearest."""
    points = rng.uniform(0, SIZE, (count, 2))
    rows, columns = np.indices((SIZE, SIZE))
    pixels = np.stack([rows, columns], -1).reshape(-1, 2)
    distances, numbers = cKDTree(points, boxsize=SIZE).query(pixels, k=range(1, nearest + 1))
    return distances.reshape(SIZE, SIZE, nearest), numbers[:, 0].reshape(SIZE, SIZE)


def _octaves(rng: np.random.Generator) -> Tile:
    """Noise whose amplitude falls with frequency, without the lowest octaves."""
    return _noise(rng, rng.uniform(8, 16), rng.uniform(60, 120), slope=rng.uniform(0.2, 1.2))


def _ripples(rng: np.random.Generator) -> Tile:
    """Noise in a narrow band: winding ridges of one width."""
    low = rng.uniform(15, 40)
    return _noise(rng, low, 1.2 * low)


def _stripes(rng: np.random.Generator) -> Tile:
    """Parallel bars in any direction."""
    return _square(np.sin(_phase(*_direction(rng, 12, 32))), rng.uniform(0.5, 4))


def _checks(rng: np.random.Generator) -> Tile:
    """A chessboard."""
    cycles = _whole(rng, 10, 32)
    fields = np.sin(_phase(cycles, 0)) * np.sin(_phase(0, cycles))
    return _square(fields, rng.uniform(1, 8))


def _zigzag(rng: np.random.Generator) -> Tile:
    """Chevrons: bars shifted by a triangle wave."""
    cycles, bends = _whole(rng, 14, 36), _whole(rng, 6, 16)
    triangle = np.arcsin(np.sin(_phase(bends, 0)))
    return _square(np.sin(_phase(0, cycles) + rng.uniform(1, 2.5) * triangle), 2)


def _crosshatch(rng: np.random.Generator) -> Tile:
    """Two families of thin lines, slightly wavy, darker where they cross."""
    cycles, other = _whole(rng, 10, 28), _whole(rng, 10, 28)
    waver = rng.uniform(0.2, 0.8) * _noise(rng, 1, 6)
    first = np.cos(_phase(cycles, cycles) + waver)
    second = np.cos(_phase(other, -other) - waver)
    lines: Tile = np.exp(4 * (first - 1)) + np.exp(4 * (second - 1))
    return -lines


def _weave(rng: np.random.Generator) -> Tile:
    """Plain weave: threads that pass over and under each other."""
    cycles = _whole(rng, 10, 24)
    x, y = _phase(cycles, 0), _phase(0, cycles)
    over = np.sin(x) * np.sin(y) > 0
    return np.where(over, np.abs(np.sin(x)), np.abs(np.sin(y)) - rng.uniform(0, 0.5))


def _canvas(rng: np.random.Generator) -> Tile:
    """A coarse weave of uneven threads."""
    return _weave(rng) + rng.uniform(0.1, 0.3) * _noise(rng, 10, 110)


def _twill(rng: np.random.Generator) -> Tile:
    """Diagonal ribs made of short threads."""
    cycles = _whole(rng, 8, 20)
    ribs = _square(np.sin(_phase(cycles, cycles)), rng.uniform(1, 4))
    return ribs + rng.uniform(0.3, 1) * np.abs(np.sin(_phase(0, 2 * cycles))) * (ribs > 0)


def _dots(rng: np.random.Generator) -> Tile:
    """Round dots scattered at random, of one size."""
    distances, _ = _scattered(rng, _whole(rng, 150, 700))
    return -_square(distances[..., 0] - rng.uniform(1.5, 4), 1)


def _halftone(rng: np.random.Generator) -> Tile:
    """A raster of dots that swell and shrink."""
    cycles = _whole(rng, 16, 36)
    raster = np.cos(_phase(cycles, cycles)) + np.cos(_phase(cycles, -cycles))
    return _square(raster / 2 + 0.25 * _noise(rng, 1, 5), 4)


def _cells(rng: np.random.Generator) -> Tile:
    """Voronoi cells, each of its own grey, with dark joints."""
    distances, numbers = _scattered(rng, count := _whole(rng, 250, 1000), nearest=2)
    joints = np.exp(-(distances[..., 1] - distances[..., 0]))
    return rng.uniform(0, 1, count)[numbers] - rng.uniform(0.5, 1.5) * joints


def _pebbles(rng: np.random.Generator) -> Tile:
    """Rounded stones lit from one side."""
    distances, _ = _scattered(rng, _whole(rng, 400, 1000))
    height = _blur(-distances[..., 0], 1)
    return np.roll(height, 1, 0) - np.roll(height, -1, 0) + np.roll(height, 1, 1) + 0.2 * height


def _wood(rng: np.random.Generator) -> Tile:
    """Long rings with fine fibres along them."""
    rings = _phase(_whole(rng, 8, 18), 0) + rng.uniform(1, 2.5) * _noise(rng, 1, 4)
    fibres = np.repeat(rng.standard_normal((1, SIZE)), SIZE, 0)
    return np.sin(rings) ** 3 + rng.uniform(0.2, 0.5) * (fibres + 0.5 * _noise(rng, 20, 110))


def _scratches(rng: np.random.Generator) -> Tile:
    """Straight scratches in one main direction."""
    count, length = _whole(rng, 40, 120), rng.uniform(30, 120)
    angle = rng.uniform(0, np.pi) + rng.normal(0, rng.uniform(0.05, 0.5), count)
    along = np.linspace(-length / 2, length / 2, 2 * int(length))[:, None]
    centers = rng.uniform(0, SIZE, (2, count))
    rows, columns = centers[0] + along * np.sin(angle), centers[1] + along * np.cos(angle)
    tile = np.zeros((SIZE, SIZE))
    np.add.at(
        tile,
        (rows.astype(int) % SIZE, columns.astype(int) % SIZE),
        np.broadcast_to(rng.choice([-1.0, 1.0], count), rows.shape),
    )
    return np.tanh(2 * _blur(tile, rng.uniform(0.6, 1.2)))


def _speckle(rng: np.random.Generator) -> Tile:
    """Grains: isolated light and dark specks."""
    noise = _noise(rng, 20, rng.uniform(50, 110))
    return np.sign(noise) * np.maximum(np.abs(noise) - rng.uniform(0.8, 1.6), 0)


def _bricks(rng: np.random.Generator) -> Tile:
    """A wall in stack, running or third bond: flat or varied faces, thin or wide joints."""
    offsets = _whole(rng, 1, 4)  # rows until one lies above another
    courses, per_course = offsets * _whole(rng, 12 // offsets, 30 // offsets), _whole(rng, 5, 14)
    row = np.arange(SIZE) * courses / SIZE
    course = row.astype(int)[:, None]
    column = np.arange(SIZE) * per_course / SIZE + course % offsets / offsets
    greys = rng.uniform(0, 0.6) * rng.uniform(-1, 1, (courses, per_course))
    faces = greys[course, column.astype(int) % per_course]
    joint_x = np.abs((column + 0.5) % 1 - 0.5) * SIZE / per_course
    joint_y = np.abs((row + 0.5) % 1 - 0.5) * SIZE / courses
    distance = np.minimum(joint_x, joint_y[:, None])
    joints: Tile = np.exp(-((distance / rng.uniform(0.7, 2)) ** 2))
    tile: Tile = faces * (1 - joints) + rng.uniform(0.8, 1.6) * joints
    polarity = 1 if rng.random() < 0.5 else -1
    return polarity * tile + rng.uniform(0.02, 0.2) * _noise(rng, 10, 110)


def _planks(rng: np.random.Generator) -> Tile:
    """Rows of bars of unequal length, in two tones or many, along fine fibres."""
    rows, per_row = _whole(rng, 16, 48), _whole(rng, 4, 14)
    cuts = np.sort(rng.uniform(0, SIZE, (rows, per_row)), axis=1)
    greys = rng.standard_normal((rows, per_row))
    greys = np.sign(greys) * np.abs(greys) ** rng.uniform(0.3, 1.6)
    row = np.arange(SIZE) * rows // SIZE
    bar = np.stack([np.searchsorted(line, np.arange(SIZE)) % per_row for line in cuts])
    faces = greys[row[:, None], bar[row]]
    fibres = _noise(rng, 20, 110) + np.repeat(rng.standard_normal((SIZE, 1)), SIZE, 1)
    return _blur(faces, rng.uniform(0.3, 0.8)) + rng.uniform(0, 0.3) * fibres


def _grain(rng: np.random.Generator) -> Tile:
    """Wood with knots: dark lines of uneven strength that run down it and around them."""
    distances, _ = _scattered(rng, _whole(rng, 2, 8))
    knots = np.exp(-((distances[..., 0] / rng.uniform(8, 24)) ** 2))
    warp = rng.uniform(1, 4) * _drawn_out(_noise(rng, 1, 8), rng.uniform(5, 25))
    rings = _phase(_whole(rng, 8, 24), 0) + warp + 2 * np.pi * rng.uniform(1, 5) * knots
    strength = np.exp(rng.uniform(0.2, 0.6) * _drawn_out(_noise(rng, 3, 30), rng.uniform(2, 10)))
    lines = np.exp(rng.uniform(0.5, 4) * (np.sin(rings) - 1))
    fibres = _drawn_out(_noise(rng, 20, 110), rng.uniform(2, 10))
    return -strength * lines - rng.uniform(0, 1) * knots + rng.uniform(0.1, 0.4) * fibres


def _granite(rng: np.random.Generator) -> Tile:
    """Crystals: patches of a few greys with sharp borders, at several sizes."""
    tile = np.zeros((SIZE, SIZE))
    for low in (8, 16, 32):
        tile += rng.uniform(0.2, 1) * np.round(_noise(rng, low, 3 * low) * rng.uniform(0.6, 1.2))
    return _blur(tile, rng.uniform(0.3, 0.8))


def _drawn_out(tile: Tile, sigma: float) -> Tile:
    """Draw noise out from top to bottom, to a standard deviation of 1."""
    drawn: Tile = fft.ifft(fft.fft(tile, axis=0) * _gain(sigma)[:, None], axis=0).real
    drawn /= drawn.std()
    return drawn


FAMILIES: dict[str, TileMaker] = {
    "bricks": _bricks,
    "canvas": _canvas,
    "cells": _cells,
    "checks": _checks,
    "crosshatch": _crosshatch,
    "dots": _dots,
    "grain": _grain,
    "granite": _granite,
    "halftone": _halftone,
    "octaves": _octaves,
    "pebbles": _pebbles,
    "planks": _planks,
    "ripples": _ripples,
    "scratches": _scratches,
    "speckle": _speckle,
    "stripes": _stripes,
    "twill": _twill,
    "weave": _weave,
    "wood": _wood,
    "zigzag": _zigzag,
}
"""Every family by name."""
