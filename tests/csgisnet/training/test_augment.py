"""Views: one draw for all maps, exact where nothing is resampled, a function of their key alone."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from csgisnet.training.augment import (
    AugmentConfig,
    Changes,
    Views,
    change_textures,
    draw_views,
    pack_changes,
    recolour,
    sample_keys,
    unpack_changes,
)
from csgisnet.training.cut import cut_views

EXACT = AugmentConfig(permute=True, invert=True, flip_texture=True)
RESAMPLED = AugmentConfig(max_angle=20.0, scale=(0.8, 1.25))
PATCH = 16


def views_of(config: AugmentConfig, count: int, side: int = 64, epoch: int = 0) -> Views:
    indices = np.arange(count)
    keys = sample_keys(7, np.full(count, epoch), indices)
    return draw_views(config, PATCH, keys, np.full((count, 2), side))


def changes_of(views: Views) -> Changes:
    return unpack_changes(pack_changes(views))


def windows_of(maps: dict[str, Tensor], views: Views, side: int) -> dict[str, Tensor]:
    """Cut the views' windows out of whole maps (B, H, W, ...)."""
    corners = list(zip(views.tops, views.lefts, strict=True))
    return {
        name: torch.stack([m[i, t : t + side, x : x + side] for i, (t, x) in enumerate(corners)])
        for name, m in maps.items()
    }


