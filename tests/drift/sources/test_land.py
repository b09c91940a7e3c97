from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segfield.drift.sources import read_fields

Sea = Callable[..., Path]
Area = tuple[float, float, float, float]
SPEED = {"units": "m/s"}


def model(value: float) -> tuple[np.ndarray, dict[str, str]]:
    """As a model writes it: land, the four southern rows, is exactly 0."""
    values = np.full((3, 9, 11), value, np.float32)
    values[:, :4] = 0
    values[1, 6, 5] = 0  # slack water at one time is sea
    return values, SPEED


@pytest.fixture
def mask(sea: Sea) -> Path:
    """NEMO's: one time, one level, 2-D degrees, 1 at sea."""
    rows, columns = np.meshgrid(np.arange(36, 40.1, 0.5), np.arange(0, 5.1, 0.5), indexing="ij")
    return sea(
        "mesh.nc",
        tmask=((rows >= 38).astype(np.int8)[None, None], {}),
        land=((rows < 38).astype(np.int8)[None, None], {"standard_name": "land_binary_mask"}),
        dims=("t", "z", "y", "x"),
        days=None,
        coordinates={"nav_lat": (("y", "x"), rows, {}), "nav_lon": (("y", "x"), columns, {})},
    )


@pytest.mark.parametrize("variable", ["tmask", "land"])
def test_land_is_taken_from_a_mask(sea: Sea, area: Area, mask: Path, variable: str) -> None:
    path = sea(uo=model(0.5), vo=model(0.1), adt={"units": "m"})
    sources = read_fields([path], area, land=f"{mask}:{variable}")
    for field in sources.fields.values():
        assert (np.isnan(field.values) == (field.latitude < 38)[None, :, None]).all()
    meaning = "1 is sea" if variable == "tmask" else "1 is land, by its standard_name"
    assert any(f"{variable} of mesh.nc ({meaning}): 42.9% of its cells" in note for note in sources.notes)
    assert [name for name, _ in sources.files] == ["a.nc", "mesh.nc"]


def test_a_mask_on_another_grid_counts_by_its_nearest_cell(sea: Sea, area: Area, mask: Path) -> None:
    path = sea(uo=SPEED, latitude=np.arange(36, 40.1, 0.2))
    field = read_fields([path], area, land=f"{mask}:tmask").fields["u"]
    assert (np.isnan(field.values) == (field.latitude < 37.75)[None, :, None]).all()


def test_velocities_that_are_always_0_raise_a_suspicion(sea: Sea, area: Area) -> None:
    sources = read_fields([sea(uo=model(0.5), vo=model(0.1))], area)
    assert np.isfinite(sources.fields["u"].values).all()
    assert any("exactly 0 at all times in 27 of 63 cells: that is land, probably" in note for note in sources.notes)


def test_velocities_that_are_always_0_are_land_where_it_is_said(sea: Sea, area: Area) -> None:
    sources = read_fields([sea(uo=model(0.5), vo=model(0.1))], area, land="zeros")
    for field in sources.fields.values():
        assert (np.isnan(field.values) == (field.latitude < 38)[None, :, None]).all()
    assert "the 27 of 63 cells where u and v are exactly 0 at all times are land." in sources.notes


def test_a_sea_that_moves_raises_no_suspicion(sea: Sea, area: Area) -> None:
    assert not any("land" in note for note in read_fields([sea(uo=SPEED, vo=SPEED)], area).notes)


def test_always_0_says_nothing_without_both_velocities(sea: Sea, area: Area) -> None:
    with pytest.raises(ValueError, match=r"land=zeros needs u and v; the files gave u\. Use land=<file>:<variable>"):
        read_fields([sea(uo=SPEED)], area, land="zeros")


@pytest.mark.parametrize("land", ["mesh.nc", "mesh.nc:", ":tmask", "C:/mesh.nc"])
def test_a_mask_without_file_and_variable_is_refused(sea: Sea, area: Area, land: str) -> None:
    with pytest.raises(
        ValueError, match=r"land=.*: expected <file>:<variable>, for example 'land=mesh_mask\.nc:tmask'"
    ):
        read_fields([sea(uo=SPEED)], area, land=land)


def test_a_mask_that_is_not_there_is_told(sea: Sea, area: Area, mask: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"mesh\.nc has no variable 'umask', it has .*tmask, land"):
        read_fields([sea(uo=SPEED)], area, land=f"{mask}:umask")
    with pytest.raises(FileNotFoundError, match=r"none\.nc is not there"):
        read_fields([sea(uo=SPEED)], area, land=f"{tmp_path / 'none.nc'}:tmask")


def test_a_mask_without_sea_is_refused(sea: Sea, area: Area) -> None:
    mask = sea("mask.nc", mask=(np.full((3, 9, 11), 2, np.int8), {}), days=None)
    with pytest.raises(ValueError, match=r"mask\.nc: mask has no sea in the area: .* found 2\."):
        read_fields([sea(uo=SPEED)], area, land=f"{mask}:mask")


def test_an_area_all_of_land_is_refused(sea: Sea, area: Area) -> None:
    nothing: Any = (np.full((3, 9, 11), np.nan, np.float32), SPEED)
    with pytest.raises(ValueError, match=r"u \(uo of a\.nc\) has no value in the area, all of it is land or missing"):
        read_fields([sea(uo=nothing)], area)


def test_each_field_keeps_its_own_mask(sea: Sea, area: Area) -> None:
    values = np.full((3, 9, 11), 0.1, np.float32)
    values[:, 4, 4] = np.nan
    fields = read_fields([sea(uo=(values, SPEED), vo=SPEED)], area).fields
    assert np.isnan(fields["u"].values).sum() == 3
    assert np.isfinite(fields["v"].values).all()
