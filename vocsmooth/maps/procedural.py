"""Procedural textures: families of seamless tiles, unlimited in number, drawn from a generator."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vocsmooth.maps.torus import (
    SIZE,
    Tile,
    blur,
    direction,
    drawn_out,
    noise,
    phase,
    scattered,
    square,
    whole,
)

TileMaker = Callable[[np.random.Generator], Tile]

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
    tile = tile - blur(tile, _SHADING)  # broad light and dark would pass for structure
    tile /= max(tile.std(), 1e-6)
    return (CONTRAST * tile.clip(-4, 4)).astype(np.float32)


def _octaves(rng: np.random.Generator) -> Tile:
    """Noise whose amplitude falls with frequency, without the lowest octaves."""
    return noise(rng, rng.uniform(8, 16), rng.uniform(60, 120), slope=rng.uniform(0.2, 1.2))


def _ripples(rng: np.random.Generator) -> Tile:
    """Noise in a narrow band: winding ridges of one width."""
    low = rng.uniform(15, 40)
    return noise(rng, low, 1.2 * low)


def _stripes(rng: np.random.Generator) -> Tile:
    """Parallel bars in any direction."""
    return square(np.sin(phase(*direction(rng, 12, 32))), rng.uniform(0.5, 4))


def _checks(rng: np.random.Generator) -> Tile:
    """A chessboard."""
    cycles = whole(rng, 10, 32)
    fields = np.sin(phase(cycles, 0)) * np.sin(phase(0, cycles))
    return square(fields, rng.uniform(1, 8))


def _zigzag(rng: np.random.Generator) -> Tile:
    """Chevrons: bars shifted by a triangle wave."""
    cycles, bends = whole(rng, 14, 36), whole(rng, 6, 16)
    triangle = np.arcsin(np.sin(phase(bends, 0)))
    return square(np.sin(phase(0, cycles) + rng.uniform(1, 2.5) * triangle), 2)


def _crosshatch(rng: np.random.Generator) -> Tile:
    """Two families of thin lines, slightly wavy, darker where they cross."""
    cycles, other = whole(rng, 10, 28), whole(rng, 10, 28)
    waver = rng.uniform(0.2, 0.8) * noise(rng, 1, 6)
    first = np.cos(phase(cycles, cycles) + waver)
    second = np.cos(phase(other, -other) - waver)
    lines: Tile = np.exp(4 * (first - 1)) + np.exp(4 * (second - 1))
    return -lines


def _weave(rng: np.random.Generator) -> Tile:
    """Plain weave: threads that pass over and under each other."""
    cycles = whole(rng, 10, 24)
    x, y = phase(cycles, 0), phase(0, cycles)
    over = np.sin(x) * np.sin(y) > 0
    return np.where(over, np.abs(np.sin(x)), np.abs(np.sin(y)) - rng.uniform(0, 0.5))


def _canvas(rng: np.random.Generator) -> Tile:
    """A coarse weave of uneven threads."""
    return _weave(rng) + rng.uniform(0.1, 0.3) * noise(rng, 10, 110)


def _twill(rng: np.random.Generator) -> Tile:
    """Diagonal ribs made of short threads."""
    cycles = whole(rng, 8, 20)
    ribs = square(np.sin(phase(cycles, cycles)), rng.uniform(1, 4))
    return ribs + rng.uniform(0.3, 1) * np.abs(np.sin(phase(0, 2 * cycles))) * (ribs > 0)


def _dots(rng: np.random.Generator) -> Tile:
    """Round dots scattered at random, of one size."""
    distances, _ = scattered(rng, whole(rng, 150, 700))
    return -square(distances[..., 0] - rng.uniform(1.5, 4), 1)


def _halftone(rng: np.random.Generator) -> Tile:
    """A raster of dots that swell and shrink."""
    cycles = whole(rng, 16, 36)
    raster = np.cos(phase(cycles, cycles)) + np.cos(phase(cycles, -cycles))
    return square(raster / 2 + 0.25 * noise(rng, 1, 5), 4)


def _cells(rng: np.random.Generator) -> Tile:
    """Voronoi cells, each of its own grey, with dark joints."""
    distances, numbers = scattered(rng, count := whole(rng, 250, 1000), nearest=2)
    joints = np.exp(-(distances[..., 1] - distances[..., 0]))
    return rng.uniform(0, 1, count)[numbers] - rng.uniform(0.5, 1.5) * joints


def _pebbles(rng: np.random.Generator) -> Tile:
    """Rounded stones lit from one side."""
    distances, _ = scattered(rng, whole(rng, 400, 1000))
    height = blur(-distances[..., 0], 1)
    return np.roll(height, 1, 0) - np.roll(height, -1, 0) + np.roll(height, 1, 1) + 0.2 * height


def _wood(rng: np.random.Generator) -> Tile:
    """Long rings with fine fibres along them."""
    rings = phase(whole(rng, 8, 18), 0) + rng.uniform(1, 2.5) * noise(rng, 1, 4)
    fibres = np.repeat(rng.standard_normal((1, SIZE)), SIZE, 0)
    return np.sin(rings) ** 3 + rng.uniform(0.2, 0.5) * (fibres + 0.5 * noise(rng, 20, 110))


def _scratches(rng: np.random.Generator) -> Tile:
    """Straight scratches in one main direction."""
    count, length = whole(rng, 40, 120), rng.uniform(30, 120)
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
    return np.tanh(2 * blur(tile, rng.uniform(0.6, 1.2)))


def _speckle(rng: np.random.Generator) -> Tile:
    """Grains: isolated light and dark specks."""
    tile = noise(rng, 20, rng.uniform(50, 110))
    return np.sign(tile) * np.maximum(np.abs(tile) - rng.uniform(0.8, 1.6), 0)


def _bricks(rng: np.random.Generator) -> Tile:
    """A wall in stack, running or third bond: flat or varied faces, thin or wide joints."""
    offsets = whole(rng, 1, 4)  # rows until one lies above another
    courses, per_course = offsets * whole(rng, 12 // offsets, 30 // offsets), whole(rng, 5, 14)
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
    return polarity * tile + rng.uniform(0.02, 0.2) * noise(rng, 10, 110)


def _planks(rng: np.random.Generator) -> Tile:
    """Rows of bars of unequal length, in two tones or many, along fine fibres."""
    rows, per_row = whole(rng, 16, 48), whole(rng, 4, 14)
    cuts = np.sort(rng.uniform(0, SIZE, (rows, per_row)), axis=1)
    greys = rng.standard_normal((rows, per_row))
    greys = np.sign(greys) * np.abs(greys) ** rng.uniform(0.3, 1.6)
    row = np.arange(SIZE) * rows // SIZE
    bar = np.stack([np.searchsorted(line, np.arange(SIZE)) % per_row for line in cuts])
    faces = greys[row[:, None], bar[row]]
    fibres = noise(rng, 20, 110) + np.repeat(rng.standard_normal((SIZE, 1)), SIZE, 1)
    return blur(faces, rng.uniform(0.3, 0.8)) + rng.uniform(0, 0.3) * fibres


def _grain(rng: np.random.Generator) -> Tile:
    """Wood with knots: dark lines of uneven strength that run down it and around them."""
    distances, _ = scattered(rng, whole(rng, 2, 8))
    knots = np.exp(-((distances[..., 0] / rng.uniform(8, 24)) ** 2))
    warp = rng.uniform(1, 4) * drawn_out(noise(rng, 1, 8), rng.uniform(5, 25))
    rings = phase(whole(rng, 8, 24), 0) + warp + 2 * np.pi * rng.uniform(1, 5) * knots
    strength = np.exp(rng.uniform(0.2, 0.6) * drawn_out(noise(rng, 3, 30), rng.uniform(2, 10)))
    lines = np.exp(rng.uniform(0.5, 4) * (np.sin(rings) - 1))
    fibres = drawn_out(noise(rng, 20, 110), rng.uniform(2, 10))
    return -strength * lines - rng.uniform(0, 1) * knots + rng.uniform(0.1, 0.4) * fibres


def _granite(rng: np.random.Generator) -> Tile:
    """Crystals: patches of a few greys with sharp borders, at several sizes."""
    tile = np.zeros((SIZE, SIZE))
    for low in (8, 16, 32):
        tile += rng.uniform(0.2, 1) * np.round(noise(rng, low, 3 * low) * rng.uniform(0.6, 1.2))
    return blur(tile, rng.uniform(0.3, 0.8))


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
