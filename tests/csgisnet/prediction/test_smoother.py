"""Prediction: tiles, folding and grey change nothing; misuse is named."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from networks import trained_network
from numpy.typing import NDArray

from csgisnet.checkpoints.networks import save_network
from csgisnet.errors import CheckpointError, ConfigError
from csgisnet.networks.smoothing import NetworkConfig
from csgisnet.prediction.loading import load
from csgisnet.prediction.smoother import Smoother

PLAIN = NetworkConfig(width=8, blocks=1, coarse_blocks=1, refine_blocks=1)
SHUFFLED = NetworkConfig(width=8, blocks=1, coarse_blocks=1, refine_blocks=1, shuffle=2, skip=True)


def picture(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(2).random(shape, dtype=np.float32)


@pytest.mark.parametrize("config", [PLAIN, SHUFFLED])
@pytest.mark.parametrize("shape", [(150, 201, 3), (97, 64, 3), (300, 70, 3)])
def test_tiles_give_what_the_whole_image_gives(
    config: NetworkConfig, shape: tuple[int, ...]
) -> None:
    network, image = trained_network(config), picture(*shape)
    tiled = Smoother(network, device="cpu", precision="float32", memory=1)  # the smallest tiles
    whole = Smoother(network, device="cpu", precision="float32")
    assert tiled.pixels < image.shape[0] * image.shape[1] < whole.pixels
    np.testing.assert_allclose(tiled.smooth(image), whole.smooth(image), atol=1e-5, rtol=0)
    with torch.no_grad():
        expected = network(torch.from_numpy(image).permute(2, 0, 1)[None]).result[0]
    plain = expected.permute(1, 2, 0).clamp(0, 1).numpy()
    np.testing.assert_allclose(whole.smooth(image), plain, atol=1e-5, rtol=0)


@pytest.mark.parametrize("config", [PLAIN, SHUFFLED])
def test_a_tile_sees_as_far_as_the_network_does(config: NetworkConfig) -> None:
    """With a smaller halo than the receptive radius tiles differ: the test above can fail."""
    network, image = trained_network(config), picture(150, 201, 3)
    smoother = Smoother(network, device="cpu", precision="float32", memory=1)
    expected = Smoother(network, device="cpu", precision="float32").smooth(image)
    smoother._halo = 4
    assert np.abs(smoother.smooth(image) - expected).max() > 1e-4


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("shape", [(90, 130, 3), (90, 130)])
def test_pixels_are_smoothed_as_floats_and_rounded(
    shape: tuple[int, ...], dtype: type[np.unsignedinteger[Any]]
) -> None:
    top = np.iinfo(dtype).max
    pixels = np.random.default_rng(3).integers(0, top, shape, dtype, endpoint=True)
    network = trained_network(SHUFFLED)
    for memory in (1, 1 << 30):
        smoother = Smoother(network, device="cpu", precision="float32", memory=memory)
        for strength in (1.0, 0.0, 0.5, 2.0):
            result, edges = smoother.smooth_pixels(pixels, strength)
            assert edges is None
            assert result.dtype == dtype
            image = pixels.astype(np.float32) / np.float32(top)
            expected = smoother.smooth(image, strength) * np.float32(top)
            np.testing.assert_array_equal(result, np.rint(expected))
        np.testing.assert_array_equal(smoother.smooth_pixels(pixels, 0.0)[0], pixels)


def test_edges_are_the_edge_head_at_eight_bits() -> None:
    network = trained_network(PLAIN)
    pixels = np.random.default_rng(3).integers(0, 256, (90, 201, 3), np.uint8)
    with torch.no_grad():
        x = torch.from_numpy(pixels / np.float32(255)).permute(2, 0, 1)[None]
        expected = network(x).edge[0, 0].sigmoid().numpy() * 255
    for memory in (1, 1 << 30):
        smoother = Smoother(network, device="cpu", precision="float32", memory=memory)
        smoothed, edges = smoother.smooth_pixels(pixels, with_edges=True)
        assert edges is not None
        assert edges.dtype == np.uint8
        np.testing.assert_allclose(edges, expected, atol=0.501)
        np.testing.assert_array_equal(smoothed, smoother.smooth_pixels(pixels)[0])


def test_batches_give_what_single_images_give() -> None:
    smoother = Smoother(trained_network(SHUFFLED), device="cpu", precision="float32", batch=4)
    alone = Smoother(trained_network(SHUFFLED), device="cpu", precision="float32")
    images = [picture(30, 40, 3) * np.float32(n / 12) for n in range(12)] + [picture(40, 30)]
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(smoother.smooth, images))
    for image, result in zip(images, results, strict=True):
        np.testing.assert_allclose(result, alone.smooth(image), atol=1e-5)


SCARCE = """
import resource, sys
import numpy as np
from csgisnet import load
file, allowed, height = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
smoother = load(file, device="cpu", precision="float32", memory=8 << 30)
image = np.random.default_rng(2).random((height, 1600, 3), dtype=np.float32)
smoother.smooth(image[:64, :64])
before = smoother.pixels
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + allowed, -1))
try:
    result = smoother.smooth(image)
