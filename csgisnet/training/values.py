"""Losses and gradient norms of the last steps; they stay on the device until logged."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import torch
from torch import Tensor

from csgisnet.training.distributed import Processes


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepTable:
    """Values of consecutive steps, averaged over all processes."""

    names: tuple[str, ...]
    """What each column holds."""
    rows: Tensor
    """One row a step, (steps, names), on the CPU."""

    def means(self) -> dict[str, float]:
        """Return the mean of each column over the steps, by name."""
        return dict(zip(self.names, self.rows.mean(dim=0).tolist(), strict=True))

    def first_bad(self) -> int | None:
        """Return the first row that holds a NaN or an infinity, or None."""
        bad = (~self.rows.isfinite()).any(dim=1).nonzero().flatten()
        return int(bad[0]) if len(bad) else None

    def describe(self, row: int) -> str:
        """Return the names and values of a row, as error messages show them."""
        values = self.rows[row].tolist()
        return ", ".join(f"{n} {v:.4g}" for n, v in zip(self.names, values, strict=True))


class StepValues:
    """Collects what each step returns. Adding does not wait for the device; taking does."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._steps: list[Mapping[str, Tensor]] = []

    def add(self, values: Mapping[str, Tensor]) -> None:
        """Append the values of one step, as `Training.advance` returns them."""
        self._steps.append(values)

    def take(self) -> StepTable:
        """Return the values of the steps since the last call; all processes must call together."""
        names = tuple(self._steps[0])
        rows = torch.stack([torch.stack([step[n] for n in names]) for step in self._steps])
        self._steps.clear()
        return StepTable(names=names, rows=self._processes.mean(rows).cpu())
