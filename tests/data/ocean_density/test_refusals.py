"""What a set or a setting lacks: expected, found, and what to type instead."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from segfield import densities
from segfield.data.ocean_density import OceanDensity

Ocean = Callable[..., OceanDensity]
Make = Callable[..., Path]


@pytest.fixture
def own(make_drift_set: Make, tmp_path: Path) -> Path:
    """A set that a test may damage."""
    return make_drift_set(tmp_path / "set", samples=8)


def truncate(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])


def test_a_root_that_is_not_set_or_no_set_says_how_to_get_one(ocean: Ocean, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"is no prepared set .* prepare ocean_density fields=.*data\.root=<"):
        ocean(root=tmp_path)
    data = ocean(setup=False)
    data.root = None
    with pytest.raises(FileNotFoundError, match=r"data\.root is not set.*\$SEGFIELD_DATA/ocean_density"):
        data.setup()


def test_a_set_that_a_kill_cut_short_says_how_to_go_on(ocean: Ocean, own: Path) -> None:
    (own / "densities.nc").unlink()
    (own / "blocks").mkdir()
    with pytest.raises(FileNotFoundError, match=r"a set that is not finished: .*Type the same command again"):
        ocean(root=own)


@pytest.mark.parametrize("name", ["densities.nc", "fields/u.nc"])
def test_a_damaged_file_is_named(ocean: Ocean, own: Path, name: str) -> None:
    truncate(own / name, 0.5)
    with pytest.raises(ValueError, match=rf"{name} cannot be read: .* Restore it, or prepare the set again"):
        ocean(root=own)


@pytest.mark.parametrize(
    ("name", "variable", "message"),
    [
        ("densities.nc", "counts", r"densities\.nc, ensemble 0000\d cannot be read: .*Restore the file"),
        ("fields/u.nc", "u", r"u\.nc cannot be read at its time \d+: .*Restore it"),
    ],
)
def test_damage_inside_a_file_is_named_where_it_is_read(
    ocean: Ocean, own: Path, name: str, variable: str, message: str
) -> None:
    with h5py.File(own / name) as file:
        chunks = file[variable].id
        places = [chunks.get_chunk_info(number) for number in range(chunks.get_num_chunks())]
    with (own / name).open("r+b") as file:
        for place in places:
            file.seek(place.byte_offset)
            file.write(b"\xff" * place.size)
    with pytest.raises(ValueError, match=message):
        ocean(root=own).item(0)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "uo",
            r"has no field 'uo', it has ssh, u, v\. Did you mean u\? Use data/inputs=uv or ssh, or data\.inputs\.var",
        ),
        ("SLA", r"Did you mean ssh\?"),
        ("chl", r"has no field 'chl', it has ssh, u, v\. Use data/inputs"),
        ("sst", r"has no field 'sst', it has ssh, u, v\. Use data/inputs=uv or ssh, or"),
    ],
)
def test_a_variable_that_is_not_there_is_told_with_those_that_are(
    ocean: Ocean, make_drift_set: Make, tmp_path: Path, name: str, message: str
) -> None:
    root = make_drift_set(tmp_path / "set", samples=3, fields=("u", "v", "ssh"))
    with pytest.raises(ValueError, match=message):
        ocean(name, root=root)


def test_a_set_of_one_map_has_no_window(ocean: Ocean, make_drift_set: Make, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has 3 ensembles of 1 maps: a window leads from one map to the next\. Prep"):
        ocean(root=make_drift_set(tmp_path / "set", samples=3, maps=1))


def test_a_set_without_its_number_of_particles_is_refused(ocean: Ocean, own: Path) -> None:
    for number in (0, None):
        with h5py.File(own / "densities.nc", "r+") as file:
            del file.attrs["particles"]
            if number is not None:
                file.attrs["particles"] = number
        with pytest.raises(ValueError, match="does not say how many particles an ensemble has"):
            ocean(root=own)


@pytest.mark.parametrize("axis", ["time", "latitude", "longitude"])
def test_a_set_whose_axes_do_not_ascend_is_refused(ocean: Ocean, own: Path, axis: str) -> None:
    with h5py.File(own / "densities.nc", "r+") as file:
        file[axis][...] = file[axis][...][::-1]
    with pytest.raises(ValueError, match=rf"densities\.nc: its {axis} does not ascend .* Prepare the set again"):
        ocean(root=own)


def test_a_set_of_land_alone_is_refused(ocean: Ocean, own: Path) -> None:
    with h5py.File(own / "densities.nc", "r+") as file:
        file["land"][...] = 1
    with pytest.raises(ValueError, match=r"densities\.nc has no sea: all cells are land\. Prepare a set of another"):
        ocean(root=own)


def test_a_set_without_fields_is_refused(ocean: Ocean, own: Path) -> None:
    (own / "fields").rename(own / "elsewhere")
    with pytest.raises(ValueError, match=r"has no field 'u', it has none\. Restore its folder fields/, or prepare"):
        ocean(root=own)


def shorten(root: Path, name: str, times: slice) -> None:
    with densities.open_field(root, name) as field:
        axes = {axis: field[axis].values for axis in ("time", "latitude", "longitude")}
        values = field.values
    axes["time"] = axes["time"][times]
    densities.write_field(root, densities.Field(name=name, values=values[times], units="m s-1", **axes))


def test_ensembles_beyond_the_end_of_a_field_are_left_out_and_told(
    ocean: Ocean, own: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shorten(own, "v", slice(None, 30))
    data = ocean(root=own, gap_days=0)
    assert {int(group) for _, group, _ in data.split_table()} <= set(range(5))
    assert "3 of 8 ensembles of " in caplog.text
    assert "v from 2005-04-01 00:00 UTC to 2005-04-30 00:00 UTC. They are left out." in caplog.text


def test_fields_that_end_before_every_window_are_refused(ocean: Ocean, own: Path) -> None:
    shorten(own, "v", slice(None, 1))
    with pytest.raises(
        ValueError, match=r"8 of 8 ensembles .* need fields .*; v from .* Prepare a set of files that cov"
    ):
        ocean(root=own)
    assert ocean("ssh", root=own).split_table()


def test_ensembles_that_would_cross_a_gap_of_a_field_are_left_out_and_told(
    ocean: Ocean, own: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = {group for _, group, _ in ocean("sst", root=own).split_table()}
    with densities.open_field(own, "sst") as field:
        kept = np.delete(np.arange(field.sizes["time"]), slice(8, 14))
        axes = {name: field[name].values for name in ("latitude", "longitude")}
        values, time = field.values[kept], field.time.values[kept]
    densities.write_field(own, densities.Field(name="sst", values=values, units="degC", time=time, **axes))
    data = ocean("sst", root=own)
    lacking = before - {group for _, group, _ in data.split_table()}
    assert lacking
    ends = data._windows.start + data._windows.leads[-1]
    gap = time.astype(np.int64)[7:9]
    assert {int(name) for name in lacking} == set(np.flatnonzero((ends > gap[0]) & (data._windows.start < gap[1])))
    assert "but not between 2005-04-07 12:00 UTC and 2005-04-14 12:00 UTC. They are left out." in caplog.text


def test_fields_of_another_region_are_refused(ocean: Ocean, own: Path) -> None:
    with densities.open_field(own, "u") as field:
        axes = {"time": field.time.values, "latitude": field.latitude.values + 30, "longitude": field.longitude.values}
        values = field.values
    densities.write_field(own, densities.Field(name="u", values=values, units="m s-1", **axes))
    with pytest.raises(ValueError, match=r"u\.nc has no value in the region of the densities, latitude 38 to 38\.3"):
        ocean(root=own)


@pytest.mark.parametrize("axis", ["time", "latitude", "longitude"])
def test_a_field_whose_axes_do_not_ascend_is_refused(ocean: Ocean, own: Path, axis: str) -> None:
    with densities.open_field(own, "ssh") as field:
        axes = {name: field[name].values for name in ("time", "latitude", "longitude")}
        values = field.values
    for damage, message in ((np.roll(axes[axis], 1), "does not ascend"), (axes[axis].copy(), "has missing values")):
        if message != "does not ascend":
            damage[2] = "NaT" if axis == "time" else np.nan
        densities.write_field(own, densities.Field(name="ssh", values=values, units="m", **{**axes, axis: damage}))
        with pytest.raises(ValueError, match=rf"ssh\.nc: its {axis} {message}\..* [Pp]repare the set again"):
            ocean("ssh", root=own)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"size": [32, 32]},
            r"data\.size=\[32, 32\] is not the grid .*, \[16, 20\].* Use data\.size=\[16,20\], or null",
        ),
        ({"gap_days": -1}, r"data\.gap_days=-1 must be 0 or more"),
        ({"smoothing": -0.5}, r"data\.smoothing=-0\.5 must be 0 or more"),
        ({"gap_days": float("nan")}, r"data\.gap_days=nan must be 0 or more"),
        ({"smoothing": float("inf")}, r"data\.smoothing=inf must be 0 or more"),
        ({"mean": 0.5}, r"data\.mean=0\.5 and data\.std=1 .* Use data\.mean=0 data\.std=1"),
        ({"std": [1, 1, 2]}, r"data\.std=\[1, 1, 2\] would change the density"),
        ({"density_scale": 0}, r"data\.density_scale=0 must be above 0\. Use data\.density_scale=30"),
        ({"smoothing": 21}, r"data\.smoothing=21 cells is more than .* along a side, 20: .* Use data\.smoothing=1\."),
        ({"in_channels": 4}, r"data\.inputs are 3 channels .* Use data\.in_channels=3"),
    ],
)
def test_settings_that_do_not_fit_are_refused(ocean: Ocean, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ocean(**settings)


def test_a_picture_is_refused(ocean: Ocean) -> None:
    with pytest.raises(ValueError, match=r"sees fields of the sea.*no pictures.* evaluate <run folder>"):
        ocean().read_picture(Path("a.png"), None)


def test_a_file_that_changes_after_it_was_looked_at_is_an_error_where_it_is_read(ocean: Ocean, own: Path) -> None:
    data = ocean(root=own)
    assert [row[:2] for row in data.fingerprint()] == [
        ("*", "densities.nc"),
        ("*", "fields/u.nc"),
        ("*", "fields/v.nc"),
    ]
    data.item(0)
    with (own / "fields/v.nc").open("ab") as file:
        file.write(b"x")
    with pytest.raises(ValueError, match=r"fields/v\.nc has changed since this run looked at its data"):
        data.item(0)


def test_a_cache_gives_the_same_bits_and_is_another_for_other_statistics(
    ocean: Ocean, own: Path, tmp_path: Path
) -> None:
    given: dict[str, Any] = {"root": own, "size": [16, 20], "standardised": ("sst",), "gap_days": 0.0}
    plain = ocean("sst", **given)
    given |= {"cache": "disk", "cache_dir": str(tmp_path / "caches")}
    for settings in ({}, {"folds": 2, "fold": 0}):
        cached = ocean("sst", **given, **settings)
        cached.decode()
        for name in ("image", "target", "valid"):
            fresh = (ocean("sst", **{**given, "cache": "none"}, **settings) if settings else plain).item(0)[name]
            np.testing.assert_array_equal(cached.item(0)[name], fresh)
