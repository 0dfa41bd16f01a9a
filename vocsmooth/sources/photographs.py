"""The photographs that scikit-image bundles: where they are, and who made them."""

from __future__ import annotations

from importlib import resources
from pathlib import Path


def bundled_folder() -> Path:
    """Return the folder of the photographs in the installed scikit-image."""
    return Path(str(resources.files("skimage"))) / "data"
