"""Texture sources, placement, determinism."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from vocsmooth.errors import InputError
from vocsmooth.maps.procedural import FAMILIES
from vocsmooth.maps.texture_settings import Textures
from vocsmooth.maps.textures import (
    BUNDLED,
    Placement,
    draw_fields,
    lay,
    make_seamless,
    open_textures,
)
from vocsmooth.seeds import generator

RAMP = np.arange(20, dtype=np.float32).reshape(4, 5)
SHAPE = (60, 70)


Drawn = list[tuple[NDArray[np.int16], dict[str, Any]]]


def draw(settings: Textures, image_id: str = "a", seed: int = 0, count: int | None = None) -> Drawn:
    drawn = list(draw_fields(open_textures(), settings, SHAPE, seed=seed, image_id=image_id))
    return drawn[:count]


def test_bundled_set_has_photographs_and_families() -> None:
    source = open_textures()
    assert source.names == (*BUNDLED, *FAMILIES)
    rng = np.random.default_rng(0)
    assert source.tile("grass.png", rng).shape == (512, 512)
    assert len(pickle.dumps(source)) < 2000


def test_folder_of_images_in_several_formats(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    Image.new("RGB", (6, 4), (255, 0, 0)).save(tmp_path / "more/b.PNG")
    Image.new("L", (6, 4), 100).save(tmp_path / "a.tif")
    (tmp_path / "notes.txt").write_text("not a texture")
    source = open_textures(tmp_path)
    assert source.names == ("a.tif", "more/b.PNG")
    rng = np.random.default_rng(0)
    np.testing.assert_allclose(source.tile("a.tif", rng), np.full((4, 6), 100), rtol=1e-5)
    np.testing.assert_allclose(source.tile("more/b.PNG", rng), np.full((4, 6), 76.245), rtol=1e-5)


def test_folder_identity_follows_its_bytes(tmp_path: Path) -> None:
    Image.new("L", (6, 4), 100).save(tmp_path / "a.png")
    before = open_textures(tmp_path)
    assert open_textures(tmp_path) == before
    assert before.tile("a.png", np.random.default_rng(0)).flags.writeable is False
    Image.new("L", (6, 4), 101).save(tmp_path / "a.png")
    after = open_textures(tmp_path)
    assert after != before
    np.testing.assert_allclose(after.tile("a.png", np.random.default_rng(0)), 101, rtol=1e-5)


def test_a_texture_that_changes_during_a_build_is_found_out(tmp_path: Path) -> None:
    Image.new("L", (6, 4), 100).save(tmp_path / "a.png")
    source = open_textures(tmp_path)
    Image.new("L", (6, 4), 101).save(tmp_path / "a.png")
    with pytest.raises(InputError, match=r"a\.png: the texture has changed"):
        source.tile("a.png", np.random.default_rng(0))


def test_bad_folders(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not a folder"):
        open_textures(tmp_path / "none")
    with pytest.raises(InputError, match="holds no images"):
        open_textures(tmp_path)
    (tmp_path / "broken.png").write_bytes(b"no image")
    with pytest.raises(InputError, match=r"broken\.png"):
        open_textures(tmp_path)


def test_plain_placement_tiles_and_takes_the_mean_off() -> None:
    field = lay(RAMP, (7, 11), Placement())
    tiled = np.tile(RAMP, (2, 3))[:7, :11]
    np.testing.assert_array_equal(field, np.rint(tiled - tiled.mean(dtype=np.float64)))
    assert field.dtype == np.int16


@pytest.mark.parametrize(
    "placement",
    [
        Placement(strength=(0.7,), scale=0.6, angle=33.0, phase=(0.2, 0.9)),
        Placement(strength=(2.0,), scale=1.7, angle=-120.0, phase=(0.5, 0.1)),
        Placement(strength=(1.0, 0.5, 0.8)),
    ],
)
def test_zero_mean_over_the_field(placement: Placement) -> None:
    tile = np.random.default_rng(0).normal(100, 40, (64, 50)).astype(np.float32)
    field = lay(tile, (61, 83), placement)
    assert np.abs(field.mean((0, 1))).max() < 0.05


def test_quarter_turn_half_phase_and_double_scale_are_exact() -> None:
    tile = np.random.default_rng(0).integers(-50, 50, (8, 8)).astype(np.float32)
    tile[0, 0] -= tile.sum() % tile.size  # a whole mean, so that nothing is rounded
    mean = tile.mean(dtype=np.float64)
    shifted = lay(tile, (8, 8), Placement(phase=(0.5, 0.25)))
    np.testing.assert_array_equal(shifted, np.roll(tile, (-4, -2), (0, 1)) - mean)
    turned = lay(tile, (8, 8), Placement(angle=90.0))  # counter-clockwise about the first pixel
    np.testing.assert_array_equal(turned, np.roll(np.rot90(tile), 1, 0) - mean)
    doubled = lay(tile, (16, 16), Placement(scale=2.0))
    np.testing.assert_array_equal(doubled[::2, ::2], tile - mean)


def test_shrinking_does_not_alias() -> None:
    checks = np.where(np.indices((64, 64)).sum(0) % 2, np.float32(50), np.float32(-50))
    shrunk = lay(checks, (40, 40), Placement(scale=0.4))
    assert np.abs(shrunk).max() < 5


def test_seamless_keeps_mean_and_contrast_and_has_no_seam() -> None:
    rows, columns = np.indices((128, 160))
    rng = np.random.default_rng(0)
    tile = (rows + columns + rng.normal(0, 5, (128, 160))).astype(np.float32)
    result = make_seamless(tile)
    assert result.shape == (112, 140)
    for axis in (0, 1):
        steps = np.abs(result - np.roll(result, 1, axis)).mean(1 - axis)
        assert steps[0] < 2 * np.median(steps)
    noise = rng.normal(0, 30, (256, 256)).astype(np.float32)
    assert make_seamless(noise)[:32].std() == pytest.approx(30, rel=0.05)


@pytest.mark.parametrize(("seamless", "period"), [(True, 112), (False, 128)])
def test_tiles_are_made_seamless_where_the_recipe_asks(
    seamless: bool, period: int, tmp_path: Path
) -> None:
    """An eighth of a tile goes into the blend, so its copies follow each other sooner."""
    noise = np.random.default_rng(0).integers(0, 256, (128, 128), np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    settings = Textures(count=1, scale=(1, 1), rotation=0, seamless=seamless)
    source = open_textures(tmp_path)
    ((field, _),) = draw_fields(source, settings, (48, 300), seed=0, image_id="x")
    np.testing.assert_array_equal(field[:, period:], field[:, :-period])


def test_fields_depend_on_seed_id_and_number_only() -> None:
    settings = Textures(count=3)
    first, again = draw(settings), draw(Textures(count=5), count=3)
    for (field, provenance), (same, same_provenance) in zip(first, again, strict=True):
        np.testing.assert_array_equal(field, same)
        assert provenance == same_provenance
    others = [draw(settings, image_id="b"), draw(settings, seed=1), first[1:]]
    assert all(other[0][1] != first[0][1] for other in others)
    keys = {generator(*key).random() for key in ((0, "a", 0), (0, "a", 1), (1, "a", 0))}
    assert len(keys) == 3


def test_draws_stay_in_the_recipes_ranges() -> None:
    settings = Textures(count=40, strength=(0.5, 0.7), scale=(0.8, 1.2), rotation=10, color=0.1)
    for field, provenance in draw(settings):
        assert field.shape == (*SHAPE, 3)
        assert all(0.5 * 0.9 <= s <= 0.7 * 1.1 for s in provenance["strength"])
        assert 0.8 <= provenance["scale"] <= 1.2
        assert abs(provenance["angle"]) <= 10
    assert len({provenance["texture"] for _, provenance in draw(settings)}) > 10


def test_authors_mode_is_every_texture_as_it_is(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        Image.fromarray(rng.integers(0, 256, (20, 30), np.uint8)).save(tmp_path / f"{name}.png")
    settings = Textures(mode="authors", strength=(0.1, 0.1))
    source = open_textures(tmp_path)
    drawn = list(draw_fields(source, settings, SHAPE, seed=0, image_id="x"))
    assert [provenance["texture"] for _, provenance in drawn] == ["a.png", "b.png"]
    grey = np.asarray(Image.open(tmp_path / "b.png"), np.float64)
    tiled = np.tile(grey, (3, 3))[:60, :70]
    np.testing.assert_allclose(drawn[1][0], tiled - tiled.mean(), atol=0.5 + 1e-3)
    other = list(draw_fields(source, settings, SHAPE, seed=0, image_id="y"))
    np.testing.assert_array_equal(drawn[0][0], other[0][0])


def test_photographs_are_brought_to_one_contrast_and_evenly_lit(tmp_path: Path) -> None:
    """A faint pattern under a strong ramp: the ramp goes, the pattern gets the contrast asked."""
    columns, rows = np.meshgrid(np.arange(128), np.arange(96))
    grey = (30 + columns + 3 * ((columns // 4 + rows // 4) % 2)).astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "ramp.png")
    settings = Textures(
        count=1, strength=(1, 1), scale=(1, 1), rotation=0, seamless=False, contrast=20, flatten=8
    )
    source = open_textures(tmp_path)
    ((field, _),) = draw_fields(source, settings, (96, 128), seed=0, image_id="x")
    assert field.std() == pytest.approx(20, rel=0.2)  # a shift by parts of a pixel softens it
    inner = field[10:-10, 10:-10].astype(float)
    assert abs(inner[:, :20].mean() - inner[:, -20:].mean()) < 2


def test_a_folder_can_be_joined_by_the_families(tmp_path: Path) -> None:
    Image.fromarray(np.eye(8, dtype=np.uint8) * 255).save(tmp_path / "a.png")
    source = open_textures(tmp_path, procedural=True)
    assert source.names == ("a.png", *FAMILIES)
    assert source.tile("weave", np.random.default_rng(0)).shape == (256, 256)
