"""A forecast in files: what is in them, and that its steps are those of the roll-out."""

import contextlib
import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr

from segfield import densities
from segfield.callbacks.rollout import roll_out
from segfield.run import trained
from segfield.run.data import hold_data
from segfield.run.forecast import Asked, _rolled_out, forecast
from segfield.run.lock import LockedError, locked
from segfield.run.predict import Wanted, predict

ASKED = Asked(point=(38.15, 3.2), start=np.datetime64("2005-04-10T01:30"), hours=18.0)
SAME = ("density.nc", "forecast.csv", "forecast.png")


@pytest.fixture
def made(drift_run: Path, kept_drift: Path) -> Path:
    """A forecast of drift_run, made once; not to be changed."""
    if not (kept_drift / "forecast/forecast.png").exists():
        forecast(drift_run, ASKED, kept_drift / "forecast")
    return kept_drift / "forecast"


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "forecast.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_from_the_density_of_a_release_each_step_is_the_one_of_the_roll_out(drift_run: Path) -> None:
    config = trained.as_trained(drift_run, ())
    with contextlib.chdir(drift_run):
        run = trained.restored(config)
        hold_data(run.data, [])
        first = run.data.sequences("val")[0]
        ensemble = run.data.sample(first[0]).attributes["ensemble"]
        course = run.data.course(int(run.data._prepared.start[ensemble]), 18, run.data.statistics())
        maps, lacking = _rolled_out(run, course, run.data._prepared.maps(ensemble, slice(0, 1))[0])
        with torch.no_grad():
            rolled = roll_out(run.task.eval(), run.data, [first], run.task.metrics["val/"])
    np.testing.assert_array_equal(maps[1:], rolled.story.predictions)
    assert lacking == 0


def test_the_file_is_cf_netcdf_whose_maps_keep_the_mass_at_sea(made: Path, kept_drift: Path) -> None:
    with xr.open_dataset(made / "density.nc", engine="h5netcdf") as found:
        assert found.density.dims == ("time", "latitude", "longitude")
        assert found.density.dtype == np.float32
        np.testing.assert_allclose(found.density.sum(("latitude", "longitude")), 1, rtol=1e-5)
        assert not found.density.values[:, found.land.values == 1].any()
        assert found.time.values[-1] - found.time.values[0] == np.timedelta64(18, "h")
        assert found.hours.values.tolist() == [0, 6, 12, 18]
        assert found.density.units == "1"
        assert found.attrs["point"].tolist() == [38.15, 3.2]
        assert (found.attrs["start"], found.attrs["radius_km"]) == ("2005-04-10T01:30:00Z", 5)
        assert found.attrs["set"] == str(kept_drift / "set")
        assert len(found.attrs["checkpoint_sha256"]) == 64
        assert '"torch": "' in found.attrs["versions"]
        assert found.attrs["run"].endswith("/run")


def test_the_table_has_centres_drift_and_areas_of_the_maps(made: Path) -> None:
    rows = rows_of(made)
    assert [row["time"] for row in rows] == [f"2005-04-10T{hour}:30" for hour in ("01", "07", "13", "19")]
    start = rows[0]
    assert (float(start["latitude"]), float(start["longitude"])) == pytest.approx((38.15, 3.2), abs=1e-3)
    assert float(start["drift_km"]) == 0
    assert float(start["km2_90"]) == pytest.approx(0.9 * np.pi * 25, rel=0.25)
    with xr.open_dataset(made / "density.nc", engine="h5netcdf") as found:
        last = found.density[-1]
        centre = float((last * found.latitude).sum()), float((last * found.longitude).sum())
    row = rows[-1]
    assert (float(row["latitude"]), float(row["longitude"])) == pytest.approx(centre, abs=1e-4)
    north, east = (np.array(centre) - [38.15, 3.2]) * densities.KM_PER_DEGREE * [1, np.cos(np.deg2rad(38.15))]
    assert float(row["drift_km"]) == pytest.approx(np.hypot(north, east), rel=0.02, abs=0.05)
    assert float(row["km2_50"]) < float(row["km2_90"])
    assert float(row["mass"]) == pytest.approx(1, rel=1e-5)


def test_the_same_forecast_has_the_same_bytes_and_stands_where_it_is_made_again(
    drift_run: Path, made: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(made, tmp_path / "again"))
    before = forecast(drift_run, ASKED, folder)
    assert before.before
    for name in SAME[1:]:
        (folder / name).unlink()  # as of a command that was killed
    again = forecast(drift_run, ASKED, folder)
    assert not again.before
    assert again.rows == before.rows == rows_of(made)
    for name in SAME[1:]:
        assert (folder / name).read_bytes() == (made / name).read_bytes()
    folder = tmp_path / "other"
    forecast(drift_run, ASKED, folder)
    assert (folder / "density.nc").read_bytes() == (folder.parent / "again/density.nc").read_bytes()


