"""Plan where every result goes, and refuse collisions before anything is smoothed."""

from __future__ import annotations

import os
import tempfile
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vocsmooth.errors import InputError, UnknownNameError
from vocsmooth.files import AnyPath, as_path, as_path_or_none
from vocsmooth.images.finding import IMAGE_SUFFIXES, find_images
from vocsmooth.images.videos import VIDEO_FORMATS, VIDEO_SUFFIXES, is_video
from vocsmooth.images.writing import FORMATS, format_of
from vocsmooth.settings import nearest


@dataclass(frozen=True, kw_only=True)
class Task:
    """One file to smooth."""

    source: Path
    destination: Path
    edges: Path | None = None
    """Where its edges go, if they are asked for."""
    mask: Path | None = None
    """Its mask, if the function that is applied needs one."""

    @property
    def outputs(self) -> tuple[Path, ...]:
        """Return all files that it writes."""
        return (self.destination,) if self.edges is None else (self.destination, self.edges)


def plan(
    inputs: Sequence[Path],
    out: AnyPath,
    *,
    suffix: str = "",
    ending: str | None = None,
    edges: bool = False,
    masks: AnyPath | None = None,
) -> list[Task]:
    """Pair every input image with its output, and refuse the whole run if two paths collide.

    Parameters
    ----------
    inputs : sequence of Path
        Files, and folders, which are searched for pictures through all sub-folders (links to
        folders are not followed, names that begin with a dot are skipped). Sub-folders are mirrored
        in `out`. Videos are files that are named themselves.
    out : str or path-like
        Folder for the results; may not exist yet. Where it lies inside an input folder, what it
        holds is not an input. If it ends like an image and is not a folder, it is the file for the
        result of a single input file.
    suffix : str
        Added to each file's name before its ending.
    ending : str, optional
        "png", "jpg", ...: the format of all pictures. By default each keeps its own; formats that
        can be read but not written become PNG, videos Matroska.
    edges : bool
        Plan a picture of the edges beside each result: its name, then "_edges.png".
    masks : str or path-like, optional
        Folder with a mask for each input, of the same name but ending in ".png", in the same
        sub-folders; for a single input file also a file.

    Returns
    -------
    list of Task
        In the order of `inputs`, each folder's files sorted by path.

    Raises
    ------
    InputError
        An input is missing, a folder holds no image, the suffix cannot be part of a name, two
        inputs would write one output, an output would replace an input, `out` is a file for
        several inputs, or an input has no mask in `masks`.
    UnknownNameError
        No format that can be written has this ending.
    """
    out = as_path(out, "out")
    masks = as_path_or_none(masks, "masks")
    if not inputs:
        raise InputError("No inputs: give image files or folders.")
    if out.suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES and not out.is_dir():
        tasks = [_into_file(inputs, out, suffix, ending, edges, masks)]
        _refuse_missing_masks(tasks)
        _refuse_collisions(tasks, out.parent)
        return tasks
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; the results need a folder.")
    if "\0" in suffix or Path(f"x{suffix}").name != f"x{suffix}":
        raise InputError(f"The suffix {suffix!r} cannot be part of a file name.")
    new_ending = None if ending is None else _checked_ending(ending)
    planned = {}
    for given in inputs:
        for source, relative in find_images(given, out):
            place, stem = out / relative.parent, relative.stem + suffix
            task = Task(
                source=source,
                destination=place / (stem + _ending_of(relative, new_ending)),
                edges=place / f"{stem}_edges.png" if edges else None,
                mask=_mask_of(relative, masks),
            )
            planned[task.source, task.destination] = task  # the same file given twice is one task
    tasks = list(planned.values())
    _refuse_missing_masks(tasks)
    _refuse_collisions(tasks, out)
    return tasks


