"""Fixtures that all tests share."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of reference material beside the repository; tests that need it skip without it."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not (folder / "operators").is_dir():
        pytest.skip("needs the reference folder shared/ beside the repository")
    return folder
