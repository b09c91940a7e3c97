from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from segfield.drift.sources import read_fields

Sea = Callable[..., Path]
Area = tuple[float, float, float, float]
SPEED = {"units": "m/s"}
LATITUDE, LONGITUDE = np.arange(36, 40.1, 0.5), np.arange(0, 5.1, 0.5)


def slope(latitude: np.ndarray, longitude: np.ndarray) -> np.ndarray:
    values = 0.01 * latitude[:, None] + 0.02 * longitude
    return np.stack([values, values, values]).astype(np.float32)


def staggered(sea: Sea, u: np.ndarray | None = None) -> list[Path]:
    """u on the eastern sides of the cells, v on the northern ones, in two files."""
    u = slope(LATITUDE, LONGITUDE + 0.25) if u is None else u
    return [
        sea("u.nc", uo=(u, SPEED), longitude=LONGITUDE + 0.25),
        sea("v.nc", vo=(slope(LATITUDE + 0.25, LONGITUDE), SPEED), latitude=LATITUDE + 0.25),
    ]


def test_velocities_on_the_sides_of_cells_are_brought_to_the_centres(sea: Sea, area: Area) -> None:
    sources = read_fields(staggered(sea), area)
    u, v = sources.fields["u"], sources.fields["v"]
    for field in (u, v):
        np.testing.assert_allclose(field.values, slope(field.latitude, field.longitude), atol=1e-6)
        assert set(field.latitude) <= set(LATITUDE)
        assert set(field.longitude) <= set(LONGITUDE)
        assert (field.latitude[0], field.latitude[-1]) <= (37, 39)
    np.testing.assert_array_equal(u.longitude, v.longitude)
    assert any("u and v lie on the sides of cells (C-grid)" in note for note in sources.notes)


def test_a_centre_beside_a_missing_side_is_missing_and_beside_a_still_one_moves(sea: Sea, area: Area) -> None:
    for wall, expected in ((np.nan, np.nan), (0.0, 0.2)):
        u = np.full((3, 9, 11), 0.4, np.float32)
        u[:, :, 4] = wall  # the side at 2.25 east
        field = read_fields(staggered(sea, u), area).fields["u"]
        np.testing.assert_allclose(field.values[0, 2, field.longitude == 2.0], expected)
        np.testing.assert_allclose(field.values[0, 2, field.longitude == 3.0], 0.4)


def test_staggered_velocities_of_a_model_name_their_own_degrees(sea: Sea, area: Area) -> None:
    points = {"u": (LATITUDE, LONGITUDE + 0.25), "v": (LATITUDE + 0.25, LONGITUDE)}
    paths = []
    for name, (latitude, longitude) in points.items():
        rows, columns = np.meshgrid(latitude, longitude, indexing="ij")
        degrees = {f"lat_{name}": (("y", "x"), rows, {}), f"lon_{name}": (("y", "x"), columns, {})}
        said = SPEED | {"coordinates": f"lon_{name} lat_{name}"}
        paths.append(
            sea(
                f"{name}.nc", dims=("time", "y", "x"), coordinates=degrees, **{name: (slope(latitude, longitude), said)}
            )
        )
    u = read_fields(paths, area).fields["u"]
    np.testing.assert_allclose(u.values, slope(u.latitude, u.longitude), atol=1e-6)


def test_velocities_on_two_grids_are_refused(sea: Sea, area: Area) -> None:
    paths = [sea("u.nc", uo=SPEED), sea("v.nc", vo=SPEED, latitude=np.arange(36, 40.1, 0.25))]
    with pytest.raises(
        ValueError, match=r"u and v are on two grids: cells of 0\.5x0\.5 degrees \(uo of u\.nc\) and of 0\.25"
    ):
        read_fields(paths, area)


def test_velocities_keep_the_times_that_both_have(sea: Sea, area: Area) -> None:
    paths = [sea("u.nc", uo=SPEED, days=[0, 1, 2]), sea("v.nc", vo=SPEED, days=[1, 2, 3])]
    sources = read_fields(paths, area)
    assert len(sources.fields["u"].time) == len(sources.fields["v"].time) == 2
    assert "u has 3 times and v 3: the 2 common ones are kept." in sources.notes


def test_velocities_without_a_common_time_are_refused(sea: Sea, area: Area) -> None:
    paths = [sea("u.nc", uo=SPEED, days=[0, 1]), sea("v.nc", vo=SPEED, days=[5, 6])]
    with pytest.raises(ValueError, match=r"u has the times 2005-04-01.* v 2005-04-06.*none in common"):
        read_fields(paths, area)
