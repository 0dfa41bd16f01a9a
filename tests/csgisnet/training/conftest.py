"""A laboratory for runs, on one thread."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from lab import Lab


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    """Bits depend on the number of threads; the children take one too."""
    torch.set_num_threads(1)


@pytest.fixture
def lab(data_dir: Path, segmenter_file: Path, tmp_path: Path) -> Lab:
    return Lab(data_dir, segmenter_file, tmp_path)
