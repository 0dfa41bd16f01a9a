"""Check an installed wheel: its libraries load here, and its kernels give what NumPy gives.

It needs NumPy and SciPy only, so that wheels can be checked where torch or OpenCV have none.
"""

from __future__ import annotations

import sys

import numpy as np

from vocsmooth.operators import kernels
from vocsmooth.operators.ils import ils_smooth
from vocsmooth.operators.l0 import l0_smooth
from vocsmooth.operators.sd import sd_filter
from vocsmooth.shards import native

LARGEST_DIFFERENCE = 1e-3


def main() -> None:
    """Print what was found; exit with a reason if it is not what a wheel should be."""
    print(kernels.describe())
    if kernels.library is None:
        sys.exit("The wheel has no compiled kernels that load here.")
    if native.library is None:
        sys.exit("The wheel has no compiled reader of shards that loads here.")
    image = np.random.default_rng(0).random((57, 83, 3))
    compiled = {f.__name__: f(image) for f in (l0_smooth, ils_smooth, sd_filter)}
    kernels.library = None
    for function in (l0_smooth, ils_smooth, sd_filter):
        difference = float(np.abs(compiled[function.__name__] - function(image)).max())
        print(f"{function.__name__}: differs from NumPy by {difference:.1e} at most")
        if not difference < LARGEST_DIFFERENCE:
            sys.exit(f"{function.__name__} differs from NumPy.")


if __name__ == "__main__":
    main()
