"""Texture fields: photographed or procedural tiles, repeated over an image, minus their mean."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vocsmooth.errors import InputError
from vocsmooth.files import AnyPath, as_path_or_none, sha256_file
from vocsmooth.folders import list_tree
from vocsmooth.images.reading import read_rgb
from vocsmooth.maps.procedural import FAMILIES, draw_tile
from vocsmooth.maps.texture_settings import Textures
from vocsmooth.operators.edges import luminance
from vocsmooth.seeds import generator
from vocsmooth.settings import to_dict
from vocsmooth.sources.photographs import bundled_folder

BUNDLED = ("brick.png", "grass.png", "gravel.png")
"""Photographs that scikit-image carries in its wheel (all three CC0)."""

_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")

_OVERLAP = 0.125  # share of a photographic tile's side that is blended away to make it seamless


@dataclass(frozen=True, kw_only=True)
class TextureSource:
    """The textures to draw from; small and picklable, images are read where they are used."""

    folder: Path | None
    """Folder of the photographs; None for the bundled ones, wherever they are installed."""
    photographs: tuple[tuple[str, str], ...]
    """Path inside the folder and SHA-256 of each photograph, sorted by path."""
    families: tuple[str, ...] = ()
    """Procedural families, see `vocsmooth.maps.procedural`."""

    @property
    def names(self) -> tuple[str, ...]:
        """Paths of the photographs inside the folder, then the families."""
        return tuple(name for name, _ in self.photographs) + self.families

    def tile(self, name: str, rng: np.random.Generator) -> NDArray[np.float32]:
        """Return a tile in grey levels: an unchanged photograph, or a fresh tile of a family."""
        if name in self.families:
            return draw_tile(name, rng)
        return _read_tile((self.folder or bundled_folder()) / name, dict(self.photographs)[name])


@dataclass(frozen=True, kw_only=True)
class Placement:
    """How a tile is laid over an image."""

    strength: tuple[float, ...] = (1.0,)
    """Factor on the grey values: one for all channels, or one for each."""
    scale: float = 1.0
    """Magnification."""
    angle: float = 0.0
    """Turn in degrees, counter-clockwise on the screen."""
    phase: tuple[float, float] = (0.0, 0.0)
    """Shift down and right, as shares of the tile's sides."""


def open_textures(folder: AnyPath | None = None, *, procedural: bool = False) -> TextureSource:
    """Take the images in a folder and below as textures, or the bundled photographs and families.

    With `procedural` the families are drawn from beside the images of a folder, too.

    Raises
    ------
    InputError
        The folder is missing or has no images, or one of them cannot be read.
    """
    folder = as_path_or_none(folder, "folder")
    if folder is None:
        return TextureSource(
            folder=None,
            photographs=tuple((name, sha256_file(bundled_folder() / name)) for name in BUNDLED),
            families=tuple(FAMILIES),
        )
    if not folder.is_dir():
        raise InputError(f"The texture folder {folder} is not a folder.")
    paths = [path for path in list_tree(folder) if path.suffix.lower() in _SUFFIXES]
    if not paths:
        raise InputError(f"The texture folder {folder} holds no images ({', '.join(_SUFFIXES)}).")
    for path in paths:
        read_rgb(path)  # a bad file is named now, not after hours
    names = (path.relative_to(folder).as_posix() for path in paths)
    hashes = (sha256_file(path) for path in paths)
    return TextureSource(
        folder=folder,
        photographs=tuple(zip(names, hashes, strict=True)),
        families=tuple(FAMILIES) if procedural else (),
    )


def draw_fields(
    source: TextureSource, settings: Textures, shape: tuple[int, int], *, seed: int, image_id: str
) -> Iterator[tuple[NDArray[np.int16], dict[str, Any]]]:
    """Draw the texture fields of one photograph.

    Parameters
    ----------
    source : TextureSource
        From `open_textures`.
    settings : Textures
        The recipe's part.
    shape : (int, int)
        Height and width of the photograph.
    seed, image_id
        With the number of the field these decide everything that is random.

    Yields
    ------
    field : ndarray, (H, W) int16, or (H, W, 3) when `settings.color` is not 0
        Grey levels to add; the mean over the field is 0 up to rounding.
    provenance : dict
        The texture's name and its placement.
    """
    authors = settings.mode == "authors"
    for number in range(len(source.names) if authors else settings.count):
        if authors:
            name, placement = source.names[number], Placement()
            tile = source.tile(name, generator(seed, name, 0))
        else:
            rng = generator(seed, image_id, number)
            name = str(rng.choice(source.names))
            placement = draw_placement(settings, rng)
            tile = source.tile(name, rng)
            if name not in source.families:
                tile = _prepare(tile, settings)
        yield lay(tile, shape, placement), {"texture": name, **to_dict(placement)}


