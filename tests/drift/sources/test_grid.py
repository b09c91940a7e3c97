from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segfield.densities import Field
from segfield.drift.sources import read_fields

Sea = Callable[..., Path]
Wave = Callable[..., Any]
Area = tuple[float, float, float, float]
HEIGHT = {"units": "m"}
LATITUDE, LONGITUDE = np.arange(36, 40.1, 0.5), np.arange(0, 5.1, 0.5)


def is_in_place(field: Field, waves: Wave) -> bool:
    """Tell whether every value is that of its own place and day, and all axes ascend."""
    there = np.stack([waves(field.latitude, field.longitude, day) for day in range(len(field.time))])
    ascending = all((np.diff(axis) > 0).all() for axis in (field.latitude, field.longitude))
    return ascending and bool(np.allclose(field.values, there, atol=1e-6))


def test_an_area_comes_with_one_cell_more_on_each_side(sea: Sea, area: Area, waves: Wave) -> None:
    field = read_fields([sea(adt=HEIGHT)], area).fields["ssh"]
    assert (field.latitude[0], field.latitude[-1]) == (36.5, 39.5)
    assert (field.longitude[0], field.longitude[-1]) == (0.5, 4.5)
    assert is_in_place(field, waves)


def test_an_area_as_large_as_the_file_has_no_cells_beside_it(sea: Sea, waves: Wave) -> None:
    field = read_fields([sea(adt=HEIGHT)], (36, 40, 0, 5)).fields["ssh"]
    assert field.values.shape == (3, 9, 11)


@pytest.mark.parametrize("turned", [(-1, 1), (1, -1), (-1, -1)])
def test_descending_axes_are_turned_around(sea: Sea, area: Area, waves: Wave, turned: tuple[int, int]) -> None:
    path = sea(adt=HEIGHT, latitude=LATITUDE[:: turned[0]], longitude=LONGITUDE[:: turned[1]])
    sources = read_fields([path], area)
    assert is_in_place(sources.fields["ssh"], waves)
    told = ("ssh: latitude was descending and is turned around." in sources.notes) == (turned[0] < 0)
    assert told


@pytest.mark.parametrize("longitude", [np.arange(0, 360, 10), np.arange(-180, 180, 10), np.arange(0, 361, 10)])
@pytest.mark.parametrize("west", [-20, 340, 160, -200, 10])
def test_any_area_is_cut_from_a_globe_however_longitude_is_counted(
    sea: Sea, waves: Wave, longitude: np.ndarray, west: float
) -> None:
    field = read_fields([sea(adt=HEIGHT, longitude=longitude)], (37, 39, west, west + 40)).fields["ssh"]
    np.testing.assert_allclose(field.longitude, np.arange(west - 10, west + 51, 10))
    assert is_in_place(field, waves)


def test_a_file_across_the_date_line_is_read_in_either_convention(sea: Sea, waves: Wave) -> None:
    path = sea(adt=HEIGHT, longitude=[176, 177, 178, 179, -180, -179, -178, -177])
    for west in (177, -183):
        sources = read_fields([path], (37, 39, west, west + 5))
        assert is_in_place(sources.fields["ssh"], waves)
        assert sources.fields["ssh"].longitude[0] == west - 1
        assert f"ssh: longitudes are counted as the area's {west}..{west + 5}." in sources.notes


@pytest.mark.parametrize("pair", ["lat lon", "latitude longitude", "nav_lat nav_lon", "y x"])
def test_axes_are_known_by_the_names_in_use(sea: Sea, area: Area, waves: Wave, pair: str) -> None:
    y, x = pair.split()
    axes = {y: (y, LATITUDE, {}), x: (x, LONGITUDE, {})}
    path = sea(adt=HEIGHT, dims=("time", y, x), coordinates=axes)
    assert is_in_place(read_fields([path], area).fields["ssh"], waves)


@pytest.mark.parametrize("dims", [("y", "x"), ("x", "y")])
def test_two_dimensional_axes_of_a_regular_grid_are_reduced(
    sea: Sea, area: Area, waves: Wave, dims: tuple[str, str]
) -> None:
    rows, columns = np.meshgrid(LATITUDE, LONGITUDE, indexing="ij")
    if dims == ("x", "y"):
        rows, columns = rows.T, columns.T
    axes = {"nav_lat": (dims, rows, {}), "nav_lon": (dims, columns, {}), "y": ("y", np.arange(9.0), {"units": "m"})}
    path = sea(adt=HEIGHT, dims=("time", "y", "x"), coordinates=axes)
    assert is_in_place(read_fields([path], area).fields["ssh"], waves)


def test_a_curvilinear_grid_is_refused_with_a_way_to_regrid_it(sea: Sea, area: Area) -> None:
    rows, columns = np.meshgrid(LATITUDE, LONGITUDE, indexing="ij")
    axes = {"nav_lat": (("y", "x"), rows + 0.1 * columns, {}), "nav_lon": (("y", "x"), columns, {})}
    path = sea(adt=HEIGHT, dims=("time", "y", "x"), coordinates=axes)
    with pytest.raises(ValueError, match=r"a\.nc: adt is on a curvilinear grid .* Regrid it first, .* cdo remapbil"):
        read_fields([path], area)


def test_a_map_without_degrees_is_refused(sea: Sea, area: Area) -> None:
    axes = {"y": ("y", 1000 * LATITUDE, {"units": "m"}), "x": ("x", 1000 * LONGITUDE, {"units": "m"})}
    with pytest.raises(ValueError, match=r"a\.nc: adt has no latitude in degrees .*Regrid it first"):
        read_fields([sea(adt=HEIGHT, dims=("time", "y", "x"), coordinates=axes)], area)