def _into_file(
    inputs: Sequence[Path],
    out: Path,
    suffix: str,
    ending: str | None,
    edges: bool,
    masks: Path | None,
) -> Task:
    """Plan the one result that is to be the file `out`."""
    if len(set(inputs)) > 1 or inputs[0].is_dir():
        raise InputError(
            f"{out} has the ending of an image, so it can hold one result only, but the inputs are "
            f"{'a folder' if len(inputs) == 1 else 'several'}; give a folder."
        )
    if suffix or ending:
        raise InputError(f"{out} names the file for the result; leave out suffix and format.")
    if is_video(inputs[0]):
        _check_video_ending(out)
    else:
        format_of(out)
    ((source, relative),) = find_images(inputs[0], out)
    edges_path = out.with_name(f"{out.stem}_edges.png") if edges else None
    mask = _mask_of(relative, masks)
    return Task(source=source, destination=out, edges=edges_path, mask=mask)


def _mask_of(relative: Path, masks: Path | None) -> Path | None:
    """Return where the mask of an input must be: in the folder of masks, or that one file."""
    if masks is None or masks.is_file():
        return masks
    return (masks / relative).with_suffix(".png")


def _refuse_missing_masks(tasks: Sequence[Task]) -> None:
    """Refuse inputs without a mask, and several inputs that would share one."""
    wanted = [task for task in tasks if task.mask is not None]
    missing = [str(task.mask) for task in wanted if task.mask and not task.mask.is_file()]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise InputError(f"No mask {', '.join(missing[:3])}{more}. Every image needs its mask.")
    images = {task.mask: task.source for task in wanted}  # the last one of each mask
    for task in wanted:
        if images[task.mask] != task.source:
            raise InputError(
                f"{task.mask} would be the mask of {task.source} and of {images[task.mask]}; "
                "give a folder with a mask for each."
            )


def _ending_of(path: Path, wanted: str | None) -> str:
    """Return the result's ending: the one asked for, or that of the file if it can be written."""
    if is_video(path):
        return path.suffix if path.suffix.lower() in VIDEO_FORMATS else ".mkv"
    return wanted or (path.suffix if path.suffix.lower() in FORMATS else ".png")


def _check_video_ending(out: Path) -> None:
    """Refuse to write a video to a file whose ending names no video format."""
    if out.suffix.lower() not in VIDEO_FORMATS:
        raise UnknownNameError(
            f"{out}: cannot write videos ending in {out.suffix!r}."
            f"{nearest(out.suffix.lower(), VIDEO_FORMATS)}"
        )


def _checked_ending(ending: str) -> str:
    """Return the ending with its dot, if it can be written."""
    dotted = "." + ending.lower().removeprefix(".")
    if dotted not in FORMATS:
        legal = [name.removeprefix(".") for name in FORMATS]
        raise UnknownNameError(f"Cannot write format {ending!r}.{nearest(ending, legal)}")
    return dotted


def _refuse_collisions(tasks: Sequence[Task], out: Path) -> None:
    """Refuse two writers of one output, and outputs over inputs."""
    sources = {os.path.realpath(task.source) for task in tasks}  # links to themselves too
    files = {_identity(Path(source)) for source in sources} - {None}
    fold = _folded if _folds_names(out, tasks) else str
    writers: dict[str, Path] = {}
    for task in tasks:
        for output in task.outputs:
            place = os.path.realpath(output)
            if place in sources or _identity(output) in files:
                raise InputError(
                    f"The result of {task.source} would replace the input {place}; "
                    "choose another output folder, or a suffix for the names."
                )
            other = writers.setdefault(fold(place), task.source)
            if other != task.source:
                raise InputError(
                    f"{other} and {task.source} would both write {output}; "
                    "run them into different output folders."
                )


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what all names of one file share (another case, a hard link); None for no file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _folded(name: str) -> str:
    """Return a name as file systems that ignore case and Unicode form see it."""
    return unicodedata.normalize("NFC", name).casefold()


def _folds_names(out: Path, tasks: Iterable[Task]) -> bool:
    """Return whether names that differ only in case or Unicode form are one file beside `out`.

    It is tried out, with a file of no content, and only if there are such names.
    """
    names = {str(output) for task in tasks for output in task.outputs}
    if len({_folded(name) for name in names}) == len(names):
        return False
    folder = next(parent for parent in (out, *out.absolute().parents) if parent.is_dir())
    try:
        with tempfile.NamedTemporaryFile(prefix=".Case-", dir=folder) as file:
            return Path(file.name).with_name(Path(file.name).name.swapcase()).exists()
    except OSError:  # nothing can be written there, which is reported when it is tried
        return False