def lay(
    tile: NDArray[np.float32], shape: tuple[int, int], placement: Placement
) -> NDArray[np.int16]:
    """Tile a plane over an image, subtract its mean over the image, scale and round it.

    Pixel (y, x) of the image looks up the tile at R(angle) (y, x) / scale + phase, modulo the tile,
    by linear interpolation; a tile made smaller is blurred first so that it does not alias.

    Returns
    -------
    ndarray, int16
        (H, W), or (H, W, 3) when `placement.strength` has three entries.
    """
    height, width = shape
    if placement == Placement(strength=placement.strength):
        repeats = -(-height // tile.shape[0]), -(-width // tile.shape[1])
        field = np.tile(tile, repeats)[:height, :width].astype(np.float64)
    else:
        field = _sample(tile, shape, placement)
    field -= field.mean()
    strength = np.array(placement.strength)
    scaled = field * strength if len(strength) == 1 else field[..., None] * strength
    return np.asarray(np.rint(scaled).clip(-255, 255), np.int16)


def make_seamless(tile: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cut off an eighth of the length of each side, and cross-fade it into the other end.

    The weights are cosine and sine of the mean-free tile, so that the contrast stays the same
    across the blend where the two ends are unrelated.
    """
    mean = float(tile.mean())
    for axis in (0, 1):
        flipped = np.moveaxis(tile - mean, axis, 0)
        overlap = int(len(flipped) * _OVERLAP)
        if overlap:
            angle = np.linspace(0, np.pi / 2, overlap, dtype=np.float32)[:, None]
            start, end = flipped[:overlap], flipped[-overlap:]
            blend = np.sin(angle) * start + np.cos(angle) * end
            flipped = np.concatenate([blend, flipped[overlap:-overlap]])
        tile = np.moveaxis(flipped, 0, axis) + np.float32(mean)
    return tile


def _prepare(tile: NDArray[np.float32], settings: Textures) -> NDArray[np.float32]:
    """Make a photographic tile what the recipe asks for: seamless, evenly lit, of one contrast."""
    if settings.seamless:
        tile = make_seamless(tile)
    if settings.flatten:
        tile = tile - cv2.GaussianBlur(
            tile, (0, 0), settings.flatten, borderType=cv2.BORDER_REFLECT
        )
    if settings.contrast:
        tile = tile - tile.mean()
        gain = settings.contrast / max(float(tile.std()), 1.0)
        tile = (gain * tile).clip(-4 * settings.contrast, 4 * settings.contrast)
    return tile


def draw_placement(settings: Textures, rng: np.random.Generator) -> Placement:
    """Draw strength, scale (evenly in its logarithm), turn and phase."""
    low, high = np.log(settings.scale)
    strength = rng.uniform(*settings.strength)
    gains = 1 + rng.uniform(-settings.color, settings.color, 3)
    return Placement(
        strength=tuple(map(float, strength * gains)) if settings.color else (float(strength),),
        # Processors differ in the last bits of exponentials.
        scale=round(float(np.exp(rng.uniform(low, high))), 9),
        angle=float(rng.uniform(-settings.rotation, settings.rotation)),
        phase=(float(rng.random()), float(rng.random())),
    )


def _sample(
    tile: NDArray[np.float32], shape: tuple[int, int], placement: Placement
) -> NDArray[np.float64]:
    """Look the tile up at turned, scaled and shifted positions."""
    if placement.scale < 1:
        sigma = 0.5 * np.sqrt(placement.scale**-2 - 1)
        tile = ndimage.gaussian_filter(tile, sigma, mode="wrap")
    angle, (down, right) = np.deg2rad(placement.angle), placement.phase
    y, x = np.ogrid[: shape[0], : shape[1]]
    rows = (np.cos(angle) * y + np.sin(angle) * x) / placement.scale + down * tile.shape[0]
    columns = (np.cos(angle) * x - np.sin(angle) * y) / placement.scale + right * tile.shape[1]
    field: NDArray[np.float64] = ndimage.map_coordinates(
        tile, np.stack([rows, columns]), np.float64, order=1, mode="grid-wrap"
    )
    return field


@lru_cache(maxsize=16)
def _read_tile(path: Path, digest: str) -> NDArray[np.float32]:
    """Read an image as a grey plane; kept for the next input that draws it, hence read-only."""
    if sha256_file(path) != digest:
        raise InputError(
            f"{path}: the texture has changed since the build began; start the build again."
        )
    tile = luminance(read_rgb(path))
    tile.flags.writeable = False
    return tile
