"""The part of `smooth`, `predict` and their like that smooths videos."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from vocsmooth.errors import InputError, VocsmoothError

from .progress import progress_bar

if TYPE_CHECKING:
    from vocsmooth.images.destinations import Task
    from vocsmooth.images.folders import Outcome, Summary


def refuse_videos(videos: Sequence[Task], option: str) -> None:
    """Refuse videos where an option has a meaning for pictures only."""
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
    from vocsmooth.images.folders import Outcome, Summary
    from vocsmooth.images.videos import smooth_video
    from vocsmooth.operators.video import smooth_frames

    start = time.monotonic()
    outcomes: list[Outcome] = []
    for task in tasks:
        if skip_existing and task.destination.is_file():
            outcomes.append(Outcome(task=task, state="skipped"))
            continue
        with progress_bar(f"frames of {task.source.name}") as bar:
            try:
                task.destination.parent.mkdir(parents=True, exist_ok=True)
                left_out = smooth_video(
                    task.source,
                    task.destination,
                    function,
                    over_time=functools.partial(smooth_frames, persistence=persistence),
                    jobs=jobs,
                    max_pixels=max_pixels,
                    progress=bar.update,
                )
            except (OSError, VocsmoothError) as error:
                reason = str(error)
                if not reason.startswith(str(task.source)):
                    reason = f"{task.source}: {reason}"
                outcomes.append(Outcome(task=task, state="failed", reason=reason))
                bar.print(f"failed: {reason}")
                continue
            outcomes.append(Outcome(task=task, state="written"))
            if left_out:
                bar.note(f"{task.destination}: {left_out}")
    states = [outcome.state for outcome in outcomes]
    return Summary(
        written=states.count("written"),
        skipped=states.count("skipped"),
        failures=tuple(outcome for outcome in outcomes if outcome.state == "failed"),
        seconds=time.monotonic() - start,
    )


def together(one: Summary, other: Summary) -> Summary:
    """Return the summary of both."""
    from vocsmooth.images.folders import Summary

    return Summary(
        written=one.written + other.written,
        skipped=one.skipped + other.skipped,
        failures=one.failures + other.failures,
        seconds=one.seconds + other.seconds,
    )
