"""The multigrid solver: its bound, its grids, and what it does when it cannot keep its promise."""

import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest
from numpy.typing import NDArray

from vocsmooth.errors import ConvergenceError
from vocsmooth.operators import compiled_solvers, kernels
from vocsmooth.operators.multigrid import coarsening as galerkin
from vocsmooth.operators.multigrid import cycle as boxmg
from vocsmooth.operators.multigrid import solver as multigrid

Couplings = NDArray[np.float32]


def couplings(height: int, width: int, decades: float) -> tuple[Couplings, Couplings]:
    """Couplings of random size over some decades, none across the border."""
    rng = np.random.default_rng(2)
    east, south = (10.0 ** rng.uniform(-1, decades - 1, (2, height, width))).astype(np.float32)
    east[:, -1] = 0
    south[-1] = 0
    return east, south


def matrix(east: Couplings, south: Couplings) -> NDArray[np.float64]:
    """1 + L as a dense matrix."""
    size = east.size
    columns = [
        multigrid.apply_system(east, south, unit.reshape(1, *east.shape)).ravel()
        for unit in np.eye(size)
    ]
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("decades", [1, 3, 6])
@pytest.mark.parametrize("tolerance", [1e-2, 1e-6, 1e-10])
def test_no_pixel_is_further_off_than_the_tolerance(
    decades: float, tolerance: float, backend: str
) -> None:
    east, south = couplings(21, 18, decades)
    image = np.random.default_rng(0).random((2, 21, 18))
    solved = multigrid.solver(image.shape)(east, south, image, image, tolerance)
    expected = np.linalg.solve(matrix(east, south), image.reshape(2, -1).T).T.reshape(image.shape)
    assert np.abs(solved - expected).max() <= tolerance + 1e-13 * 10**decades


def test_a_solver_can_be_used_again(backend: str) -> None:
    """Its memory holds nothing over from an earlier system."""
    image = np.random.default_rng(1).random((3, 16, 27))
    solve = multigrid.solver(image.shape)
    weak, strong = couplings(16, 27, 1), couplings(16, 27, 4)
    first = solve(*weak, image, image, 1e-8).copy()
    solve(*strong, image, image, 1e-8)
    np.testing.assert_array_equal(solve(*weak, image, image, 1e-8), first)


def test_memory_handed_on_from_another_solver_holds_nothing_over(backend: str) -> None:
    """A new thread starts with memory of its own."""
    image = np.random.default_rng(1).random((2, 9, 13))
    weak, strong = couplings(9, 13, 1), couplings(9, 13, 4)

    def solve() -> NDArray[np.float64]:
        return multigrid.solver(image.shape)(*weak, image, image, 1e-8)

    with ThreadPoolExecutor(1) as pool:
        expected = pool.submit(solve).result()
    multigrid.solver(image.shape)(*strong, image, image, 1e-8)
    np.testing.assert_array_equal(solve(), expected)


@pytest.mark.skipif(kernels.library is None, reason="NumPy keeps no memory")
def test_large_memory_serves_all_systems_of_a_solver_and_goes_with_it() -> None:
    shape = (3, 900, 1200)
    image = np.random.default_rng(1).random(shape)
    weak = couplings(900, 1200, 1)
    tracemalloc.start()
    try:
        solve = multigrid.solver(shape)
        solve(*weak, image, image, 1e-2)
        held = tracemalloc.get_traced_memory()[0]
        assert held > multigrid.MOST_IDLE
        solve(*weak, image, image, 1e-2)
        assert tracemalloc.get_traced_memory()[1] < held + multigrid.MOST_IDLE
        del solve
        assert tracemalloc.get_traced_memory()[0] < 1e6
    finally:
        tracemalloc.stop()


@pytest.mark.skipif(kernels.library is None, reason="NumPy keeps no memory")
def test_threads_together_keep_no_more_than_one_may() -> None:
    """As many as solved at the same time, and wait for more to do."""
    shape, threads = (3, 256, 256), 8
    image = np.random.default_rng(1).random(shape)
    weak = couplings(256, 256, 1)
    workspace = compiled_solvers.screened_workspace(shape).nbytes
    assert threads * workspace > 1.2 * multigrid.MOST_IDLE
    together = Barrier(threads + 1, timeout=60)

    def work() -> None:
        solve = multigrid.solver(shape)
        solve(*weak, image, image, 1e-2)
        del solve
        together.wait()  # all have solved
        together.wait()  # all were looked at

    tracemalloc.start()
    try:
        with ThreadPoolExecutor(threads) as pool:
            done = [pool.submit(work) for _ in range(threads)]
            together.wait()
            held = tracemalloc.get_traced_memory()[0]
            together.wait()
        for one in done:
            one.result()
    finally:
        tracemalloc.stop()
    assert held < multigrid.MOST_IDLE + 1e6


def test_says_when_it_cannot_reach_the_tolerance(backend: str) -> None:
    east, south = couplings(16, 16, 4)
    image = np.random.default_rng(1).random((1, 16, 16))
    with pytest.raises(ConvergenceError, match="Use a smaller lam or a larger sharpness"):
        multigrid.solver(image.shape)(east, south, image, image, 0.0)


def test_inputs_are_not_written_to(backend: str) -> None:
    east, south = couplings(8, 11, 2)
    image, guess = np.random.default_rng(1).random((2, 1, 8, 11))
    for array in (east, south, image, guess):
        array.flags.writeable = False
    multigrid.solver(image.shape)(east, south, image, guess, 1e-6)


