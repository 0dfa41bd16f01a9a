"""Show what an arm of the study of priors changes in two pictures that it has not seen.

    python -m benchmarks.priors_sheet "directional 0.3" --shown oracle \\
        --sheet benchmarks/results/priors-sheet.jpg STUDY...

STUDY stands for the arguments of `benchmarks.priors`, whose runs must have ended; the networks are
those of its first seed. The upper row is the picture in domain that gains most by the arm, the
lower row the one that loses most: input, label, baseline, the arm, other arms.
"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from torch import nn

from benchmarks.pictures import panel
from benchmarks.priors import open_study, parse_arguments
from benchmarks.priors_arms import ARMS, BASELINE
from benchmarks.priors_judging import Sample, smooth_with
from benchmarks.priors_runs import network_of
from csgisnet.evaluation.measure import finite_psnr
from vocsmooth.files import write_atomically
from vocsmooth.views.sheet import Panel, compose_sheet


def main() -> None:
    """Load the networks, choose the pictures, write the sheet."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("arm", choices=ARMS, help="whose best and worst picture is shown")
    parser.add_argument("--shown", nargs="*", choices=ARMS, default=[], help="other arms")
    parser.add_argument("--sheet", type=Path, required=True, help="JPEG file")
    given, rest = parser.parse_known_args()
    sys.argv[1:] = rest
    asked = parse_arguments()
    study = open_study(asked)
    names = dict.fromkeys((BASELINE, given.arm, *given.shown))
    networks = {name: network_of(name, asked.seeds[0], study) for name in names}
    gains = [
        _psnr(networks[given.arm], sample) - _psnr(networks[BASELINE], sample)
        for sample in study.domain
    ]
    rows = [
        _row(study.domain[int(place)], networks) for place in (np.argmax(gains), np.argmin(gains))
    ]
    buffer = io.BytesIO()
    Image.fromarray(compose_sheet(rows)).save(buffer, "JPEG", quality=85)
    write_atomically(given.sheet, buffer.getvalue())


def _psnr(network: nn.Module, sample: Sample) -> float:
    return finite_psnr(smooth_with(network, sample), sample.label)


def _row(sample: Sample, networks: dict[str, nn.Module]) -> list[Panel]:
    """Return a picture's panels."""
    results = {name: smooth_with(network, sample) for name, network in networks.items()}
    captions = {
        f"{name} {finite_psnr(result, sample.label):.1f} dB": result
        for name, result in results.items()
    }
    shown = {"input": sample.input, "label": sample.label, **captions}
    return [panel(name, image) for name, image in shown.items()]


if __name__ == "__main__":
    main()
