"""All smoothing operators by name, for recipes and commands."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from vocsmooth.arrays import FloatImage
from vocsmooth.operators.guided import guided_filter
from vocsmooth.operators.ils import ils_smooth
from vocsmooth.operators.l0 import l0_smooth
from vocsmooth.operators.pyramid import pyramid_texture_filter
from vocsmooth.operators.rolling import rolling_guidance_filter
from vocsmooth.operators.rtv import rtv_smooth
from vocsmooth.operators.sd import sd_filter
from vocsmooth.settings import nearest

OPERATORS: dict[str, Callable[..., FloatImage]] = {
    "l0": l0_smooth,
    "rtv": rtv_smooth,
    "guided": guided_filter,
    "rolling": rolling_guidance_filter,
    "ils": ils_smooth,
    "sd": sd_filter,
    "pyramid": pyramid_texture_filter,
}
"""The operators by name; each takes an image and keyword arguments.

Examples
--------
>>> sorted(OPERATORS)
['guided', 'ils', 'l0', 'pyramid', 'rolling', 'rtv', 'sd']
>>> import numpy as np
>>> OPERATORS["guided"](np.full((1, 2), 0.5), radius=1).tolist()
[[0.5, 0.5]]
"""


def smooth(image: FloatImage, operator: str, **params: Any) -> FloatImage:
    """Smooth an image with the operator of this name.

    Parameters
    ----------
    image : (H, W) or (H, W, C) float32 or float64 in [0, 1]
        Left as it is.
    operator : str
        A key of `OPERATORS`.
    **params
        The operator's own keyword arguments.

    Returns
    -------
    Shape and dtype of `image`.

    Raises
    ------
    ValueError, TypeError
        Unknown operator or parameter (the message names the nearest), or what the operator raises.

    Examples
    --------
    >>> import numpy as np
    >>> smooth(np.full((2, 3), 0.5), "guided", radius=1, eps=0.1).tolist()
    [[0.5, 0.5, 0.5], [0.5, 0.5, 0.5]]
    """
    check_params(operator, params)
    return OPERATORS[operator](image, **params)


def check_params(operator: str, params: dict[str, Any]) -> None:
    """Refuse an unknown operator or parameter name before any work is done.

    Parameters
    ----------
    operator : str
        A key of `OPERATORS`.
    params : dict
        Keyword arguments for it; their values are not looked at.

    Raises
    ------
    ValueError
        There is no such operator; the message names the nearest.
    TypeError
        `operator` is not a str, or has no such parameter; the message names the nearest.

    Examples
    --------
    >>> check_params("rtv", {"lam": 0.02})
    >>> check_params("rtv", {"lamb": 0.02})
    Traceback (most recent call last):
    TypeError: Operator 'rtv' has no parameter 'lamb'. Did you mean 'lam'?
    """
    if not isinstance(operator, str):
        raise TypeError(f"operator must be the name of an operator, as str, got {operator!r}.")
    if operator not in OPERATORS:
        raise ValueError(f"No operator {operator!r}.{nearest(operator, OPERATORS)}")
    legal = list(inspect.signature(OPERATORS[operator]).parameters)[1:]
    for name in params:
        if name not in legal:
            raise TypeError(
                f"Operator {operator!r} has no parameter {name!r}.{nearest(name, legal)}"
            )
