"""Inputs of clean pictures and textures are exact, of one strength, and the same every time."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.blend_inputs import blend_folder
from vocsmooth.errors import InputError


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Four pictures, of which one is large and one is transparent on its left, and two textures."""
    pictures, textures = tmp_path / "pictures", tmp_path / "textures"
    pictures.mkdir()
    textures.mkdir()
    rng = np.random.default_rng(0)
    for name in "abc":
        flat = np.full((90, 120, 3), (120, 130, 140), np.uint8)
        cv2.imwrite(str(pictures / f"{name}.png"), flat)
    large = np.full((300, 960, 4), (120, 130, 140, 255), np.uint8)
    large[:, :480] = 0
    (pictures / "large").mkdir()
    cv2.imwrite(str(pictures / "large/d.png"), large)
    (pictures / "SOURCES.txt").write_text("drawn for tests")
    for name in "xy":
        cv2.imwrite(str(textures / f"{name}.png"), rng.integers(0, 256, (256, 256), np.uint8))
    return pictures, textures


def test_labels_are_the_pictures_and_textures_have_their_strength(
    folders: tuple[Path, Path],
) -> None:
    samples = blend_folder(*folders, seed=1)
    labels = [np.rint(255 * label) for _, label in samples]
    assert [label.shape for label in labels] == [(90, 120, 3)] * 3 + [(150, 480, 3)]
    assert all((label == (140, 130, 120)).all() for label in labels[:3])
    assert (labels[3][:, :240] == 128).all()
    assert (labels[3][:, 240:] == (140, 130, 120)).all()
    for (blended, _), label in zip(samples, labels, strict=True):
        texture = np.rint(255 * blended) - label
        assert abs(texture.mean()) < 0.5
        assert 0.7 * 14 < texture.std() < 1.3 * 16


def test_a_seed_decides_everything(folders: tuple[Path, Path]) -> None:
    first, again, other = (blend_folder(*folders, seed=seed) for seed in (1, 1, 2))
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(first, again, strict=True))
    assert not any(np.array_equal(a[0], b[0]) for a, b in zip(first, other, strict=True))


def test_half_of_the_textures_are_grey(folders: tuple[Path, Path]) -> None:
    greys = []
    for seed in range(8):
        for blended, label in blend_folder(*folders, seed=seed)[:3]:
            texture = np.rint(255 * (blended - label))
            greys.append(np.abs(texture - texture[..., :1]).max() == 0)
    assert 6 <= sum(greys) <= 18


def test_a_folder_without_pictures_is_an_error(folders: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty holds no pictures"):
        blend_folder(tmp_path / "empty", folders[1], seed=0)
