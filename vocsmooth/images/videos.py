"""Smooth videos frame by frame, and keep their size, times and sound.

PyAV, an extra (`pip install csgisnet[video]`), reads and writes. The result is H.264 in MP4,
QuickTime or Matroska. Each frame keeps its time, so that a changing frame rate stays as it is; the
sound is copied packet by packet where the format can hold it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray

from vocsmooth.arrays import to_float, to_uint
from vocsmooth.errors import InputError
from vocsmooth.files import refuse_special, replacing

VIDEO_FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
"""File name endings that can be written, and what FFmpeg calls the format."""

VIDEO_SUFFIXES = frozenset(
    (*VIDEO_FORMATS, ".avi", ".webm", ".mpg", ".mpeg", ".mts", ".m2ts", ".wmv", ".flv", ".ogv")
)
"""Endings, in any case, of what is taken for a video."""

Frame: TypeAlias = NDArray[np.float32]

OverTime: TypeAlias = Callable[[Iterable[Frame], Callable[[Frame], Frame]], Iterable[Frame]]
"""Applies a function to the frames of a video, as `vocsmooth.operators.video.smooth_frames`."""

_QUALITY = {"crf": "16", "preset": "medium"}  # of H.264: the eye sees no loss

_LATE = Fraction(1, 4)  # seconds that frames may end before what the file declares

_NO_RATE = Fraction(25)  # frames a second, where the file does not say


def is_video(path: Path) -> bool:
    """Return whether a name has the ending of a video."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def smooth_video(
    source: Path,
    destination: Path,
    function: Callable[..., tuple[NDArray[Any], Any]],
    *,
    over_time: OverTime,
    jobs: int,
    max_pixels: int,
    progress: Callable[[int, int], None] = lambda *_: None,
) -> str:
    """Smooth a video and write the result, completely or not at all.

    Parameters
    ----------
    source, destination : Path
        The ending of `destination` is one of `VIDEO_FORMATS`.
    function : callable
        A `vocsmooth.images.folders.PixelSmoother`; called in `jobs` threads at once.
    over_time : callable
        How results follow each other: `vocsmooth.operators.video.smooth_frames`, with a
        persistence against flicker.
    jobs : int
        Frames in work at a time.
    max_pixels : int
        Refuse videos of larger frames.
    progress : callable
        Called with the frames that are done and their number, 0 if the file does not tell it.

    Returns
    -------
    str
        What the result lacks, such as subtitles, and why; empty if nothing.

    Raises
    ------
    InputError
        PyAV is missing; `source` cannot be read, is damaged or cut short, has no picture, more than
        8 bits, or transparency; or `destination` cannot be written.
    """
    try:
        import av
    except ImportError:
        raise InputError(
            f"{source}: is a video; to smooth videos, `pip install csgisnet[video]` (PyAV)."
        ) from None
    form = VIDEO_FORMATS[destination.suffix.lower()]
    # Files and no names, in which FFmpeg would look for protocols.
    with (
        _named(source, "cannot be read as a video"),
        _regular(source) as file,
        av.open(file, options={"protocol_whitelist": "file"}) as given,
    ):
        stream = _picture_stream(source, given, max_pixels)
        with (
            _named(destination, "cannot be written"),
            replacing(destination) as temporary,
            temporary.open("wb") as written,
            av.open(written, "w", format=form) as result,
        ):
            copied, left_out = _copied_streams(given, result)
            early: list[Any] | None = []  # sound before the first frame, with which writing begins

            def copy(packet: Any) -> None:
                packet.stream = copied[packet.stream.index]
                if early is not None:
                    early.append(packet)
                    return
                with _named(destination, "cannot be written"):
                    result.mux(packet)

            frames = _frames(source, given, [stream, *(given.streams[i] for i in copied)], copy)
            first = next(frames, None)
            if first is None:
                raise InputError(f"{source}: has no frame that can be decoded.")
            encoder = _encoder(result, stream, first)
            result.mux(early or [])
            early = None
            total, times = stream.frames, deque[tuple[int, Fraction]]()

            def pixels() -> Iterator[NDArray[np.uint8]]:
                for frame in chain([first], frames):
                    times.append((frame.pts, frame.time_base))
                    yield frame.to_ndarray(format="rgb24")

            results = _in_order(pixels(), function, over_time, jobs)
            for number, smoothed in enumerate(results, 1):
                frame = av.VideoFrame.from_ndarray(to_uint(smoothed, np.uint8), format="rgb24")
                frame.pts, frame.time_base = times.popleft()
                result.mux(encoder.encode(frame))
                progress(number, total)
            result.mux(encoder.encode(None))
    return left_out


def _regular(path: Path) -> BinaryIO:
    """Open a regular file for reading; a pipe would make us wait."""
    refuse_special(path)
    return path.open("rb")


@contextmanager
def _named(path: Path, what: str) -> Iterator[None]:
    """Turn an error of FFmpeg, or of the system, into one that names the file."""
    from av.error import FFmpegError

    try:
        yield
    except (FFmpegError, OSError) as error:
        raise InputError(f"{path}: {what}: {error.strerror or error}.") from None


