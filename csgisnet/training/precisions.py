"""The precision of a run: chosen where it begins, and kept wherever it is resumed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from csgisnet.device import Choice, choose_precision
from csgisnet.training.distributed import Processes
from csgisnet.training.runs import Setup


def settled(
    setup: Setup, processes: Processes, report: Callable[[str], None], *, resume: bool
) -> Setup:
    """Return what a run trains with, its precision chosen; all processes must call together.

    Where the caller leaves it open ("auto") a new run takes what is fastest here. A resumed one
    goes on as it began, also on hardware for which another would be chosen: otherwise it would end
    as neither of the two does.

    Parameters
    ----------
    setup : Setup
        Of a new run, or of one that is resumed.
    processes : Processes
        Who trains together, and on which device.
    report : callable
        Told what "auto" is for a new run, and for one that is resumed where it would be another.
    resume : bool
        Whether the run began earlier.

    Raises
    ------
    ConfigError
        The device does not compute in the precision that was asked for.
    """
    began = setup.config.run.precision
    asked = setup.asked or began
    here = choose_precision(asked, processes.device)
    if asked == "auto":
        if processes.any(here.precision == "float32") and here.precision != "float32":
            here = Choice("float32", "it is what another of the processes takes")
        if resume and began == "auto" and processes.device.type == "cpu":
            began = "float32"  # earlier versions took it on processors, and did not record it
        if not resume:
            report(f"training in {here.precision}: {here.reason}")
        elif began not in ("auto", here.precision):
            report(
                f"this run began in {began} and goes on in it; a new one would be trained in "
                f"{here.precision} here: {here.reason}"
            )
    precision = here.precision if began == "auto" else began
    return dataclasses.replace(setup, asked=asked, config=setup.config.computed_in(precision))
