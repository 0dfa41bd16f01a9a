"""Smooth videos frame by frame, with little flicker."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import numpy as np

from vocsmooth.arrays import FloatImage, as_channels, check_number, like

_STILL_CHANGE = 0.05  # of the range; a pixel that changed by this keeps 1/e of its persistence


def smooth_frames(
    frames: Iterable[FloatImage],
    smoother: Callable[[FloatImage], FloatImage],
    *,
    persistence: float = 0.0,
) -> Iterator[FloatImage]:
    """Smooth the frames of a video one by one, each when it is asked for.

    Parameters
    ----------
    frames : iterable of ndarray
        Frames of one shape; only the last one is kept.
    smoother : callable
        An operator, or a network's ``smooth``.
    persistence : float
        Against flicker: the share, from 0 to below 1, of the last result that is mixed in where
        the frame did not change, or, since a frame has noise, where smoothed it did not. The share
        falls to nothing where both changed by some twentieths of the range, so that what moves
        leaves no ghost.

    Yields
    ------
    ndarray
        Smoothed frames, as many as came in.

    Raises
    ------
    ValueError
        `persistence` is out of range, or a frame has another shape than the one before.

    Examples
    --------
    >>> import numpy as np
    >>> from vocsmooth import guided_filter
    >>> video = (np.full((2, 2), value) for value in (0.25, 0.5))
    >>> [frame.tolist() for frame in smooth_frames(video, guided_filter)]
    [[[0.25, 0.25], [0.25, 0.25]], [[0.5, 0.5], [0.5, 0.5]]]

    What flickers by a hundredth is mixed with about as much of the frame before:

    >>> video = (np.full((1, 1), value) for value in (0.5, 0.51, 0.5))
    >>> steady = smooth_frames(video, guided_filter, persistence=0.5)
    >>> [round(float(frame[0, 0]), 3) for frame in steady]
    [0.5, 0.505, 0.502]
    """
    check_number("persistence", persistence, at_least=0)
    if persistence >= 1:
        raise ValueError(f"persistence must be below 1, got {persistence!r}.")
    return _smoothed(frames, smoother, persistence)


def _smoothed(
    frames: Iterable[FloatImage],
    smoother: Callable[[FloatImage], FloatImage],
    persistence: float,
) -> Iterator[FloatImage]:
    """Yield the frames of `smooth_frames`."""
    last: tuple[FloatImage, FloatImage, FloatImage] | None = None
    for number, frame in enumerate(frames):
        smoothed = result = smoother(frame)
        if persistence and last is not None:
            frame_before, smoothed_before, result_before = last
            if frame.shape != frame_before.shape:
                raise ValueError(
                    f"frame {number} has shape {frame.shape}, those before {frame_before.shape}."
                )
            change = np.minimum(_change(frame, frame_before), _change(smoothed, smoothed_before))
            share = persistence * np.exp(-((change / _STILL_CHANGE) ** 2))
            result = like(
                (1 - share) * as_channels(result) + share * as_channels(result_before), frame
            )
        last = frame, smoothed, result
        yield result


def _change(image: FloatImage, before: FloatImage) -> FloatImage:
    """Return (H, W, 1), the largest change of a channel at each pixel."""
    difference = np.abs(as_channels(image) - as_channels(before))
    change: FloatImage = difference.max(axis=2, keepdims=True)
    return change
