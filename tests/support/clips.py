"""Small videos as files, written by PyAV where it is installed."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np


def write_clip(
    av: Any,
    path: Path,
    *,
    size: tuple[int, int] = (48, 64),
    times: Iterable[int] = range(12),
    codec: str = "libx264",
    pixels: str = "yuv420p",
    sound: str | None = None,
    rotation: int = 0,
    noise: int = 0,
    options: dict[str, str] | None = None,
) -> Path:
    """Write a moving square; `times` of its frames are twelfths of a second."""
    with av.open(str(path), "w", options=options or {}) as file:
        stream = file.add_stream(codec, rate=12)
        stream.height, stream.width = size
        stream.pix_fmt = pixels
        stream.codec_context.time_base = Fraction(1, 12)
        if rotation:
            stream.set_display_rotation(rotation)
        audio = file.add_stream(sound, rate=44100, layout="mono") if sound else None
        rng = np.random.default_rng(0)
        for number, time in enumerate(times):
            picture = np.full((*size, 3), (40, 90, 160), np.uint8)
            picture += rng.integers(0, noise + 1, picture.shape, np.uint8)
            picture[8:24, 2 * number : 2 * number + 16] = (220, 60, 30)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = time, Fraction(1, 12)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
        if audio is not None:
            wave = np.sin(np.arange(44100) / 20).astype(np.float32) * 0.5
            sound_frame = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
            sound_frame.sample_rate = 44100
            fifo = av.AudioFifo()
            fifo.write(sound_frame)
            while (chunk := fifo.read(1024)) is not None:
                file.mux(audio.encode(chunk))
            file.mux(audio.encode(None))
    return path