def _picture_stream(source: Path, given: Any, max_pixels: int) -> Any:
    """Return the stream of pictures, or raise if this project cannot smooth it."""
    if not given.streams.video:
        raise InputError(f"{source}: holds no video, only sound.")
    stream = given.streams.video[0]
    context = stream.codec_context
    if context.width * context.height > max_pixels:
        raise InputError(
            f"{source}: frames of {context.width} x {context.height} pixels exceed the limit of "
            f"{max_pixels}; raise the limit if you trust the file."
        )
    if context.format is None:
        raise InputError(f"{source}: cannot be read as a video: its pixel format is not known.")
    parts = context.format.components
    if len(parts) > 3:
        raise InputError(f"{source}: has transparency, which would be lost; remove it first.")
    if any(part.bits > 8 for part in parts):
        raise InputError(f"{source}: has more than 8 bits a channel; convert it to 8 bits first.")
    stream.thread_type = "AUTO"
    return stream


def _copied_streams(given: Any, result: Any) -> tuple[dict[int, Any], str]:
    """Add the streams of sound that the result can hold; say what is left out."""
    copied, left_out = {}, []
    for stream in given.streams:
        codec = stream.codec_context.codec.canonical_name if stream.codec_context else "unknown"
        if stream.type == "audio" and codec in result.supported_codecs:
            copied[stream.index] = result.add_stream_from_template(stream)
        elif stream is not given.streams.video[0]:
            left_out.append(f"{stream.type} ({codec})")
    return copied, f"left out: {', '.join(left_out)}" if left_out else ""


def _frames(
    source: Path, given: Any, streams: list[Any], copy: Callable[[Any], None]
) -> Iterator[Any]:
    """Yield the frames of the first stream in the order of their times; copy the other streams.

    FFmpeg ends without an error where a file is cut short: the frames have to reach as far as the
    file declares.
    """
    with _named(source, "cannot be read as a video"):
        yield from _decoded(source, given, streams, copy)


def _decoded(
    source: Path, given: Any, streams: list[Any], copy: Callable[[Any], None]
) -> Iterator[Any]:
    """Do what `_frames` says."""
    stream, number, last = streams[0], 0, Fraction(0)
    size: tuple[int, int] | None = None
    rate = stream.average_rate or _NO_RATE
    for packet in given.demux(streams):
        if packet.is_corrupt:
            raise InputError(f"{source}: is damaged or cut short after frame {number}.")
        if packet.stream is not stream:
            if packet.dts is not None:  # else it only marks the end
                copy(packet)
            continue
        for frame in packet.decode():
            size = size or (frame.width, frame.height)
            if size != (frame.width, frame.height):
                raise InputError(f"{source}: changes its size in frame {number + 1}.")
            if frame.is_corrupt:
                raise InputError(f"{source}: is damaged in frame {number + 1}.")
            if frame.pts is None:  # some old formats have no times
                frame.time_base, frame.pts = 1 / rate, number
            number, last = number + 1, frame.pts * frame.time_base
            yield frame
    declared = _declared_end(stream)
    if declared is not None and last + 1 / rate + max(_LATE, 2 / rate) < declared:
        raise InputError(
            f"{source}: is cut short: frames end at {float(last):.2f} s of {float(declared):.2f} s."
        )


def _declared_end(stream: Any) -> Fraction | None:
    """Return when the frames should end, in seconds, if the file says it."""
    if stream.duration is not None:
        end: Fraction = (stream.duration + (stream.start_time or 0)) * stream.time_base
        return end
    if text := stream.metadata.get("DURATION"):  # Matroska
        hours, minutes, seconds = text.strip("\0").split(":")
        return int(hours) * 3600 + int(minutes) * 60 + Fraction(seconds)
    return None


def _encoder(result: Any, stream: Any, first: Any) -> Any:
    """Add the stream of pictures to the result: size, times, shape of pixels, colours, rotation."""
    given = stream.codec_context
    encoder = result.add_stream("libx264", rate=stream.average_rate or _NO_RATE, options=_QUALITY)
    context = encoder.codec_context
    encoder.width, encoder.height = first.width, first.height
    even = first.width % 2 == first.height % 2 == 0
    encoder.pix_fmt = "yuv420p" if even else "yuv444p"  # which alone holds odd sizes
    context.time_base = first.time_base
    if given.sample_aspect_ratio:
        context.sample_aspect_ratio = given.sample_aspect_ratio
    context.color_primaries, context.color_trc = given.color_primaries, given.color_trc
    context.colorspace = given.colorspace
    if first.rotation:
        encoder.set_display_rotation(first.rotation)
    return encoder


def _in_order(
    frames: Iterator[NDArray[np.uint8]],
    function: Callable[..., tuple[NDArray[Any], Any]],
    over_time: OverTime,
    jobs: int,
) -> Iterator[Frame]:
    """Yield the results in the order of the frames; several are smoothed at the same time."""
    with ThreadPoolExecutor(jobs) as pool:
        waiting: deque[tuple[Frame, Future[tuple[NDArray[Any], Any]]]] = deque()

        def next_frames() -> Iterator[Frame]:
            for pixels in frames:
                waiting.append((to_float(pixels), pool.submit(function, pixels)))
                if len(waiting) > jobs:
                    yield waiting[0][0]
            while waiting:
                yield waiting[0][0]

        def result_of(_: Frame) -> Frame:
            return to_float(waiting.popleft()[1].result()[0])

        try:
            yield from over_time(next_frames(), result_of)
        finally:
            pool.shutdown(cancel_futures=True)
