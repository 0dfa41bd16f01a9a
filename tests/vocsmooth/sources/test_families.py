"""Families of scenes: each is drawn of what it needs, from its seed alone, without shared files."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from vocsmooth.classes import VOID
from vocsmooth.errors import InputError, UnknownNameError
from vocsmooth.images.reading import read_rgb
from vocsmooth.seeds import generator
from vocsmooth.sources import scenes
from vocsmooth.sources.families import FAMILIES, Material, draw_family, split_material
from vocsmooth.sources.posterise import WAYS
from vocsmooth.sources.scenes import write_scene_tree

SIZE = (48, 64)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root, rng = tmp_path_factory.mktemp("material"), np.random.default_rng(3)
    for name in ("photographs", "drawings"):
        (root / name).mkdir()
    for number in range(24):
        noise = cv2.GaussianBlur(rng.uniform(0, 255, (80, 90, 3)), (0, 0), 6)
        noise = np.asarray(noise) - np.min(noise)
        photograph = (255 * noise / noise.max()).astype(np.uint8)
        Image.fromarray(photograph).save(root / f"photographs/{number}.png")
        drawing = np.zeros((40, 30, 4), np.uint8)
        cv2.circle(drawing, (15, 20), 10, (200, 30, 10 * number, 255), -1)
        Image.fromarray(drawing).save(root / f"drawings/{number}.png")
    return {name: root / name for name in ("photographs", "drawings")}


@pytest.fixture(scope="module")
def material(folders: dict[str, Path]) -> Material:
    files = {name: tuple(sorted(folder.iterdir())) for name, folder in folders.items()}
    return Material(pictures=(), photographs=files["photographs"], drawings=files["drawings"])


@pytest.mark.parametrize("family", FAMILIES)
def test_a_scene_is_a_picture_with_classes_and_depends_on_its_seed(
    family: str, material: Material
) -> None:
    one, again, other = (
        draw_family(generator(seed, "a", 0), SIZE, family, material) for seed in (1, 1, 2)
    )
    assert one.image.shape == (*SIZE, 3)
    assert one.mask.shape == SIZE
    assert one.image.dtype == one.mask.dtype == np.uint8
    assert one.image.std() > 1
    np.testing.assert_array_equal(one.image, again.image)
    np.testing.assert_array_equal(one.mask, again.mask)
    assert not np.array_equal(one.image, other.image)


@pytest.mark.parametrize("way", WAYS)
def test_posterising_takes_texture_away_and_leaves_colours(way: str) -> None:
    rng = np.random.default_rng(1)
    pixels = np.full((60, 60, 3), 60, np.uint8)
    pixels[:, 30:] = 190
    noisy = np.clip(pixels + rng.normal(0, 4, pixels.shape), 0, 255).astype(np.uint8)
    flat = 255 * WAYS[way](np.random.default_rng(5), noisy)
    assert flat[5:-5, 5:25].std() < 4
    assert flat.shape == pixels.shape


def test_a_photograph_stays_as_it_is(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (*SIZE, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    material = Material(photographs=(tmp_path / "a.png",))
    scene = draw_family(generator(1, "a", 0), SIZE, "photograph", material)
    assert any(np.array_equal(scene.image, turned) for turned in (noise, noise[:, ::-1]))
    assert (scene.mask == VOID).all()


def test_no_file_is_in_scenes_of_both_splits(material: Material) -> None:
    train, val = (set(split_material(material.drawings, split)) for split in ("train", "val"))
    assert train
    assert val
    assert not train & val
    assert train | val == set(material.drawings)


def test_a_tree_mixes_families_and_names_its_files(
    tmp_path: Path, folders: dict[str, Path]
) -> None:
    families = {"drawn": 0.0, "ragged": 1.0, "posterised": 1.0, "collage": 2.0}
    ids = write_scene_tree(
        tmp_path,
        {"train": 6, "val": 2},
        size=SIZE,
        seed=1,
        families=families,
        photographs=folders["photographs"],
        drawings=folders["drawings"],
    )
    assert len({read_rgb(tmp_path / f"JPEGImages/{i}.png").tobytes() for i in ids}) == 8
    assert "From the folder of drawings:" in (tmp_path / "SOURCES.txt").read_text()


def bytes_in(root: Path) -> dict[str, bytes]:
    files = [path for path in root.rglob("*") if path.is_file()]
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def test_the_files_do_not_depend_on_the_processes(
    tmp_path: Path, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scenes, "_WORTH", 1)
    seen: list[tuple[int, int]] = []
    for jobs in (1, 2):
        write_scene_tree(
            tmp_path / f"{jobs}",
            {"train": 8, "val": 3},
            size=SIZE,
            families={"drawn": 1.0, "ragged": 1.0, "posterised": 1.0, "collage": 1.0},
            photographs=folders["photographs"],
            drawings=folders["drawings"],
            jobs=jobs,
            progress=lambda done, total: seen.append((done, total)),
        )
    assert seen == [(done, 11) for done in range(1, 12)] * 2
    one, two = bytes_in(tmp_path / "1"), bytes_in(tmp_path / "2")
    assert one == two
    assert len(one) == 11 * 2 + 4


def test_families_without_their_files_and_unknown_ones_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'collage' is made of a folder of drawings"):
        write_scene_tree(tmp_path, {"train": 1}, families={"collage": 1})
    with pytest.raises(UnknownNameError, match=r"No family of scenes 'raged'.*ragged"):
        write_scene_tree(tmp_path, {"train": 1}, families={"raged": 1})
    with pytest.raises(InputError, match="must not all be 0"):
        write_scene_tree(tmp_path, {"train": 1}, families={"drawn": 0})
    assert not list(tmp_path.iterdir())


def test_an_empty_drawing_is_named(tmp_path: Path) -> None:
    empty = tmp_path / "empty.png"
    Image.fromarray(np.zeros((8, 8, 4), np.uint8)).save(empty)
    with pytest.raises(InputError, match=r"empty\.png: the drawing is transparent everywhere"):
        draw_family(generator(1, "a", 0), SIZE, "collage", Material(drawings=(empty,)))
