from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from segfield.drift.counts import Land, Sparse, cell, cells_of, centres, count, missing_at_sea

AXIS = np.linspace(0.0, 1.0, 11)


@pytest.fixture
def land(flow: Callable[..., Any]) -> Land:
    """A sea of one degree whose north-east quarter is land, and one point in which v alone is missing."""
    u, v = flow(lambda y, x, _: np.where((y > 0.55) & (x > 0.55), np.nan, 0.0), lambda y, x, _: 0.0, AXIS, AXIS)
    v.values[:, 2, 2] = np.nan
    u.values[3, 0, 0] = np.nan  # missing once
    return Land(u, v, 20)


def wander(rng: np.random.Generator, ensembles: int = 3, steps: int = 8, particles: int = 50) -> np.ndarray:
    """Draw paths that jump about, and off the grid; some end in NaN."""
    paths = 0.5 + np.cumsum(rng.normal(0, 0.15, (ensembles, steps + 1, particles, 2)), axis=1)
    ends = rng.integers(1, 3 * steps, (ensembles, 1, particles, 1))
    return np.where(np.arange(steps + 1)[None, :, None, None] >= ends, np.nan, paths).astype(np.float32)


@pytest.mark.parametrize("region", [None, (2, 18, 1, 19)])
@pytest.mark.parametrize("seed", range(5))
def test_particles_are_inside_left_or_beached_at_every_time_and_none_comes_back(
    land: Land, seed: int, region: tuple[int, int, int, int] | None
) -> None:
    sparse = count(wander(np.random.default_rng(seed)), land, 2, region)
    counts, (left, beached) = sparse.dense(region or sparse.rectangle())
    one_by_one = [one.dense(region or sparse.rectangle()) for one in sparse.each()]
    np.testing.assert_array_equal(np.concatenate([its for its, _ in one_by_one]), counts)
    np.testing.assert_array_equal(np.concatenate([lost for _, lost in one_by_one], axis=1), [left, beached])
    inside = counts.sum((-1, -2), dtype=int)
    assert (inside + left + beached == 50).all()
    for losses in (left, beached, 50 - inside):
        assert (np.diff(losses.astype(int), axis=1) >= 0).all()
    assert left[:, -1].min() > 0
    assert beached[:, -1].min() > 0


def test_a_cell_holds_as_many_particles_as_numpy_finds_in_it(land: Land) -> None:
    positions = np.random.default_rng(0).uniform(0.0, 0.5, (2, 3, 200, 2)).astype(np.float32)
    positions[..., 0] += 0.35  # away from the land that is a point
    positions[..., 1] *= 0.9
    counts, _ = count(positions, land, 1).dense((0, 20, 0, 20))
    edges = np.linspace(0, 1, 21)
    for sample in range(2):
        for step in range(3):
            expected, _, _ = np.histogram2d(*positions[sample, step].T.astype(float), bins=(edges, edges))
            np.testing.assert_array_equal(counts[sample, step], expected)


def test_a_particle_that_was_on_land_between_two_maps_is_beached_for_good(land: Land) -> None:
    path = np.array([[0.3, 0.5], [0.8, 0.8], [0.3, 0.5]], dtype=np.float32)
    sparse = count(path[None, :, None], land, 2)
    assert (sparse.beached.tolist(), sparse.left.tolist(), sparse.counts.tolist()) == ([[0, 1]], [[0, 0]], [1])


def test_a_particle_that_was_out_of_the_region_or_the_domain_between_two_maps_has_left_for_good(land: Land) -> None:
    for outside in ([0.3, 0.05], [np.nan, np.nan]):
        path = np.array([[0.3, 0.5], outside, [0.3, 0.5]], dtype=np.float32)
        sparse = count(path[None, :, None], land, 2, region=(0, 20, 2, 20))
        assert (sparse.left.tolist(), sparse.beached.tolist()) == ([[0, 1]], [[0, 0]])


def test_land_is_where_u_or_v_is_never_known(land: Land) -> None:
    assert land.at([0.9, 0.2, 0.0, 0.3], [0.9, 0.2, 0.0, 0.8]).tolist() == [True, True, False, False]
    latitude, longitude = land.nearest_sea(0.6, 0.95)
    assert (latitude, longitude) == pytest.approx((0.5, 0.9), abs=0.11)
    assert not land.at(latitude, longitude)


def test_what_is_missing_at_sea_for_a_time_is_no_land_and_is_counted(flow: Callable[..., Any]) -> None:
    u, v = flow(lambda y, x, _: np.where(x > 0.55, np.nan, 0.0), lambda y, x, _: 0.0, AXIS, AXIS)
    assert missing_at_sea(u, v) == 0
    u.values[3, 0, 0] = v.values[4, 5, 5] = np.nan
    assert missing_at_sea(u, v) == pytest.approx(2 / (7 * 66))
    v.values[:] = np.nan
    assert missing_at_sea(u, v) == 0


def test_cells_are_aligned_to_whole_multiples_of_their_size() -> None:
    assert cell([37.89, -0.001, 0.0], 100).tolist() == [3789, -1, 0]
    assert cells_of((37.89, 38.89, -2.71, 3.711), 100) == (3789, 3889, -271, 372)
    np.testing.assert_allclose(centres(-1, 2, 4), [-0.125, 0.125, 0.375])


def test_counts_of_nobody_are_zero(land: Land) -> None:
    sparse = count(np.full((2, 3, 4, 2), np.nan, dtype=np.float32), land, 1)
    assert isinstance(sparse, Sparse)
    assert sparse.rectangle() is None
    assert sparse.dense((0, 2, 0, 2))[0].sum() == 0
    assert (sparse.left == 4).all()
