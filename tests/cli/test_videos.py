"""Videos through the commands: beside pictures, with the same options and errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from clips import write_clip
from numpy.typing import NDArray
from pictures import write_plain

from csgisnet.checkpoints.networks import save_network
from csgisnet.networks.smoothing import NetworkConfig, SmoothingNetwork

Command = Callable[..., Result]

TINY = NetworkConfig(width=4, blocks=1, coarse_blocks=1, refine_blocks=1, shuffle=2, skip=True)


@pytest.fixture
def av() -> Any:
    return pytest.importorskip("av")


def frames(av: Any, path: Path) -> NDArray[np.uint8]:
    with av.open(str(path)) as file:
        return np.array([frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)])


def test_smooth_takes_videos_beside_pictures(av: Any, vocsmooth: Command, tmp_path: Path) -> None:
    clip = write_clip(av, tmp_path / "a.mp4", sound="aac")
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(clip.read_bytes()[:1000])
    picture = write_plain(tmp_path / "b.png")
    words = ("--operator", "guided", "--jobs", 2, "--out", tmp_path / "out")
    result = vocsmooth("smooth", clip, broken, picture, *words)
    assert result.exit_code == 1
    assert f"failed: {broken}: " in result.stderr
    assert "2 written, 0 skipped, 1 failed" in result.stdout
    assert frames(av, tmp_path / "out/a.mp4").shape == (12, 48, 64, 3)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.mp4", "b.png"]
    again = vocsmooth("smooth", clip, *words, "--skip-existing", "--json")
    assert json.loads(again.stdout)["skipped"] == 1


def test_persistence_steadies(av: Any, vocsmooth: Command, tmp_path: Path) -> None:
    clip = write_clip(av, tmp_path / "noisy.mkv", codec="ffv1", pixels="yuv444p", noise=8)
    change = []
    for persistence in (0, 0.8):
        out = tmp_path / f"{persistence}.mkv"
        words = ("--operator", "guided", "--radius", 1, "--persistence", persistence)
        result = vocsmooth("smooth", clip, *words, "--out", out)
        assert result.exit_code == 0, result.output
        still = frames(av, out)[:, 30:].astype(int)  # below the square that moves
        change.append(np.abs(np.diff(still, axis=0)).mean())
    assert change[1] < 0.6 * change[0]


def test_predict_smooths_a_video(av: Any, csgisnet: Command, tmp_path: Path) -> None:
    save_network(tmp_path / "tiny.safetensors", SmoothingNetwork(TINY))
    clip = write_clip(av, tmp_path / "a.mp4")
    words = ("--checkpoint", tmp_path / "tiny.safetensors", "--device", "cpu")
    result = csgisnet("predict", clip, *words, "--out", tmp_path / "b.mov")
    assert result.exit_code == 0, result.output
    assert frames(av, tmp_path / "b.mov").shape == (12, 48, 64, 3)


def test_options_for_pictures_only_are_refused(
    vocsmooth: Command, csgisnet: Command, tmp_path: Path
) -> None:
    (tmp_path / "a.mp4").touch()
    write_plain(tmp_path / "mask.png")
    common = (tmp_path / "a.mp4", "--out", tmp_path / "out")
    masks = ("--operator", "guided", "--masks", tmp_path / "mask.png", "--strength", "cat=0")
    for result in (
        csgisnet("predict", *common, "--save-edges", "--device", "cpu"),
        vocsmooth("compose", *common, *masks),
    ):
        assert result.exit_code == 1
        assert "is a video" in result.stderr
        assert not (tmp_path / "out").exists()