def random_maps(count: int, side: int = 64) -> dict[str, Tensor]:
    rng = np.random.default_rng(3)
    label = torch.from_numpy(rng.integers(40, 216, (count, side, side, 3), dtype=np.uint8))
    texture = torch.from_numpy(rng.integers(-40, 40, (count, side, side), dtype=np.int16))
    textured = (label.to(torch.int16) + texture[..., None]).to(torch.uint8)
    mask = (label[..., 0] // 16).clone()
    return {"input": textured, "label": label, "texture": texture, "mask": mask, "over": label + 1}


def test_input_minus_texture_is_the_label_in_200_of_200_draws() -> None:
    views = views_of(EXACT, 200)
    patches = cut_views(windows_of(random_maps(200), views, PATCH), changes_of(views), EXACT, PATCH)
    rebuilt = patches["label"].to(torch.int16) + patches["texture"][..., None]
    assert torch.equal(patches["input"], rebuilt.to(torch.uint8))
    assert torch.equal(patches["over"], patches["label"] + 1)
    assert torch.equal(patches["mask"], patches["label"][..., 0] // 16)
    assert {p.dtype for p in patches.values()} == {torch.uint8, torch.int16}


def test_all_eight_symmetries_occur_and_pixels_are_kept() -> None:
    views = views_of(EXACT, 100)
    window = torch.arange(PATCH * PATCH, dtype=torch.int16).reshape(1, PATCH, PATCH)
    patches = cut_views({"texture": window.expand(100, -1, -1)}, changes_of(views), EXACT, PATCH)[
        "texture"
    ]
    assert len({p.numpy().tobytes() for p in patches}) == 8
    assert torch.equal(patches.flatten(1).sort().values, window.flatten(1).expand(100, -1))


def test_resampled_views_show_the_same_place_in_every_map() -> None:
    """On a linear ramp bilinear interpolation is exact: the label tells where each pixel lies."""
    window = RESAMPLED.window(PATCH)
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    label = torch.stack([x, y, x + y], dim=-1).expand(50, -1, -1, -1)
    place = (y * 64 + x).expand(50, -1, -1)
    maps = {"label": label, "over": 255 - label, "mask": place, "edge": place % 3}
    views = views_of(RESAMPLED, 50)
    patches = cut_views(windows_of(maps, views, window), changes_of(views), RESAMPLED, PATCH)
    torch.testing.assert_close(patches["over"], 255 - patches["label"], atol=1e-3, rtol=0)
    nearest = torch.stack([patches["mask"] % 64, patches["mask"] // 64], dim=-1)
    assert (nearest - patches["label"][..., :2]).abs().max() <= 0.5 + 1e-3
    assert torch.equal(patches["edge"], patches["mask"] % 3)


@pytest.mark.parametrize("shape", [(64, 64), (19, 80), (PATCH - 5, 30)])
def test_no_view_leaves_its_photograph(shape: tuple[int, int]) -> None:
    config, count = AugmentConfig(max_angle=45.0, scale=(0.6, 1.5)), 200
    keys = sample_keys(1, np.zeros(count, np.int64), np.arange(count))
    views = draw_views(config, PATCH, keys, np.array([shape] * count))
    corner = (PATCH - 1) / 2
    square = np.array([[x, y, 1] for x in (-corner, corner) for y in (-corner, corner)])
    at = (
        np.einsum("bij,nj->bni", views.affine, square)
        + np.stack([views.lefts, views.tops], 1)[:, None]
    )
    assert at.min() >= -1e-9
    assert (at <= np.array([shape[1], shape[0]]) - 1 + 1e-9).all()


def test_a_view_depends_on_seed_epoch_and_index_only() -> None:
    keys = sample_keys(7, np.array([0, 1, 0, 0]), np.array([4, 4, 5, 4]))
    keys[3] = sample_keys(8, np.array([0]), np.array([4]))
    views = draw_views(RESAMPLED, PATCH, keys, np.full((4, 2), 500))
    alone = draw_views(RESAMPLED, PATCH, keys[:1], np.full((1, 2), 500))
    np.testing.assert_array_equal(alone.affine, views.affine[:1])
    assert alone.tops[0] == views.tops[0]
    assert len({views.affine[i].tobytes() for i in range(4)}) == 4


def test_windows_reach_every_border() -> None:
    views = views_of(EXACT, 2000)
    assert (views.tops.min(), views.tops.max()) == (0, 64 - PATCH)
    assert (views.lefts.min(), views.lefts.max()) == (0, 64 - PATCH)


def test_what_views_do_survives_packing() -> None:
    views = views_of(RESAMPLED, 20)
    packed = pack_changes(views)
    assert packed.shape == (20, 25)
    assert packed.dtype == torch.float32
    changes = unpack_changes(packed)
    np.testing.assert_array_equal(changes.turns, views.turns)
    np.testing.assert_array_equal(changes.affine, views.affine.astype(np.float32))
    np.testing.assert_array_equal(changes.colour, views.colour.astype(np.float32))
    np.testing.assert_array_equal(changes.gains, views.gains.astype(np.float32))
    np.testing.assert_array_equal(changes.levels, views.levels.astype(np.float32))


def test_recolour_changes_all_images_of_a_sample_alike() -> None:
    config = AugmentConfig(brightness=0.1, contrast=0.2, saturation=0.3)
    views = views_of(config, 20)
    label = torch.rand(20, 1, 3, 4, 4) * 0.2 + 0.4
    texture = torch.rand(20, 1, 1, 4, 4) * 0.1
    changed = recolour(torch.cat([label, label + texture, label], dim=1), changes_of(views))
    assert torch.equal(changed[:, 0], changed[:, 2])
    grey = (changed[:, 1] - changed[:, 0]).flatten(2)
    torch.testing.assert_close(grey, grey[:, :1].expand_as(grey), atol=1e-6, rtol=0)
    assert not torch.allclose(changed[:, 0], label[:, 0])


def test_channels_are_permuted_and_inverted_exactly() -> None:
    views = views_of(EXACT, 60)
    images = torch.randint(256, (60, 2, 3, 4, 4)).float() / 255
    changed = recolour(images, changes_of(views))
    orders = set()
    for before, after in zip(images, changed, strict=True):
        exact = [
            (order, inverted)
            for order in itertools.permutations(range(3))
            for inverted in (False, True)
            if torch.equal(after, 1 - before[:, order] if inverted else before[:, order])
        ]
        assert len(exact) == 1
        orders.add(exact[0])
    assert len(orders) == 12


def test_a_texture_changes_its_sign_exactly_and_its_label_not() -> None:
    views = views_of(AugmentConfig(flip_texture=True), 40)
    label = torch.randint(60, 196, (40, 1, 3, 4, 4)).float()
    texture = torch.randint(-60, 61, (40, 1, 3, 4, 4)).float()
    images = torch.cat([label + texture, label], dim=1)
    changed = 255 * change_textures(images / 255, label[:, 0] / 255, changes_of(views))
    signs = torch.from_numpy(views.gains)[:, None, None, None].float()
    assert set(views.gains) == {-1.0, 1.0}
    torch.testing.assert_close(
        changed[:, 0], label[:, 0] + signs * texture[:, 0], atol=1e-4, rtol=0
    )
    torch.testing.assert_close(changed[:, 1], label[:, 0], atol=1e-4, rtol=0)


def test_some_samples_have_no_texture_and_the_others_are_as_even_as_before() -> None:
    config = AugmentConfig(texture_gain=(0.1, 1.0), untextured=0.25)
    gains = views_of(config, 400).gains
    bare = gains == 0
    assert 0.2 < bare.mean() < 0.3
    assert gains[~bare].min() >= 0.1
    assert abs(np.log(gains[~bare]).mean() - np.log(np.sqrt(0.1))) < 0.1
    with pytest.raises(ValueError, match=r"untextured must be in \[0, 1\)"):
        AugmentConfig(untextured=1.0)


def test_gains_are_even_in_their_logarithm() -> None:
    gains = views_of(AugmentConfig(texture_gain=(0.1, 1.0)), 400).gains
    assert 0.1 <= gains.min() < 0.12
    assert 0.9 < gains.max() <= 1.0
    assert abs(np.log(gains).mean() - np.log(np.sqrt(0.1))) < 0.1


def test_a_quarter_of_the_levels_is_at_either_end() -> None:
    levels = views_of(EXACT, 400).levels
    assert 70 < (levels == 0).sum() < 130
    assert 70 < (levels == 1).sum() < 130
    assert ((levels >= 0) & (levels <= 1)).all()


def test_any_share_of_the_levels_can_be_zero() -> None:
    levels = views_of(AugmentConfig(level_zero=0.7), 4000).levels
    assert abs((levels == 0).mean() - 0.7) < 0.03
    assert abs((levels == 1).mean() - 0.1) < 0.02
    between = levels[(levels > 0) & (levels < 1)]
    assert abs(np.median(between) - 0.5) < 0.05


def test_half_of_the_inputs_are_spoilt_evenly_up_to_the_limits() -> None:
    views = views_of(AugmentConfig(noise=0.04, jpeg=40), 4000)
    noisy = views.deviations[views.deviations > 0]
    stored = views.qualities[views.qualities > 0]
    for some, low, high in ((noisy, 0, 0.04), (stored, 40, 96)):
        assert 0.46 < len(some) / 4000 < 0.54
        assert low <= some.min() < low + 0.02 * (high - low)
        assert high - 0.02 * (high - low) < some.max() <= high
        assert some.mean() == pytest.approx((low + high) / 2, rel=0.05)
    none = views_of(AugmentConfig(), 100)
    assert not none.deviations.any()
    assert not none.qualities.any()


def test_saturation_leaves_grey_as_it_is() -> None:
    views = views_of(AugmentConfig(saturation=0.5), 20)
    grey = torch.rand(20, 1, 1, 4, 4).expand(-1, -1, 3, -1, -1)
    torch.testing.assert_close(recolour(grey, changes_of(views)), grey)


@pytest.mark.parametrize(
    ("field", "value"), [("max_angle", 50.0), ("scale", (1.2, 1.0)), ("contrast", 1.0)]
)
def test_settings_out_of_range_are_refused(field: str, value: object) -> None:
    with pytest.raises(ValueError, match=field):
        AugmentConfig(**{field: value})  # type: ignore[arg-type]