def test_how_good_the_roll_out_was_is_told_or_how_to_know_it(drift_run: Path, made: Path) -> None:
    told = forecast(drift_run, ASKED, made).skill
    assert told.startswith("of the run's val, rolled out for 18 hours: centres ")
    (drift_run / "rollout.csv").unlink()
    told = forecast(drift_run, ASKED, made).skill
    assert told == f"How good its roll-out is nobody knows yet: python -m segfield evaluate {drift_run}"


def test_another_forecast_in_the_folder_is_shown_by_what_differs(drift_run: Path, made: Path) -> None:
    other = Asked(point=(38.2, 3.2), start=ASKED.start, hours=12.0)
    with pytest.raises(
        ValueError, match=r"holds another forecast:\n  point: \[38.15, 3.2\] there, .*\n  hours: 18.0 th"
    ):
        forecast(drift_run, other, made)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("predict.yaml", r"has predict\.yaml and no density\.nc: nobody knows whose it is"),
        ("config.yaml", "is the folder of a run or of a set. Name another folder: out="),
        ("density.nc", r"density\.nc cannot be read: .* Delete it, or choose another out="),
    ],
)
def test_a_folder_of_something_else_is_refused(drift_run: Path, tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("seed: 0\n")
    with pytest.raises(ValueError, match=message):
        forecast(drift_run, ASKED, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == [name]


def test_a_folder_in_use_is_refused(drift_run: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with locked(tmp_path / "out"), pytest.raises(LockedError, match="is being executed already"):
        forecast(drift_run, ASKED, tmp_path / "out")


def test_land_and_the_border_are_told(drift_run: Path, tmp_path: Path) -> None:
    coast = Asked(point=(38.01, 3.07), start=ASKED.start, hours=6.0)
    found = forecast(drift_run, coast, tmp_path / "out")
    land, outside = found.notes[:2]
    assert land.endswith("of the circle is land: the object is released in its sea, as prepare does.")
    assert outside.endswith("of the release is outside of the region of the set, and has left the mass.")
    share = float(outside.partition("%")[0]) / 100
    assert float(found.rows[0]["mass"]) == pytest.approx(1 - share, abs=1e-3)
    assert float(found.rows[-1]["mass"]) == pytest.approx(1 - share, abs=1e-3)
    assert any("of the mass is at the edge of the region after 6 hours" in note for note in found.notes)


def test_a_release_where_fields_have_no_value_is_refused_and_in_part_told(
    drift_run: Path, make_drift_set: Callable[..., Path], tmp_path: Path
) -> None:
    root = make_drift_set(tmp_path / "set", samples=2, maps=3)
    with densities.open_field(root, "u") as field:
        axes: dict[str, Any] = {name: field[name].values for name in ("time", "latitude", "longitude")}
        values = field.values.copy()
    values[..., axes["longitude"] < 3.19] = np.nan
    densities.write_field(root, densities.Field(name="u", values=values, units="m s-1", **axes))
    with pytest.raises(
        ValueError, match=r"u, v of .* have no value where the object is released: .* Use another point="
    ):
        forecast(drift_run, Asked(point=(38.15, 3.06), start=ASKED.start, hours=6.0), None, [f"data.root={root}"])
    found = forecast(drift_run, Asked(point=(38.15, 3.15), start=ASKED.start, hours=6.0), None, [f"data.root={root}"])
    assert any(
        note.endswith("of the release is where fields have no value, and is not followed.") for note in found.notes
    )
    assert float(found.rows[-1]["mass"]) < 0.99


def test_a_run_of_masks_makes_no_forecast(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trained, "as_trained", lambda folder, placement: {"head": None})
    with pytest.raises(
        ValueError, match=r"predicts masks of images, no densities\. Type: python -m segfield predict .*<im"
    ):
        forecast(tmp_path, ASKED)


def test_images_are_no_matter_of_a_run_of_densities(drift_run: Path, tmp_path: Path) -> None:
    wanted = rf"{drift_run} predicts densities .* no masks of images\. Type .* predict {drift_run} point=\[38\.4,3\.2\]"
    with pytest.raises(ValueError, match=wanted):
        predict(drift_run, [tmp_path / "a.png"], None, Wanted())
