from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from segfield.densities import KM_PER_DEGREE
from segfield.drift.counts import Land
from segfield.drift.protocol import Protocol
from segfield.drift.release import check, draw, possible_starts, released

PROTOCOL = Protocol(box=(38, 39, 2, 3), particles=500, days=1, resolution=20)
TIME = np.datetime64("2005-04-01T12:00", "ns") + np.arange(7) * np.timedelta64(1, "D")


@pytest.fixture
def land(flow: Callable[..., Any]) -> Land:
    """A box whose west half is land."""
    axes = np.linspace(37, 40, 31), np.linspace(1, 4, 31)
    return Land(*flow(lambda y, x, _: np.where(x < 2.45, np.nan, 0.0), lambda y, x, _: 0.0, *axes), 20)


def test_starts_are_multiples_of_a_map_whose_days_lie_within_the_fields() -> None:
    starts = possible_starts(TIME, PROTOCOL, [])
    assert starts[0] == np.datetime64("2005-04-01T12:00")
    assert starts[-1] == np.datetime64("2005-04-06T06:00")  # a day and a map before the last field
    assert set(np.diff(starts)) == {np.timedelta64(6, "h")}


def test_no_ensemble_crosses_a_gap() -> None:
    gap = TIME[2], TIME[5]
    starts = possible_starts(TIME, replace(PROTOCOL, days=0.5), [gap])
    assert starts.size
    ends = starts + np.timedelta64(18, "h")
    assert ((ends <= gap[0]) | (starts >= gap[1])).all()
    assert (starts >= gap[1]).any()


def test_where_no_start_is_possible_the_days_of_the_fields_are_told() -> None:
    said = (
        r"No ensemble can start: days=5 and a map of 6 hours need 5.25 days .* they cover 2005-04-01 12 h to "
        r"2005-04-03 12 h, 2005-04-05 12 h to 2005-04-07 12 h. Use fewer days"
    )
    with pytest.raises(ValueError, match=said):
        possible_starts(TIME, replace(PROTOCOL, days=5), [(TIME[2], TIME[4])])


def test_an_ensemble_is_a_function_of_seed_and_number(land: Land) -> None:
    starts = possible_starts(TIME, PROTOCOL, [])
    one, again, other, seed = (
        draw(protocol, number, starts, land)
        for protocol, number in (
            (PROTOCOL, 3),
            (replace(PROTOCOL, block=7), 3),
            (PROTOCOL, 4),
            (replace(PROTOCOL, seed=1), 3),
        )
    )
    np.testing.assert_array_equal(one.positions, again.positions)
    assert (one.start, one.centre) == (again.start, again.centre)
    assert len({one.centre, other.centre, seed.centre}) == 3


def test_particles_fill_a_disc_uniformly(land: Land) -> None:
    protocol = replace(PROTOCOL, particles=20_000, radius_km=5, points=((38.5, 2.9),))
    found = draw(protocol, 0, TIME, land)
    north = (found.positions[:, 0] - 38.5) * KM_PER_DEGREE
    east = (found.positions[:, 1] - 2.9) * KM_PER_DEGREE * np.cos(np.deg2rad(38.5))
    far = np.hypot(north, east)
    assert 4.95 < far.max() < 5.01
    np.testing.assert_allclose(np.quantile(far, [0.25, 0.5, 0.75]), 5 * np.sqrt([0.25, 0.5, 0.75]), rtol=0.03)


def test_centres_and_particles_are_drawn_at_sea_and_what_was_on_land_is_counted(land: Land) -> None:
    drawn = [draw(replace(PROTOCOL, particles=50, radius_km=20), number, TIME, land) for number in range(40)]
    assert not any(land.at(*one.centre) for one in drawn)
    assert not np.concatenate([land.at(one.positions[:, 0], one.positions[:, 1]) for one in drawn]).any()
    assert 15 < sum(one.redrawn for one in drawn) < 90  # 45 % of the box are land: 33 expected


