"""All maps of one photograph: exact arithmetic, provenance, refusals."""

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vocsmooth.arrays import to_float, to_uint
from vocsmooth.errors import InputError
from vocsmooth.images.reading import read_rgb
from vocsmooth.maps.photograph import make_maps
from vocsmooth.maps.recipe import Grid, Labels, Negative, Operator, Recipe
from vocsmooth.maps.texture_settings import Textures
from vocsmooth.maps.textures import TextureSource, open_textures
from vocsmooth.operators.edges import find_edges
from vocsmooth.operators.table import smooth
from vocsmooth.shards.entries import LeftOutEntry, failed_checks
from vocsmooth.shards.writer import ImageMaps
from vocsmooth.sources.listing import Photograph

RECIPE = Recipe(
    labels=Labels(
        candidates=(Grid(operator="guided", values={"radius": [2, 4], "eps": [0.001, 0.01]}),),
        fallback=Operator(operator="guided", params={"radius": 3}),
        min_score=0.3,
    ),
    textures=Textures(count=3),
    negatives=(
        Negative(
            name="over", operator="guided", params={"radius": 20, "eps": 1.0}, worse="boundaries"
        ),
        Negative(name="blurred", operator="guided", of="label"),
        Negative(
            name="under",
            operator="guided",
            params={"radius": 1, "eps": 0.001},
            of="input",
            worse="inside",
        ),
    ),
)


@pytest.fixture(scope="module")
def textures() -> TextureSource:
    return open_textures()


@pytest.fixture
def photo(tmp_path: Path) -> Photograph:
    """A disk with texture, its mask, as files."""
    y, x = np.indices((70, 90))
    mask = np.where((y - 35) ** 2 + (x - 40) ** 2 < 22**2, np.uint8(8), np.uint8(0))
    noise = np.random.default_rng(0).normal(0, 6, (70, 90, 1))
    colors = np.where(mask[..., None] > 0, [180, 120, 60], [60, 90, 140]) + noise
    Image.fromarray(colors.clip(0, 255).astype(np.uint8)).save(tmp_path / "a.jpg", quality=95)
    Image.fromarray(mask).save(tmp_path / "a.png")
    return Photograph(id="a", split="val", image=tmp_path / "a.jpg", mask=tmp_path / "a.png")


def make(photo: Photograph, textures: TextureSource, recipe: Recipe = RECIPE) -> ImageMaps:
    maps = make_maps(photo, recipe, textures, strict=True)
    assert isinstance(maps, ImageMaps)
    return maps


def test_maps_are_exactly_what_the_docs_say(photo: Photograph, textures: TextureSource) -> None:
    maps = make(photo, textures)
    assert (maps.id, maps.split) == ("a", "val")
    chosen = maps.provenance["label"]
    pixels = read_rgb(photo.image)
    label = to_uint(smooth(to_float(pixels), chosen["operator"], **chosen["params"]), np.uint8)
    np.testing.assert_array_equal(maps.label, label)
    np.testing.assert_array_equal(maps.edge, find_edges(label))
    assert maps.textures.shape == (3, 70, 90)
    assert maps.textures.dtype == np.int16
    wide = label.astype(int) + maps.textures[..., None]
    np.testing.assert_array_equal(maps.inputs, wide.clip(0, 255))
    assert maps.inputs.dtype == np.uint8
    assert set(np.unique(maps.mask)) == {0, 8}
    blurred = to_uint(smooth(to_float(label), "guided"), np.uint8)
    np.testing.assert_array_equal(maps.image_negatives["blurred"], blurred)
    assert set(maps.image_negatives) == {"over", "blurred"}
    under = smooth(to_float(maps.inputs[2]), "guided", radius=1, eps=0.001)
    np.testing.assert_array_equal(maps.input_negatives["under"][2], to_uint(under, np.uint8))
    assert maps.input_negatives["under"].shape == (3, 70, 90, 3)


def test_coloured_textures_have_three_channels(photo: Photograph, textures: TextureSource) -> None:
    recipe = dataclasses.replace(RECIPE, textures=Textures(count=2, color=0.2))
    maps = make(photo, textures, recipe)
    assert maps.textures.shape == (2, 70, 90, 3)
    wide = maps.label.astype(int) + maps.textures
    np.testing.assert_array_equal(maps.inputs, wide.clip(0, 255))


def test_provenance_says_where_everything_came_from(
    photo: Photograph, textures: TextureSource
) -> None:
    provenance = make(photo, textures).provenance
    assert json.loads(json.dumps(provenance, allow_nan=False)) == provenance
    digest = hashlib.sha256(photo.image.read_bytes()).hexdigest()
    assert provenance["image"] == {"file": "a.jpg", "sha256": digest}
    assert provenance["mask"]["file"] == "a.png"
    label = provenance["label"]
    assert label["method"] == "screened"
    assert len(label["candidates"]) == 4
    assert label["score"] == max(c["score"] for c in label["candidates"])
    assert len(provenance["textures"]) == 3
    assert {"texture", "strength", "scale", "angle", "phase"} == set(provenance["textures"][0])


def test_negatives_are_checked_against_the_label(
    photo: Photograph, textures: TextureSource
) -> None:
    checks = make(photo, textures).provenance["negatives"]
    assert checks["over"]["worse"] is True
    assert checks["over"]["values"][0] < checks["over"]["label"]
    assert checks["under"]["worse"] is True
    assert len(checks["under"]["values"]) == 3
    assert min(checks["under"]["values"]) > checks["under"]["label"]
    assert checks["blurred"] == {"worse": None}