except MemoryError as error:
    sys.exit(f"MemoryError: {error}")
resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
np.save(file + ".npy", result)
print(before, smoother.pixels)
"""


def smooth_scarcely(
    folder: Path, height: int, allowed: int
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """Smooth an image in a process that gets no more than `allowed` bytes for it."""
    path = folder / "net.safetensors"
    save_network(path, trained_network(SHUFFLED))
    line = [sys.executable, "-c", SCARCE, str(path), str(allowed), str(height)]
    return path, subprocess.run(line, capture_output=True, text=True, check=False)


@pytest.mark.skipif(sys.platform != "linux", reason="needs limits on address space")
def test_too_little_memory_makes_tiles_smaller(tmp_path: Path) -> None:
    path, result = smooth_scarcely(tmp_path, 2400, 200_000_000)
    assert result.returncode == 0, result.stderr
    before, after = map(int, result.stdout.split())
    assert after <= 2400 * 1600 / 2 < before
    expected = load(path, device="cpu", precision="float32").smooth(picture(2400, 1600, 3))
    np.testing.assert_allclose(np.load(f"{path}.npy"), expected, atol=1e-5)


@pytest.mark.skipif(sys.platform != "linux", reason="needs limits on address space")
def test_too_little_memory_for_any_tile_is_an_error(tmp_path: Path) -> None:
    _, result = smooth_scarcely(tmp_path, 200, 0)
    assert result.returncode == 1
    assert result.stderr.startswith("MemoryError: ")


@pytest.mark.parametrize("shape", [(1, 1), (1, 5, 3), (7, 2), (9, 9, 3)])
def test_any_shape_is_kept(shape: tuple[int, ...]) -> None:
    result = Smoother(trained_network(SHUFFLED), device="cpu", precision="float32").smooth(
        picture(*shape)
    )
    assert result.shape == shape
    assert result.dtype == np.float32
    assert 0 <= result.min() <= result.max() <= 1


def test_grey_is_smoothed_as_a_colour_image_of_equal_channels() -> None:
    smoother, grey = (
        Smoother(trained_network(PLAIN), device="cpu", precision="float32"),
        picture(30, 40),
    )
    colour = smoother.smooth(np.stack([grey] * 3, axis=2))
    np.testing.assert_allclose(smoother.smooth(grey), colour.mean(axis=2), atol=1e-6)


def test_two_views_are_the_image_and_its_transposed_negative() -> None:
    network, image = trained_network(SHUFFLED), picture(150, 41, 3)
    both = Smoother(network, device="cpu", precision="float32", views=2)
    with torch.no_grad():
        x = torch.from_numpy(image).permute(2, 0, 1)[None]
        mean = (network(x).result + 1 - network(1 - x.mT).result.mT) / 2
    expected = mean[0].permute(1, 2, 0).clamp(0, 1).numpy()
    np.testing.assert_allclose(both.smooth(image), expected, atol=1e-5, rtol=0)
    other = np.ascontiguousarray(1 - image.transpose(1, 0, 2))
    np.testing.assert_allclose(
        both.smooth(other), 1 - expected.transpose(1, 0, 2), atol=1e-5, rtol=0
    )
    tiled = Smoother(network, device="cpu", precision="float32", views=2, memory=1)
    np.testing.assert_allclose(tiled.smooth(image), expected, atol=1e-5, rtol=0)
    with pytest.raises(ConfigError, match="views must be 1 or 2, got 3"):
        Smoother(network, device="cpu", views=3)


def test_strength_blends_and_goes_beyond() -> None:
    smoother, image = (
        Smoother(trained_network(SHUFFLED), device="cpu", precision="float32"),
        picture(30, 40, 3) * 0.2 + 0.4,
    )
    full = smoother.smooth(image)
    np.testing.assert_allclose(smoother.smooth(image, 0.0), image, atol=1e-6)
    np.testing.assert_allclose(smoother.smooth(image, 0.5), (image + full) / 2, atol=1e-6)
    sharper = np.clip(image - (full - image), 0, 1)
    np.testing.assert_allclose(smoother.smooth(image, -1.0), sharper, atol=1e-6)


def test_the_input_is_not_written_to() -> None:
    image = picture(20, 20, 3)
    before = image.copy()
    image.setflags(write=False)
    Smoother(trained_network(PLAIN), device="cpu", precision="float32").smooth(image)
    np.testing.assert_array_equal(image, before)


def test_load_gives_the_saved_network(tmp_path: Path) -> None:
    network, image = trained_network(PLAIN), picture(20, 30, 3)
    save_network(tmp_path / "best.safetensors", network)
    expected = Smoother(network, device="cpu", precision="float32").smooth(image)
    for path in (tmp_path / "best.safetensors", tmp_path):  # a file, or the folder of a run
        np.testing.assert_array_equal(
            load(path, device="cpu", precision="float32").smooth(image), expected
        )


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (np.zeros((4, 4, 3), np.uint8), TypeError, "float32.*uint8"),
        (np.zeros((4, 4, 4), np.float32), ValueError, r"\(4, 4, 4\)"),
        (np.zeros((0, 4), np.float32), ValueError, r"\(0, 4\)"),
        (np.full((4, 4), 200, np.float32), ValueError, r"must lie in \[0, 1\], got 200 to 200"),
        (np.full((4, 4), np.nan, np.float32), ValueError, "16 NaN or infinite values"),
    ],
)
def test_other_arrays_are_refused(
    image: NDArray[np.float32], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Smoother(trained_network(PLAIN), device="cpu", precision="float32").smooth(image)


@pytest.mark.parametrize("strength", [np.nan, np.inf])
def test_a_strength_that_is_no_number_is_refused(strength: float) -> None:
    smoother = Smoother(trained_network(PLAIN), device="cpu", precision="float32")
    with pytest.raises(ValueError, match="strength must be finite"):
        smoother.smooth_pixels(np.zeros((4, 4), np.uint8), strength)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_result_that_is_no_image_is_an_error(value: float) -> None:
    """As integers it would be black."""
    network = trained_network(PLAIN)
    with torch.no_grad():
        network.get_parameter("refine.4.bias").fill_(value)
    smoother = Smoother(network, device="cpu", precision="float32")
    with pytest.raises(CheckpointError, match="result has NaN or infinite values"):
        smoother.smooth_pixels(np.zeros((4, 4), np.uint8))


def test_pixels_of_other_types_are_refused() -> None:
    smoother = Smoother(trained_network(PLAIN), device="cpu", precision="float32")
    with pytest.raises(TypeError, match="uint8 or uint16 array, got float32"):
        smoother.smooth_pixels(picture(4, 4))  # type: ignore[arg-type]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_what_the_cpu_gives() -> None:
    network, image = trained_network(SHUFFLED), picture(300, 200, 3)
    expected = Smoother(network, device="cpu", precision="float32").smooth(image)
    for precision, tolerance in (("float32", 1e-4), ("tf32", 5e-3), ("bfloat16", 5e-2)):
        smoother = Smoother(network, device="cuda", precision=precision)  # type: ignore[arg-type]
        np.testing.assert_allclose(smoother.smooth(image), expected, atol=tolerance)
