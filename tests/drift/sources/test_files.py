import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from segfield.drift.sources import read_fields

Sea = Callable[..., Path]
Area = tuple[float, float, float, float]
SPEED, HEIGHT = {"units": "m/s"}, {"units": "m"}


@pytest.mark.parametrize("engine", ["scipy", "h5netcdf"])
def test_both_forms_of_netcdf_are_read_whatever_the_name(sea: Sea, area: Area, engine: str) -> None:
    path = sea("a.data", uo=SPEED, engine=engine)
    sources = read_fields([path], area)
    assert sources.fields["u"].values.shape == (3, 7, 9)
    assert sources.files == [("a.data", hashlib.sha256(path.read_bytes()).hexdigest())]


def test_one_file_a_variable_and_files_of_other_variables_mix(sea: Sea, area: Area) -> None:
    paths = [sea("u.nc", uo=SPEED), sea("v.nc", vo=SPEED), sea("h.nc", adt=HEIGHT), sea("w.nc", wind=SPEED)]
    sources = read_fields(paths, area)
    assert sorted(sources.fields) == ["ssh", "u", "v"]
    assert "w.nc holds none of the fields and is not used." in sources.notes


def test_no_files_is_an_error(area: Area) -> None:
    with pytest.raises(ValueError, match=r"There are no files: what was given as fields= matches none"):
        read_fields([], area)


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path, area: Area) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.nc is not there\. Give NetCDF files"):
        read_fields([tmp_path / "none.nc"], area)
    with pytest.raises(FileNotFoundError, match=r"is a folder, not a file"):
        read_fields([tmp_path], area)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n", r"is a Git LFS pointer.*`git lfs pull`"),
        (b"<html>not found</html>", r"is no NetCDF file: it begins with b'<html>not found</html>'"),
        (b"", r"is no NetCDF file: it begins with b''"),
        (b"CDF\x05\x00\x00", r"is NetCDF of the form b'CDF\\x05'\. Convert it: nccopy -k nc4"),
    ],
)
def test_what_is_no_data_is_told_by_its_content(tmp_path: Path, area: Area, content: bytes, message: str) -> None:
    path = tmp_path / "a.nc"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"a\.nc {message}"):
        read_fields([path], area)


@pytest.mark.parametrize(("engine", "share"), [("h5netcdf", 0.1), ("h5netcdf", 0.9), ("scipy", 0.2), ("scipy", 0.9)])
def test_a_file_cut_short_is_told(sea: Sea, area: Area, engine: str, share: float) -> None:
    path = sea(uo=SPEED, vo=SPEED, engine=engine)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ValueError, match=r"a\.nc cannot be read: .* fetch it again"):
        read_fields([path], area)


def test_plain_hdf5_without_coordinates_is_refused(tmp_path: Path, area: Area) -> None:
    import h5py

    with h5py.File(tmp_path / "a.nc", "w") as file:
        file["uo"] = np.zeros((1, 4, 4))
    with pytest.raises(ValueError, match=r"a\.nc: uo has no latitude in degrees"):
        read_fields([tmp_path / "a.nc"], area)


def test_59_daily_files_of_another_spelling_are_read(shared_data: Path) -> None:
    files = sorted((shared_data / "ocean" / "globcurrent").glob("*.nc"))
    sources = read_fields(files, (-38, -31, 16, 34))
    u = sources.fields["u"]
    assert u.values.shape == (59, 30, 74)
    assert (str(u.time[0])[:10], str(u.time[-1])[:10]) == ("2002-01-01", "2002-02-28")
    assert 0 < np.isnan(u.values[0]).mean() < 0.5
    assert np.nanmax(np.abs(u.values)) < 3
    assert len(sources.files) == 59


def test_altimetry_and_temperature_of_a_day_are_read_on_their_grids(shared_data: Path) -> None:
    files = sorted((shared_data / "ocean" / "altimetry").glob("*2016070*"))
    sources = read_fields(files, (41, 44, 30, 38))
    fields = sources.fields
    assert sorted(fields) == ["ssh", "sst", "u", "v"]
    assert fields["sst"].values.shape != fields["ssh"].values.shape
    assert 15 < np.nanmean(fields["sst"].values) < 30
    assert all(str(field.time[0])[:10] == "2016-07-07" for field in fields.values())
    assert "sst: analysed_sst is converted from K to degC." in sources.notes


def test_altimetry_without_times_joins_altimetry_with_times(shared_data: Path) -> None:
    files = sorted((shared_data / "ocean" / "altimetry").glob("dt_med*"), reverse=True)
    sources = read_fields(files, (37, 40, 355, 365))
    assert sources.fields["ssh"].values.shape == (92, 26, 82)
    assert "ssh has no time between 2005-06-30 00:00 and 2016-05-15 00:00." in sources.notes
    assert any("time_coverage_start says 2016-05-15" in note for note in sources.notes)
