"""Keep the best few networks of a run, each in a file whose name gives its score and step.

The name is the only record of the rank: it appears in the same instant as the file, and a copy of
the file takes it along. A list kept in a file beside it could disagree with the folder after a
crash.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from csgisnet.checkpoints.networks import save_network
from csgisnet.networks.smoothing import SmoothingNetwork

if TYPE_CHECKING:
    from csgisnet.networks.own import OwnNetwork

BEST_FILE = "best.safetensors"
"""Name of a copy of the run's best network; it stays the same."""

_NAME = re.compile(r"best-(-?\d+\.\d+)-step(\d+)\.safetensors")


class _Rank(NamedTuple):
    """Sorts networks by score, the highest first, and equal scores by step, the earliest first."""

    negative_score: float
    step: int


def save_best(
    folder: Path,
    score: float,
    step: int,
    network: SmoothingNetwork | OwnNetwork,
    *,
    metadata: Mapping[str, Any] | None = None,
    keep: int = 3,
) -> Path | None:
    """Write `network` if its score (higher is better) is among the `keep` best of the run.

    Of two equal scores, the earlier step is the better one.

    Returns
    -------
    Path or None
        The file written, or None if the score is not among the best. Files that drop out of the
        best are removed.
    """
    path = folder / f"best-{score:.6f}-step{step:09d}.safetensors"
    best = list_best(folder)
    if len(best) >= keep and _rank(path) > _rank(best[keep - 1]):
        return None
    if isinstance(network, SmoothingNetwork):
        save_network(path, network, metadata)
    else:
        from csgisnet.checkpoints.own import save_module  # not for those who only load ours

        save_module(path, network.network, metadata)
    for old in list_best(folder)[keep:]:
        old.unlink()
    return path


def list_best(folder: Path) -> list[Path]:
    """Return the files of `save_best` in a run's folder, the best first."""
    return sorted((path for path in folder.iterdir() if _NAME.fullmatch(path.name)), key=_rank)


def _rank(path: Path) -> _Rank:
    """Return the rank that a file of `save_best` has by its name."""
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise ValueError(f"{path.name!r} is not the name of a best checkpoint.")
    return _Rank(-float(match[1]), int(match[2]))
