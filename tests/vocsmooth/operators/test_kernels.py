"""The compiled kernels: what they say of themselves, that they are built, and their errors."""

import numpy as np
import pytest

from vocsmooth.operators import kernels


def test_describes_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    if kernels.library is not None:
        assert kernels.describe().startswith("C (_kernels")
    monkeypatch.setattr(kernels, "library", None)
    assert "no compiled kernels" in kernels.describe()


def test_without_the_library_its_functions_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "library", None)
    with pytest.raises(RuntimeError, match="not built"):
        kernels.screened_workspace((1, 2, 3))


@pytest.mark.skipif(kernels.library is None, reason="the kernels were not compiled")
def test_rtv_weights_take_any_strides() -> None:
    image = np.random.default_rng(0).random((9, 14, 3))
    view = np.moveaxis(image, 2, 0)
    kernel = np.array([0.4, 0.3], np.float32)
    for strided, contiguous in zip(
        kernels.rtv_weights(view, kernel, lam=0.1, sharpness=0.02, windowed_floor=1e-3),
        kernels.rtv_weights(view.copy(), kernel, lam=0.1, sharpness=0.02, windowed_floor=1e-3),
        strict=True,
    ):
        np.testing.assert_array_equal(strided, contiguous)
