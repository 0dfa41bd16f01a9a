"""Videos: size, times, sound and colours stay; what is damaged or cut short is one error."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import write_clip
from numpy.typing import NDArray

from vocsmooth.errors import InputError
from vocsmooth.images.destinations import plan
from vocsmooth.images.videos import smooth_video

Frames = list[NDArray[np.uint8]]


@pytest.fixture
def av() -> Any:
    return pytest.importorskip("av")


def read(av: Any, path: Path) -> tuple[Frames, list[float], dict[str, Any]]:
    """Return frames, their times, and what is told of the streams."""
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        frames = list(file.decode(stream))
        facts = {
            "rate": stream.average_rate,
            "size": (stream.height, stream.width),
            "rotation": frames[0].rotation,
            "sound": [s.codec_context.codec.canonical_name for s in file.streams.audio],
        }
        pictures = [frame.to_ndarray(format="rgb24") for frame in frames]
        return pictures, [float(frame.time) for frame in frames], facts


def sound_of(av: Any, path: Path) -> bytes:
    with av.open(str(path)) as file:
        return b"".join(bytes(packet) for packet in file.demux(audio=0))


def same(pixels: NDArray[Any]) -> tuple[NDArray[Any], None]:
    return pixels, None


def inverted(pixels: NDArray[Any]) -> tuple[NDArray[Any], None]:
    return 255 - pixels, None


def each(
    frames: Iterable[NDArray[np.float32]],
    function: Callable[[NDArray[np.float32]], NDArray[np.float32]],
) -> Iterator[NDArray[np.float32]]:
    return map(function, frames)


def run(source: Path, destination: Path, function: Any = same, **options: Any) -> str:
    defaults: dict[str, Any] = {"over_time": each, "jobs": 3, "max_pixels": 10**6}
    return smooth_video(source, destination, function, **{**defaults, **options})


@pytest.mark.parametrize("ending", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize("size", [(48, 64), (47, 63)])
def test_frames_times_size_and_sound_stay(
    av: Any, tmp_path: Path, ending: str, size: tuple[int, int]
) -> None:
    pixels = "yuv444p" if size[0] % 2 else "yuv420p"
    source = write_clip(av, tmp_path / f"a{ending}", size=size, sound="aac", pixels=pixels)
    seen: list[tuple[int, int]] = []
    left_out = run(source, tmp_path / f"b{ending}", progress=lambda *n: seen.append(n))
    assert left_out == ""
    before, times, facts = read(av, source)
    after, times_after, facts_after = read(av, tmp_path / f"b{ending}")
    assert len(after) == len(seen) == 12
    assert facts_after == facts
    assert times_after == pytest.approx(times, abs=1e-3)
    assert np.abs(np.array(after, int) - np.array(before)).mean() < 2
    assert sound_of(av, tmp_path / f"b{ending}") == sound_of(av, source)
    assert {path.name for path in tmp_path.iterdir()} == {f"a{ending}", f"b{ending}"}


def test_the_function_is_applied_and_order_kept(av: Any, tmp_path: Path) -> None:
    source = write_clip(av, tmp_path / "a.mp4")
    run(source, tmp_path / "b.mp4", inverted, jobs=5)
    before, after = read(av, source)[0], read(av, tmp_path / "b.mp4")[0]
    for one, other in zip(before, after, strict=True):
        assert np.abs(one.astype(int) + other - 255).mean() < 4


def test_a_changing_frame_rate_stays(av: Any, tmp_path: Path) -> None:
    source = write_clip(av, tmp_path / "a.mkv", times=[0, 1, 2, 5, 6, 12, 13, 20])
    run(source, tmp_path / "b.mkv")
    assert read(av, tmp_path / "b.mkv")[1] == pytest.approx(read(av, source)[1], abs=2e-3)


def test_rotation_stays(av: Any, tmp_path: Path) -> None:
    source = write_clip(av, tmp_path / "a.mp4", rotation=90)
    assert abs(read(av, source)[2]["rotation"]) == 90
    run(source, tmp_path / "b.mp4")
    assert read(av, tmp_path / "b.mp4")[2] == read(av, source)[2]


def test_sound_that_the_format_cannot_hold_is_told(av: Any, tmp_path: Path) -> None:
    source = write_clip(av, tmp_path / "a.mkv", sound="wavpack")
    assert run(source, tmp_path / "b.mp4") == "left out: audio (wavpack)"
    assert read(av, tmp_path / "b.mp4")[2]["sound"] == []


@pytest.mark.parametrize("ending", [".mp4", ".mkv"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.9])
def test_cut_short_is_one_error_and_leaves_nothing(
    av: Any, tmp_path: Path, ending: str, share: float
) -> None:
    times = range(120)
    options = {"movflags": "faststart"} if ending == ".mp4" else {}
    source = write_clip(av, tmp_path / f"a{ending}", times=times, options=options)
    data = source.read_bytes()
    source.write_bytes(data[: int(share * len(data))])
    with pytest.raises(InputError) as caught:
        run(source, tmp_path / "b.mp4")
    assert str(caught.value).startswith(str(source))
    assert [path.name for path in tmp_path.iterdir()] == [source.name]


def test_what_is_no_video_is_one_error(av: Any, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("no video")
    with pytest.raises(InputError, match=r"a\.mp4: cannot be read as a video"):
        run(tmp_path / "a.mp4", tmp_path / "b.mp4")
    with pytest.raises(InputError, match=r"none\.mp4: cannot be read as a video: No such file"):
        run(tmp_path / "none.mp4", tmp_path / "b.mp4")


def test_names_are_no_protocols_and_pipes_are_refused(
    av: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_clip(av, tmp_path / "a.mp4").rename("data:a.mp4")
    run(Path("data:a.mp4"), Path("data:b.mp4"))
    assert (tmp_path / "data:b.mp4").exists()
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(InputError, match=r"pipe\.mp4: .*is not a regular file"):
        run(tmp_path / "pipe.mp4", tmp_path / "c.mp4")


def test_a_full_disk_is_one_error_and_leaves_nothing(av: Any, tmp_path: Path) -> None:
    source = write_clip(av, tmp_path / "a.mp4", times=range(60))
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, before[1]))
    try:
        with pytest.raises(InputError, match=r"b\.mp4: cannot be written: File too large"):
            run(source, tmp_path / "b.mp4")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_what_would_be_lost_is_refused(av: Any, tmp_path: Path) -> None:
    deep = write_clip(av, tmp_path / "deep.mkv", codec="ffv1", pixels="yuv420p10le")
    with pytest.raises(InputError, match="more than 8 bits a channel"):
        run(deep, tmp_path / "b.mkv")
    clear = write_clip(av, tmp_path / "clear.mkv", codec="ffv1", pixels="yuva420p")
    with pytest.raises(InputError, match="has transparency"):
        run(clear, tmp_path / "b.mkv")
    with pytest.raises(InputError, match="64 x 48 pixels exceed the limit of 100"):
        run(write_clip(av, tmp_path / "a.mp4"), tmp_path / "b.mkv", max_pixels=100)


def test_an_error_of_the_function_leaves_nothing(av: Any, tmp_path: Path) -> None:
    def fail(pixels: NDArray[Any]) -> Any:
        raise InputError("no.")

    with pytest.raises(InputError, match="no"):
        run(write_clip(av, tmp_path / "a.mp4"), tmp_path / "b.mp4", fail)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_a_result_that_cannot_be_written_is_named(av: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"b\.mp4: cannot be written: No such file"):
        run(write_clip(av, tmp_path / "a.mp4"), tmp_path / "none/b.mp4")


def test_without_the_extra_the_error_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InputError, match=r"pip install csgisnet\[video\]"):
        run(tmp_path / "a.mp4", tmp_path / "b.mp4")


def test_destinations(tmp_path: Path) -> None:
    for name in ("a.mp4", "b.AVI", "c.png"):
        (tmp_path / name).touch()
    inputs = [tmp_path / name for name in ("a.mp4", "b.AVI", "c.png")]
    tasks = plan(inputs, tmp_path / "out", ending="jpg")
    assert [task.destination.name for task in tasks] == ["a.mp4", "b.mkv", "c.jpg"]
    assert [task.source.name for task in plan([tmp_path], tmp_path / "out")] == ["c.png"]
    (task,) = plan([tmp_path / "a.mp4"], tmp_path / "one.mov")
    assert task.destination == tmp_path / "one.mov"
    with pytest.raises(InputError, match=r"cannot write videos ending in '\.avi'"):
        plan([tmp_path / "a.mp4"], tmp_path / "one.avi")
    with pytest.raises(InputError, match=r"cannot write videos ending in '\.png'"):
        plan([tmp_path / "a.mp4"], tmp_path / "one.png")
    with pytest.raises(InputError, match=r"cannot write files ending in '\.mp4'"):
        plan([tmp_path / "c.png"], tmp_path / "one.mp4")
