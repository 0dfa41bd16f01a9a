"""The package offers its loader without the cost of torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

import csgisnet
from csgisnet.prediction import loading, smoother


def test_importing_the_package_does_not_import_torch() -> None:
    code = (
        "import sys, csgisnet\n"
        "assert 'load' in dir(csgisnet) and 'torch' not in sys.modules\n"
        "assert callable(csgisnet.load) and 'torch' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_lazy_names_are_those_of_prediction() -> None:
    assert csgisnet.load is loading.load
    assert csgisnet.Smoother is smoother.Smoother


def test_other_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'laod'"):
        _ = csgisnet.laod