@pytest.mark.parametrize("latitude", [[36, 38, 37, 39], [0, 40, 80, 120], [36, np.nan, 38, 39]])
def test_latitudes_that_are_no_degrees_in_order_are_refused(sea: Sea, area: Area, latitude: list[float]) -> None:
    with pytest.raises(ValueError, match=r"a\.nc: the latitudes of adt are no degrees in order"):
        read_fields([sea(adt=HEIGHT, latitude=latitude)], area)


@pytest.mark.parametrize(
    ("area", "found"),
    [
        ((35, 39, 1, 4), "the area is 35..39 and 1..4"),
        ((37, 39, 1, 8), "1..8"),
        ((50, 60, 100, 110), "100..110"),
        ((37, 39, 183, 190), "183..190"),
    ],
)
def test_an_area_that_is_not_covered_is_told_with_the_keys_to_change(sea: Sea, area: Area, found: str) -> None:
    with pytest.raises(
        ValueError, match=r"a\.nc: adt covers latitude 36\.\.40 and longitude .*box= or margin="
    ) as error:
        read_fields([sea(adt=HEIGHT)], area)
    assert found in str(error.value)
    assert "hole" not in str(error.value)


def test_a_hole_between_the_longitudes_of_a_file_does_not_cover_an_area(sea: Sea) -> None:
    with pytest.raises(
        ValueError, match=r"with a hole of 354 degrees, covers latitude 36\.\.40 .* the area is 37\.\.39 and -10\.\.10"
    ):
        read_fields([sea(adt=HEIGHT, longitude=[-180, -179, -178, -177, 177, 178, 179])], (37, 39, -10, 10))


@pytest.mark.parametrize("area", [(39, 37, 1, 4), (37, 39, 350, 10), (37, 39, 0, 400), (80, 100, 0, 1)])
def test_an_area_that_is_none_is_refused(sea: Sea, area: Area) -> None:
    with pytest.raises(
        ValueError, match=r"expected south < north and west < east.* Across the date line count on: 170\.\."
    ):
        read_fields([sea(adt=HEIGHT)], area)


@pytest.mark.parametrize("depths", [[0.5], [0.5, 10, 50], [-50, -10, -0.5]])
def test_of_several_depths_the_uppermost_is_taken_and_told(
    sea: Sea, area: Area, waves: Wave, depths: list[float]
) -> None:
    at = int(np.argmin(np.abs(depths)))
    values = np.stack([waves(LATITUDE, LONGITUDE) + (place != at) for place in range(len(depths))])
    axes = {
        "depth": ("depth", depths, {"units": "m", "positive": "down"}),
        "latitude": ("latitude", LATITUDE, {}),
        "longitude": ("longitude", LONGITUDE, {}),
    }
    path = sea(
        thetao=(values[None], {"units": "degC"}),
        dims=("time", "depth", "latitude", "longitude"),
        days=[0],
        coordinates=axes,
    )
    sources = read_fields([path], area)
    assert is_in_place(sources.fields["sst"], waves)
    plural = "s" * (len(depths) > 1)
    assert f"sst: of {len(depths)} level{plural} the uppermost, depth 0.5, is taken." in sources.notes


def test_levels_along_the_ground_without_depths_are_refused_and_depths_of_another_name_are_found(
    sea: Sea, area: Area, waves: Wave
) -> None:
    values = np.stack([waves(LATITUDE, LONGITUDE) + (place != 1) for place in range(2)])[None]
    axes = {"latitude": ("latitude", LATITUDE, {}), "longitude": ("longitude", LONGITUDE, {})}
    said = {"adt": (values, HEIGHT), "days": [0], "dims": ("time", "s_rho", "latitude", "longitude")}
    with pytest.raises(ValueError, match=r"adt has 2 levels along s_rho, and nothing says how deep .*ncks -d s_rho,0"):
        read_fields([sea(**said, coordinates=axes)], area)
    depths = {"depth_rho": ("s_rho", [-30.0, -0.5], {"units": "m"})}
    assert is_in_place(read_fields([sea("b.nc", **said, coordinates=axes | depths)], area).fields["ssh"], waves)


def test_a_dimension_that_is_no_depth_is_refused(sea: Sea, area: Area) -> None:
    values = np.zeros((2, 3, 9, 11), np.float32)
    with pytest.raises(ValueError, match=r"a\.nc: adt has the dimension member of 2, .*ncks -d member,0"):
        read_fields([sea(adt=(values, HEIGHT), dims=("member", "time", "latitude", "longitude"))], area)


def test_fields_on_other_grids_each_keep_their_own(sea: Sea, area: Area) -> None:
    paths = [sea("a.nc", adt=HEIGHT), sea("b.nc", sst={"units": "degC"}, latitude=np.arange(36, 40.1, 0.25))]
    fields = read_fields(paths, area).fields
    assert fields["ssh"].values.shape == (3, 7, 9)
    assert fields["sst"].values.shape == (3, 11, 9)


def test_one_field_on_two_grids_is_refused_and_both_files_named(sea: Sea, area: Area) -> None:
    paths = [sea("a.nc", adt=HEIGHT), sea("b.nc", adt=HEIGHT, days=[5], latitude=np.arange(36, 40.1, 0.25))]
    with pytest.raises(ValueError, match=r"ssh is on two grids: 7x9 cells .* in a\.nc, 11x9 cells .* in b\.nc\."):
        read_fields(paths, area)
