"""Folders of images: what is found, where results go, and that one bad file stops nothing."""

import os
import resource
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pictures import write_plain
from PIL import Image

from vocsmooth.errors import ConvergenceError, InputError
from vocsmooth.images.destinations import plan
from vocsmooth.images.folders import Outcome, on_floats, run
from vocsmooth.images.reading import Picture, read_picture
from vocsmooth.images.writing import write_picture
from vocsmooth.operators.guided import guided_filter

Float = NDArray[np.float32]


def halve(image: Float) -> Float:
    return image * np.float32(0.5)


@pytest.mark.parametrize(("jobs", "workers"), [(1, "processes"), (3, "threads")])
def test_every_result_is_written_and_reported(
    photos: Path, tmp_path: Path, jobs: int, workers: Any
) -> None:
    reported: list[Outcome] = []
    tasks = plan([photos], tmp_path / "out", ending="png")
    summary = run(tasks, on_floats(halve), jobs=jobs, workers=workers, progress=reported.append)
    assert (summary.written, summary.skipped, summary.failures) == (5, 0, ())
    assert {outcome.task for outcome in reported} == set(tasks)
    for task in tasks:
        assert np.abs(read_picture(task.destination).pixels.astype(int) - 50).max() <= 1
    left = [p for p in (tmp_path / "out").rglob("*") if p.suffix == ".tmp"]
    assert left == []


def test_processes_give_the_same_bytes_as_one(photos: Path, tmp_path: Path) -> None:
    function = on_floats(partial(guided_filter, radius=2, eps=0.01))
    run(plan([photos], tmp_path / "one"), function, jobs=1)
    run(plan([photos], tmp_path / "two"), function, jobs=2)
    one = {p.relative_to(tmp_path / "one"): p.read_bytes() for p in files(tmp_path / "one")}
    two = {p.relative_to(tmp_path / "two"): p.read_bytes() for p in files(tmp_path / "two")}
    assert one == two
    assert len(one) == 5


def files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())


def test_depth_alpha_profile_and_grey_pass_through_and_results_are_rounded(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    icc = b"\0" * 16 + b"RGB " + b"\0" * 120
    for dtype in (np.uint8, np.uint16):
        top = np.iinfo(dtype).max
        rgba = rng.integers(0, top, (6, 5, 4), dtype, endpoint=True)
        write_picture(
            tmp_path / "in.png", Picture(pixels=rgba[:, :, :3], alpha=rgba[:, :, 3], icc=icc)
        )
        run(plan([tmp_path / "in.png"], tmp_path / "out"), on_floats(halve))
        result = read_picture(tmp_path / "out" / "in.png")
        assert result.pixels.dtype == dtype
        assert result.alpha is not None
        np.testing.assert_array_equal(result.alpha, rgba[:, :, 3])
        assert result.icc == icc
        half = (rgba[:, :, :3].astype(np.float32) / np.float32(top)) * np.float32(0.5)
        np.testing.assert_array_equal(result.pixels, np.rint(half * np.float32(top)))
    seen = []

    def look(image: Float) -> Float:
        seen.append((image.shape, image.dtype.name))
        return image

    run(plan([write_plain(tmp_path / "grey.png", shape=(4, 3))], tmp_path / "out"), on_floats(look))
    assert seen == [((4, 3), "float32")]
    assert read_picture(tmp_path / "out" / "grey.png").pixels.shape == (4, 3)


@pytest.mark.parametrize("jobs", [1, 2])
def test_bad_files_are_named_and_the_others_written(
    photos: Path, tmp_path: Path, jobs: int
) -> None:
    (photos / "empty.jpg").touch()
    (photos / "text.png").write_text("no image")
    (photos / "phone.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    (photos / "folder.png").mkdir()
    (photos / "broken link.jpg").symlink_to("nowhere")
    (photos / "cut.jpg").write_bytes(write_plain(photos / "a.jpg").read_bytes()[:300])
    os.mkfifo(photos / "pipe.bmp")
    tasks = plan([photos], tmp_path / "out")
    summary = run(tasks, on_floats(halve), jobs=jobs)
    assert summary.written == 5
    failed = [outcome.task.source.name for outcome in summary.failures]
    assert failed == [
        "broken link.jpg", "cut.jpg", "empty.jpg", "folder.png", "phone.HEIC", "pipe.bmp",
        "text.png",
    ]  # fmt: skip
    for outcome in summary.failures:
        assert outcome.reason.startswith(str(outcome.task.source))
        assert not outcome.task.destination.exists()


def test_what_the_function_cannot_do_fails_that_file_only(tmp_path: Path) -> None:
    write_plain(tmp_path / "in" / "a.png", value=0)
    write_plain(tmp_path / "in" / "b.png", value=255)
    write_plain(tmp_path / "in" / "c.png", value=51)

    def refuse(image: Float) -> Float:
        if image[0, 0, 0] == 0:
            raise ConvergenceError("did not converge.")
        return image * np.float32(np.nan) if image[0, 0, 0] == 1 else image

    summary = run(plan([tmp_path / "in"], tmp_path / "out"), on_floats(refuse))
    reasons = [outcome.reason for outcome in summary.failures]
    assert reasons == [
        f"{tmp_path}/in/a.png: did not converge.",
        f"{tmp_path}/in/b.png: the result has NaN or infinite values.",
    ]
    assert [path.name for path in files(tmp_path / "out")] == ["c.png"]


def test_a_programming_error_is_not_hidden(photos: Path, tmp_path: Path) -> None:
    def broken(image: Float) -> Float:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run(plan([photos], tmp_path / "out"), on_floats(broken))


def test_skip_existing_leaves_whole_outputs_alone(photos: Path, tmp_path: Path) -> None:
    tasks = plan([photos], tmp_path / "out")
    run(tasks[:2], on_floats(halve))
    before = [task.destination.stat().st_mtime_ns for task in tasks[:2]]
    summary = run(tasks, on_floats(halve), skip_existing=True)
    assert (summary.written, summary.skipped) == (3, 2)
    assert [task.destination.stat().st_mtime_ns for task in tasks[:2]] == before


def test_results_that_cannot_be_made_are_an_error(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "deep").touch()
    with pytest.raises(InputError, match=r"deep.*: cannot make folder: "):
        run(plan([photos], tmp_path / "out"), on_floats(halve))


def test_a_full_disk_leaves_no_partial_file(tmp_path: Path) -> None:
    """A limit on file sizes stands for the full disk: both make write fail half-way."""
    rng = np.random.default_rng(0)
    small, large = (rng.integers(0, 255, (n, n, 3), np.uint8) for n in (20, 200))
    (tmp_path / "in").mkdir()
    Image.fromarray(large).save(tmp_path / "in" / "large.png")
    Image.fromarray(small).save(tmp_path / "in" / "small.png")
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, old[1]))
    try:
        summary = run(plan([tmp_path / "in"], tmp_path / "out"), on_floats(halve))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert summary.written == 1
    assert [f.reason for f in summary.failures] == [
        f"{tmp_path}/in/large.png: the result {tmp_path}/out/large.png cannot be written: "
        "File too large."
    ]
    assert [path.name for path in files(tmp_path / "out")] == ["small.png"]