def test_a_negative_that_is_no_worse_is_found_out(
    photo: Photograph, textures: TextureSource
) -> None:
    mild = Negative(
        name="over", operator="guided", params={"radius": 1, "eps": 1e-6}, worse="boundaries"
    )
    recipe = dataclasses.replace(RECIPE, negatives=(mild,))
    provenance = make(photo, textures, recipe).provenance
    assert provenance["negatives"]["over"]["worse"] is False
    assert failed_checks(provenance) == ("over",)
    assert failed_checks(make(photo, textures).provenance) == ()


def test_every_input_has_to_have_a_worse_negative(
    photo: Photograph, textures: TextureSource
) -> None:
    """Strong enough to take weak textures off, not so the strongest."""
    negative = Negative(
        name="under", operator="rtv", params={"lam": 0.005}, of="input", worse="inside"
    )
    recipe = dataclasses.replace(
        RECIPE, negatives=(negative,), textures=Textures(count=3, strength=(0, 1))
    )
    check = make(photo, textures, recipe).provenance["negatives"]["under"]
    assert min(check["values"]) < check["label"] < max(check["values"])
    assert check["worse"] is False


def test_same_maps_whatever_was_made_before(photo: Photograph, textures: TextureSource) -> None:
    first = make(photo, textures)
    make(dataclasses.replace(photo, id="b"), textures)
    again = make(photo, open_textures())
    for field in dataclasses.fields(ImageMaps):
        one, other = getattr(first, field.name), getattr(again, field.name)
        np.testing.assert_equal(one, other)
    assert not np.array_equal(
        first.textures, make(dataclasses.replace(photo, id="b"), textures).textures
    )


def test_without_a_mask_the_fallback_operator_is_used(
    photo: Photograph, textures: TextureSource
) -> None:
    maps = make(dataclasses.replace(photo, mask=None), textures)
    assert (maps.mask == 255).all()
    label = maps.provenance["label"]
    assert (label["method"], label["params"], label["score"]) == ("fallback", {"radius": 3}, None)
    assert maps.provenance["mask"] is None
    assert maps.provenance["negatives"]["over"] == {"worse": None}


def test_rejected_with_its_best_score(photo: Photograph, textures: TextureSource) -> None:
    labels = dataclasses.replace(RECIPE.labels, min_score=1.0)
    left_out = make_maps(photo, dataclasses.replace(RECIPE, labels=labels), textures, strict=True)
    assert isinstance(left_out, LeftOutEntry)
    assert left_out.kind == "rejected"
    best = left_out.provenance["label"]["score"]
    assert f"best label scores {best:.3f}, the recipe asks for 1.000" in left_out.reason


def damage(photo: Photograph, kind: str) -> Path:
    """Break the photograph's files; return the one to be named."""
    mask = photo.mask
    if mask is None:
        raise ValueError("the photograph needs a mask")
    if kind == "size":
        Image.new("L", (90, 71)).save(mask)
    elif kind == "value":
        Image.new("L", (90, 70), 200).save(mask)
    elif kind == "truncated":
        photo.image.write_bytes(photo.image.read_bytes()[:700])
    elif kind == "no image":
        photo.image.write_text("not a JPEG")
    elif kind == "missing mask":
        mask.unlink()
    elif kind == "folder":
        photo.image.unlink()
        photo.image.mkdir()
    else:
        photo.image.unlink()
    return mask if kind in ("size", "value", "missing mask") else photo.image


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("size", r"expected 90 x 70 like .*a\.jpg, got 90 x 71"),
        ("value", "200"),
        ("truncated", "truncated"),
        ("no image", "is not an image"),
        ("missing mask", "no such file|No such file"),
        ("missing image", "no such file|No such file"),
        ("folder", "a folder"),
    ],
)
def test_bad_files_leave_the_photograph_out(
    photo: Photograph, textures: TextureSource, kind: str, message: str
) -> None:
    path = damage(photo, kind)
    left_out = make_maps(photo, RECIPE, textures)
    assert isinstance(left_out, LeftOutEntry)
    assert (left_out.id, left_out.split, left_out.kind) == ("a", "val", "error")
    assert str(path) in left_out.reason
    with pytest.raises(InputError, match=message):
        make_maps(photo, RECIPE, textures, strict=True)


def test_a_texture_that_vanishes_is_an_error_of_the_photograph(
    photo: Photograph, tmp_path: Path
) -> None:
    folder = tmp_path / "textures"
    folder.mkdir()
    Image.new("L", (8, 8), 90).save(folder / "t.png")
    source = open_textures(folder)
    (folder / "t.png").unlink()
    left_out = make_maps(photo, RECIPE, source)
    assert isinstance(left_out, LeftOutEntry)
    assert left_out.kind == "error"
    assert left_out.reason.startswith(str(photo.image))
    assert "t.png" in left_out.reason
    with pytest.raises(FileNotFoundError):
        make_maps(photo, RECIPE, source, strict=True)


def test_copies_of_a_photograph_get_other_textures(
    photo: Photograph, textures: TextureSource, tmp_path: Path
) -> None:
    """Textures follow the id, not the pixels: duplicates in a tree still teach something."""
    copy = tmp_path / "b.jpg"
    shutil.copy(photo.image, copy)
    maps = make(dataclasses.replace(photo, id="b", image=copy), textures)
    np.testing.assert_array_equal(maps.label, make(photo, textures).label)
    assert not np.array_equal(maps.inputs, make(photo, textures).inputs)