def test_points_are_taken_in_turn(land: Land) -> None:
    protocol = replace(PROTOCOL, points=((38.5, 2.9), (38.6, 2.8)))
    assert [draw(protocol, number, TIME, land).centre for number in range(3)] == [(38.5, 2.9), (38.6, 2.8), (38.5, 2.9)]


def test_a_point_on_land_is_refused_with_the_nearest_sea(land: Land) -> None:
    with pytest.raises(ValueError, match=r"points=\[\[38.5,2.2\]\] lies on land. The nearest sea is at \[38.5,2.5\]"):
        check(replace(PROTOCOL, points=((38.5, 2.9), (38.5, 2.2))), land)


def test_a_box_without_sea_is_refused(land: Land, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segfield.drift.release._TRIES", 20)
    with pytest.raises(ValueError, match=r"box=\[38.0, 38.5, 1.5, 2.0\] has no sea: 20 points in it were on land"):
        draw(replace(PROTOCOL, box=(38, 38.5, 1.5, 2.0)), 0, TIME, land)
    nowhere = replace(PROTOCOL, points=((38.5, 2.2),))
    land.mask[:] = True
    with pytest.raises(ValueError, match="All of the fields is land"):
        check(nowhere, land)


LATITUDE, LONGITUDE = 38 + (np.arange(30) + 0.5) / 50, 2.2 + (np.arange(30) + 0.5) / 50
SEA = np.broadcast_to(LONGITUDE > 2.45, (30, 30))


def test_the_density_of_a_release_is_that_of_many_drawn_particles(flow: Callable[..., Any]) -> None:
    axes = np.linspace(37, 40, 151), np.linspace(1, 4, 151)
    coast = Land(*flow(lambda y, x, _: np.where(x < 2.45, np.nan, 0.0), lambda y, x, _: 0.0, *axes), 50)
    point = (38.3, 2.5)
    protocol = Protocol(box=(38, 39, 2, 3), points=(point,), particles=60_000)
    drawn = draw(protocol, 0, TIME, coast).positions
    edges = [np.r_[axis - 0.01, axis[-1] + 0.01] for axis in (LATITUDE, LONGITUDE)]
    shares = np.histogram2d(*drawn.T, bins=edges)[0] / len(drawn)
    sea = ~coast.at(LATITUDE[:, None], LONGITUDE[None])
    found = released(point, protocol.radius_km, LATITUDE, LONGITUDE, sea)
    assert np.abs(found.density - shares).sum() < 0.05
    assert 0.05 < found.land < 0.5
    assert found.outside == 0
    assert found.density.sum() == pytest.approx(1)
    assert not found.density[~sea].any()


def test_what_is_released_beyond_the_cells_has_left() -> None:
    found = released((38.0, 2.6 + 360), 5, LATITUDE, LONGITUDE, SEA)
    assert 0.3 < found.outside < 0.5
    assert found.centre == pytest.approx((38.0, 2.6))
    assert found.density.sum() == pytest.approx(1 - found.outside)


def test_a_circle_smaller_than_a_cell_is_one_cell() -> None:
    density = released((38.31, 2.61), 0.01, LATITUDE, LONGITUDE, SEA).density
    assert (density[15, 20], density.sum()) == (1, 1)


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ((38.3, 2.3), r"point=\[38.3,2.3\] lies on land. The nearest sea is at \[38.29,2.47\]: use point="),
        ((37, 2.6), r"point=\[37,2.6\] is outside of the region .*: latitude 38 to 38.6, longitude 2.2 to 2.8."),
    ],
)
def test_nothing_is_released_on_land_or_outside(point: tuple[float, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        released(point, 5, LATITUDE, LONGITUDE, SEA)


def test_a_region_of_land_has_no_nearest_sea() -> None:
    with pytest.raises(ValueError, match="lies on land, as all of the region does"):
        released((38.3, 2.6), 5, LATITUDE, LONGITUDE, np.zeros_like(SEA))
