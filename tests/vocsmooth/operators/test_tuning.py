"""Grids: one for every operator, of parameters that it takes, the defaults among them."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from vocsmooth.operators.table import OPERATORS, smooth
from vocsmooth.operators.tuning import GRIDS, combinations
from vocsmooth.settings import describe_operator


def test_every_operator_has_a_grid() -> None:
    assert set(GRIDS) == set(OPERATORS)


@pytest.mark.parametrize("operator", sorted(OPERATORS))
def test_combinations_are_legal_distinct_and_hold_the_defaults(operator: str) -> None:
    found = combinations(operator)
    assert len(found) == np.prod([len(values) for values in GRIDS[operator].values()])
    assert len({describe_operator(operator, params) for params in found}) == len(found)
    for params in found:
        smooth(np.zeros((2, 2), np.float32), operator, **params)
    parameters = inspect.signature(OPERATORS[operator]).parameters
    assert {name: parameters[name].default for name in GRIDS[operator]} in found
    for values in GRIDS[operator].values():
        assert list(values) == sorted(set(values))


def test_an_unknown_operator_names_the_nearest() -> None:
    with pytest.raises(ValueError, match=r"'rvt'\. Did you mean 'rtv'"):
        combinations("rvt")
