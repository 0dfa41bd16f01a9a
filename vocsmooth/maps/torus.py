"""The parts of procedural textures: arrays whose copies join without a seam."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.spatial import cKDTree

Tile = NDArray[np.float64]

SIZE = 256
"""Side of a tile, in pixels. Whatever is drawn repeats with this period."""


def noise(rng: np.random.Generator, low: float, high: float, slope: float = 0.0) -> Tile:
    """Draw noise of `low` to `high` cycles a tile, whose amplitude falls as frequency ** -slope."""
    spectrum = fft.rfft2(rng.standard_normal((SIZE, SIZE)))
    frequency = np.hypot(fft.fftfreq(SIZE, 1 / SIZE)[:, None], fft.rfftfreq(SIZE, 1 / SIZE))
    gain = np.exp(-((frequency / high) ** 4)) * (1 - np.exp(-((frequency / low) ** 4)))
    tile: Tile = fft.irfft2(spectrum * gain * np.maximum(frequency, 1) ** -slope, (SIZE, SIZE))
    tile /= tile.std()
    return tile


def blur(tile: Tile, sigma: float) -> Tile:
    """Blur a tile by a Gaussian."""
    gain = _gain(sigma)
    blurred: Tile = fft.irfft2(fft.rfft2(tile) * gain[:, None] * gain[: SIZE // 2 + 1], tile.shape)
    return blurred


def _gain(sigma: float) -> NDArray[np.float64]:
    """Return the factor by which a Gaussian blur damps each frequency of a line."""
    gain: NDArray[np.float64] = np.exp(-2 * (np.pi * sigma * fft.fftfreq(SIZE)) ** 2)
    return gain


def phase(cycles_x: int, cycles_y: int) -> Tile:
    """Return the angle of a plane wave, which fits the tile if both numbers are whole."""
    steps: Tile = 2 * np.pi * (np.arange(SIZE) + 0.5) / SIZE
    return cycles_y * steps[:, None] + cycles_x * steps


def square(wave: Tile, sharpness: float = 4.0) -> Tile:
    """Turn a wave in -1..1 into plateaus with soft flanks."""
    plateaus: Tile = np.tanh(sharpness * wave)
    return plateaus


def whole(rng: np.random.Generator, low: int, high: int) -> int:
    """Draw a whole number from `low` to `high` - 1."""
    return int(rng.integers(low, high))


def direction(rng: np.random.Generator, low: int, high: int) -> tuple[int, int]:
    """Draw whole cycles along x and y with low to high cycles together."""
    angle, cycles = rng.uniform(0, np.pi), rng.uniform(low, high)
    return round(cycles * np.cos(angle)), round(cycles * np.sin(angle)) or low


def scattered(
    rng: np.random.Generator, count: int, nearest: int = 1
) -> tuple[Tile, NDArray[np.int_]]:
    """Scatter points; return distances to the `nearest` ones, and the number of the nearest one."""
    points = rng.uniform(0, SIZE, (count, 2))
    rows, columns = np.indices((SIZE, SIZE))
    pixels = np.stack([rows, columns], -1).reshape(-1, 2)
    distances, numbers = cKDTree(points, boxsize=SIZE).query(pixels, k=range(1, nearest + 1))
    return distances.reshape(SIZE, SIZE, nearest), numbers[:, 0].reshape(SIZE, SIZE)


def drawn_out(tile: Tile, sigma: float) -> Tile:
    """Stretch noise from top to bottom, and bring it to a standard deviation of 1."""
    drawn: Tile = fft.ifft(fft.fft(tile, axis=0) * _gain(sigma)[:, None], axis=0).real
    drawn /= drawn.std()
    return drawn