def deadly(image: Float) -> Float:
    """Stands for a crash in a library, or for the system running out of memory."""
    if image.shape[0] == 7:
        os.kill(os.getpid(), signal.SIGKILL)
    return image


def test_a_file_that_kills_its_worker_is_named_and_the_others_written(tmp_path: Path) -> None:
    for name, height in (("a.png", 3), ("b.png", 7), ("c.png", 3), ("d.png", 3)):
        write_plain(tmp_path / "in" / name, shape=(height, 3, 3))
    summary = run(plan([tmp_path / "in"], tmp_path / "out"), on_floats(deadly), jobs=2)
    assert [outcome.reason for outcome in summary.failures] == [
        f"{tmp_path}/in/b.png: its worker process died (killed, or out of memory)."
    ]
    assert sorted(p.name for p in files(tmp_path / "out")) == ["a.png", "c.png", "d.png"]


def with_edges(pixels: Any) -> tuple[Any, NDArray[np.uint8]]:
    """Half the image, and its first channel as edges."""
    return pixels // 2, np.ascontiguousarray(pixels[..., 0])


def test_edges_are_written_beside_the_results(tmp_path: Path) -> None:
    write_plain(tmp_path / "in/deep/a.jpg")
    tasks = plan([tmp_path / "in"], tmp_path / "out", suffix="_s", edges=True)
    assert run(tasks, with_edges).written == 1
    out = tmp_path / "out/deep"
    assert sorted(path.name for path in files(tmp_path / "out")) == ["a_s.jpg", "a_s_edges.png"]
    assert (read_picture(out / "a_s_edges.png").pixels == np.full((6, 5), 100)).all()
    assert run(tasks, with_edges, skip_existing=True).skipped == 1
    (out / "a_s_edges.png").unlink()  # the pair is not complete
    assert run(tasks, with_edges, skip_existing=True).written == 1
    assert (out / "a_s_edges.png").is_file()


def test_edges_of_a_picture_that_cannot_be_written_do_not_stay(tmp_path: Path) -> None:
    rgba = np.zeros((6, 5, 4), np.uint8)
    (tmp_path / "in").mkdir()
    Image.fromarray(rgba).save(tmp_path / "in/a.png")
    tasks = plan([tmp_path / "in"], tmp_path / "out", ending="jpg", edges=True)
    (failure,) = run(tasks, with_edges).failures
    assert failure.reason == (
        f"{tmp_path}/in/a.png: {tmp_path}/out/a.jpg: JPEG cannot hold the alpha channel; "
        "write png, tiff or webp."
    )
    assert list(files(tmp_path / "out")) == []
