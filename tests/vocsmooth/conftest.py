"""A recipe that is quick on the tiny VOC tree, and the dataset they give."""

import shutil
from pathlib import Path

import pytest

from vocsmooth.dataset.build import build_dataset
from vocsmooth.maps.recipe import Recipe
from vocsmooth.operators import kernels
from vocsmooth.settings import from_dict


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    """A recipe without screening, two photographs a shard."""
    content = {
        "labels": {"fixed": {"operator": "guided"}},
        "textures": {"count": 2},
        "negatives": [
            {"name": "over", "operator": "guided", "params": {"radius": 8}, "of": "photo"},
            {"name": "under", "operator": "guided", "params": {"radius": 1}, "of": "input"},
        ],
        "shards": {"images": 2},
    }
    return from_dict(Recipe, content, "the test recipe")


@pytest.fixture(scope="session")
def pristine_dataset(
    pristine_tree: Path, recipe: Recipe, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The dataset of `pristine_tree`; for tests that only read it."""
    out = tmp_path_factory.mktemp("dataset") / "out"
    build_dataset(pristine_tree, out, recipe, jobs=1)
    return out


@pytest.fixture
def dataset(pristine_dataset: Path, tmp_path: Path) -> Path:
    """A copy of the dataset; for tests that damage it."""
    return shutil.copytree(pristine_dataset, tmp_path / "dataset")


@pytest.fixture(
    params=[
        "numpy",
        pytest.param(
            "compiled",
            marks=pytest.mark.skipif(kernels.library is None, reason="kernels were not compiled"),
        ),
    ]
)
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Run a test without and, where they were built, with the compiled kernels."""
    if request.param == "numpy":
        monkeypatch.setattr(kernels, "library", None)
    return str(request.param)
