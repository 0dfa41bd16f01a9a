"""Commands for what people smooth images for: `enhance`, `abstract` and `compose`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from vocsmooth.settings import nearest

from . import completion, options
from .operator_options import chosen_operator, operator_command

if TYPE_CHECKING:
    from vocsmooth.arrays import FloatImage

Smooth: TypeAlias = "Callable[[FloatImage], FloatImage]"


def _parse_strengths(
    context: click.Context, option: click.Parameter, values: tuple[str, ...]
) -> dict[str, float]:
    """Return the strength of each class that is named as CLASS=NUMBER."""
    from vocsmooth.classes import VOC_CLASSES

    strengths = {}
    for value in values:
        name, equals, number = value.partition("=")
        if not equals:
            raise click.BadParameter(f"{value!r} is not CLASS=NUMBER, such as person=0.2.")
        if name not in VOC_CLASSES:
            raise click.BadParameter(f"No class {name!r}.{nearest(name, VOC_CLASSES)}")
        strengths[name] = options.Finite().convert(number, option, context)
    return strengths


def run(
    inputs: tuple[str, ...],
    out: Path,
    jobs: int | None,
    function: Callable[..., FloatImage],
    **given: Any,
) -> None:
    """Apply a function of a float image to every file."""
    from vocsmooth.images.folders import on_floats
    from vocsmooth.workers.processes import available_cores

    jobs = jobs or available_cores()
    options.smooth_files(inputs, out, on_floats(function), jobs=jobs, workers="processes", **given)


@operator_command(
    click.option(
        "--amount",
        type=options.Finite(),
        default=1.5,
        help="How much of the detail to add; 0 changes nothing, below 0 smooths.",
    ),
)
def enhance(
    inputs: tuple[str, ...],
    operator: str,
    amount: float,
    out: Path,
    jobs: int | None,
    **given: Any,
) -> None:
    """Make the detail of images stronger: add what the operator would smooth away.

    Edges that the operator keeps get no halos.

    \b
    Example: vocsmooth enhance photos --operator rtv --amount 1 --out vivid
    """
    smooth = chosen_operator(operator, given)
    run(inputs, out, jobs, functools.partial(_enhanced, smooth=smooth, amount=amount), **given)


@operator_command(
    click.option(
        "--tones",
        type=click.IntRange(min=2),
        default=8,
        help="Number of tones, the steps of luminance.",
    ),
    click.option(
        "--edge-strength",
        type=options.FiniteRange(min=0),
        default=1.0,
        help="How dark the lines are: 0 draws none, 1 draws black ones.",
    ),
)
def abstract(
    inputs: tuple[str, ...],
    operator: str,
    tones: int,
    edge_strength: float,
    out: Path,
    jobs: int | None,
    **given: Any,
) -> None:
    """Turn images into drawings: smooth them, leave few tones, draw dark lines along edges.

    \b
    Example: vocsmooth abstract photos --operator l0 --tones 6 --out drawings
    """
    function = functools.partial(
        _abstracted,
        smooth=chosen_operator(operator, given),
        tones=tones,
        edge_strength=edge_strength,
    )
    run(inputs, out, jobs, function, **given)


@operator_command(
    click.option(
        "--masks",
        type=click.Path(path_type=Path),
        required=True,
        help="Folder that holds a mask NAME.png for each image, with the same sub-folders; for a "
        "single image, a file will do. Masks hold class indices or VOC's colours.",
    ),
    click.option(
        "--strength",
        "strengths",
        metavar="CLASS=NUMBER",
        shell_complete=completion.classes,
        callback=_parse_strengths,
        multiple=True,
        required=True,
        help="How strongly to smooth a class: 0 keeps it, 1 smooths it, below 0 enhances its "
        "detail. May be repeated.",
    ),
    click.option(
        "--default-strength",
        type=options.Finite(),
        default=1.0,
        help="Strength for all other classes and for void.",
    ),
    click.option(
        "--feather",
        type=options.FiniteRange(min=0),
        default=2.0,
        help="Standard deviation, in pixels, of the transition between strengths.",
    ),
)
def compose(
    inputs: tuple[str, ...],
    operator: str,
    strengths: dict[str, float],
    default_strength: float,
    feather: float,
    out: Path,
    jobs: int | None,
    **given: Any,
) -> None:
    """Smooth each class of an image's mask with a strength of its own.

    \b
    Example: vocsmooth compose photos --masks masks --operator rtv --strength person=0.2 --out out
    """
    function = functools.partial(
        _composed,
        smooth=chosen_operator(operator, given),
        strengths=strengths,
        default=default_strength,
        feather=feather,
    )
    run(inputs, out, jobs, function, **given)


def _enhanced(image: FloatImage, *, smooth: Smooth, amount: float) -> FloatImage:
    """Return the image with more detail."""
    from vocsmooth.operators.applications import detail_enhance

    return detail_enhance(image, smooth(image), amount)


def _abstracted(
    image: FloatImage, *, smooth: Smooth, tones: int, edge_strength: float
) -> FloatImage:
    """Return the image as a drawing."""
    from vocsmooth.operators.applications import abstract as draw

    return draw(smooth(image), tones, edge_strength)


def _composed(
    image: FloatImage,
    mask_file: Path,
    *,
    smooth: Smooth,
    strengths: Mapping[str, float],
    default: float,
    feather: float,
) -> FloatImage:
    """Return the image, smoothed as the classes of its mask say."""
    from vocsmooth.errors import InputError
    from vocsmooth.operators.applications import blend, strength_map
    from vocsmooth.sources.masks import read_mask

    mask = read_mask(mask_file)
    if mask.shape != image.shape[:2]:
        found, wanted = (f"{a.shape[1]} x {a.shape[0]}" for a in (mask, image))
        raise InputError(f"the mask {mask_file} has {found} pixels, the image has {wanted}.")
    amounts = strength_map(mask, strengths, default=default, feather=feather)
    return blend(image, smooth(image), amounts)
