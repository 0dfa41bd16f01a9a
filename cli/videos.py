"""The part of `smooth`, `predict` and their like that smooths videos."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from vocsmooth.errors import InputError

from .progress import Bar, progress_bar

if TYPE_CHECKING:
    from vocsmooth.images.destinations import Task
    from vocsmooth.images.folders import Outcome, Summary


def refuse_videos(videos: Sequence[Task], option: str) -> None:
    """Refuse videos for an option that applies to pictures only."""
    if videos:
        raise InputError(f"{videos[0].source}: is a video, and {option} is for pictures only.")


def smooth_videos(
    tasks: Sequence[Task],
    function: Callable[..., Any],
    *,
    persistence: float,
    jobs: int,
    skip_existing: bool,
    max_pixels: int,
) -> Summary:
    """Smooth videos one after the other, with a bar that counts frames."""
    from vocsmooth.images.folders import attempt, make_folders, summarise
    from vocsmooth.images.videos import smooth_video
    from vocsmooth.operators.video import smooth_frames

    start = time.monotonic()
    over_time = functools.partial(smooth_frames, persistence=persistence)
    outcomes: list[Outcome] = []
    for task in tasks:
        with progress_bar(f"frames of {task.source.name}") as bar:

            def smooth(task: Task, bar: Bar = bar) -> None:
                make_folders([task])
                left_out = smooth_video(
                    task.source,
                    task.destination,
                    function,
                    over_time=over_time,
                    jobs=jobs,
                    max_pixels=max_pixels,
                    progress=bar.update,
                )
                if left_out:
                    bar.note(f"{task.destination}: {left_out}")

            outcomes.append(attempt(task, smooth=smooth, skip_existing=skip_existing))
            show_outcome(bar, outcomes[-1])
    return summarise(outcomes, time.monotonic() - start)


def show_outcome(bar: Bar, outcome: Outcome) -> None:
    """Say above the bar why a file failed and, if details are wanted, what the others became."""
    if outcome.state == "failed":
        bar.print(f"failed: {outcome.reason}")
    else:
        bar.detail(f"{outcome.state}: {outcome.task.destination}")


def together(one: Summary, other: Summary) -> Summary:
    """Join the summaries of pictures and of videos."""
    from vocsmooth.images.folders import Summary

    return Summary(
        written=one.written + other.written,
        skipped=one.skipped + other.skipped,
        failures=one.failures + other.failures,
        seconds=one.seconds + other.seconds,
    )