def test_weights_sum_to_one_even_where_all_couplings_are_negative() -> None:
    """P must map constants to constants, or P'AP is not what the couplings say."""
    rng = np.random.default_rng(4)
    shape = (10, 12)
    signed = [rng.normal(-1, 1, shape) for _ in range(4)]
    for values in signed:  # nothing is coupled to what lies outside
        values[-1] = values[:, -1] = values[:, 0] = 0
    east, south, southeast, southwest = (galerkin.split(values) for values in signed)
    fine = galerkin.Couplings(
        mass=galerkin.split(np.ones(shape), 1),
        east=east,
        south=south,
        southeast=southeast,
        southwest=southwest,
    )
    weights, _ = galerkin.coarsen(fine)
    np.testing.assert_allclose(sum(weights.across), 1, rtol=1e-5)
    np.testing.assert_allclose(sum(weights.down), 1, rtol=1e-5)
    np.testing.assert_allclose(sum(weights.centre), 1, rtol=1e-5)


@pytest.mark.parametrize("shape", [(8, 10), (7, 9), (6, 5)])
def test_the_coarse_grid_has_the_energy_of_what_it_interpolates(shape: tuple[int, int]) -> None:
    """x'P'LPx: a coarse field and its interpolation on the fine grid have the same L-energy."""
    east, south = (galerkin.split(c) for c in couplings(*shape, 3))
    fine = galerkin.Couplings(mass=galerkin.split(np.ones(shape), 1), east=east, south=south)
    weights, coarse = galerkin.coarsen(fine)
    field = np.random.default_rng(3).random(weights.across[0].shape).astype(np.float32)
    assert energy(coarse, field) == pytest.approx(
        energy(fine, upsample(weights, field, shape)), rel=1e-4
    )


@pytest.mark.parametrize("shape", [(8, 10), (7, 9), (9, 4)])
def test_a_turned_grid_has_the_energy_of_the_transposed_field(shape: tuple[int, int]) -> None:
    values = np.random.default_rng(6).random((4, *shape))
    for strength in values:  # nothing is coupled to what lies outside
        strength[-1] = strength[:, -1] = strength[:, 0] = 0
    east, south, southeast, southwest = (galerkin.split(strength) for strength in values)
    mass = galerkin.split(np.ones(shape), 1)
    grid = galerkin.Couplings(
        mass=mass, east=east, south=south, southeast=southeast, southwest=southwest
    )
    field = np.random.default_rng(3).random(shape).astype(np.float32)
    assert energy(grid.turned(), field.T) == pytest.approx(energy(grid, field), rel=1e-5)


@pytest.mark.parametrize("shape", [(1, 1), (4, 6), (5, 7)])
def test_quarters_are_put_together_again(shape: tuple[int, int]) -> None:
    field = np.random.default_rng(0).random((2, *shape)).astype(np.float32)
    np.testing.assert_array_equal(galerkin.join(galerkin.split(field), shape), field)
    turned = galerkin.join(galerkin.turn(galerkin.split(field)), shape[::-1])
    np.testing.assert_array_equal(turned, field.swapaxes(1, 2))


def energy(grid: galerkin.Couplings, x: NDArray[np.float32]) -> float:
    """Sum of coupling times squared difference."""
    x = x.astype(np.float64)
    east, south = galerkin.join(grid.east, x.shape), galerkin.join(grid.south, x.shape)
    total = (east[:, :-1] * np.diff(x, axis=1) ** 2).sum()
    total += (south[:-1] * np.diff(x, axis=0) ** 2).sum()
    if grid.southeast is not None and grid.southwest is not None:
        southeast = galerkin.join(grid.southeast, x.shape)
        southwest = galerkin.join(grid.southwest, x.shape)
        total += (southeast[:-1, :-1] * (x[1:, 1:] - x[:-1, :-1]) ** 2).sum()
        total += (southwest[:-1, 1:] * (x[1:, :-1] - x[:-1, 1:]) ** 2).sum()
    return float(total)


def upsample(
    weights: galerkin.Interpolation, field: NDArray[np.float32], shape: tuple[int, int]
) -> NDArray[np.float32]:
    """P times a field."""
    fine = np.zeros((2 * field.shape[0], 2 * field.shape[1]), np.float32)
    here, right = field, np.pad(field, ((0, 0), (0, 1)))[:, 1:]
    below = np.pad(field, ((0, 1), (0, 0)))[1:]
    below_right = np.pad(field, ((0, 1), (0, 1)))[1:, 1:]
    fine[::2, ::2] = here
    fine[::2, 1::2] = weights.across[0] * here + weights.across[1] * right
    fine[1::2, ::2] = weights.down[0] * here + weights.down[1] * below
    corners = zip(weights.centre, (here, right, below, below_right), strict=True)
    fine[1::2, 1::2] = np.sum([weight * value for weight, value in corners], axis=0)
    return fine[: shape[0], : shape[1]]


def test_one_cycle_reduces_the_error_by_half_or_more() -> None:
    east, south = couplings(33, 40, 3)
    image = np.random.default_rng(5).random((1, 33, 40)).astype(np.float32)
    rhs = multigrid.apply_system(east, south, image)
    step = boxmg.cycle(boxmg.build_grids(east, south), rhs)
    assert np.linalg.norm(step - image) < 0.5 * np.linalg.norm(image)
