"""A drift of one's own through a set: what the network sees of it, and what is refused."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from segfield import densities
from segfield.data.ocean_density import OceanDensity
from segfield.data.ocean_density.windows import DAY, nanoseconds

Ocean = Callable[..., OceanDensity]
START = int(nanoseconds(np.asarray(np.datetime64("2005-04-05T03:00"))))


def test_the_image_of_a_step_is_the_one_of_the_window_that_begins_then_and_so(ocean: Ocean) -> None:
    data = ocean("sst", "sst", "u", offsets=[0, 1, 0], standardised=("sst",), smoothing=0.7)
    windows = data.sequences("val")[1]
    ensemble = data.sample(windows[0]).attributes["ensemble"]
    course = data.course(int(data._windows.start[ensemble]), 24, data.statistics())
    for step, index in enumerate(windows):
        item, density = data.item(index), data._prepared.maps(ensemble, slice(step, step + 1))[0]
        for name, values in course.seen(step, density).items():
            np.testing.assert_array_equal(item[name].numpy(), values)
    assert course.hours.tolist() == [0, 6, 12, 18, 24]
    assert (course.times[-1] - course.times[0]) == np.timedelta64(24, "h")


@pytest.mark.parametrize(
    ("hours", "message"),
    [
        (70, r"hours=70 is no whole multiple of 6 hours, .* Use hours=66 or hours=72\."),
        (2, r"hours=2 is no whole multiple of 6 hours, .* Use hours=6\."),
        (
            1e9 * 6,
            r"need fields until .*; .* has u from 2005-04-01 00:00 UTC to 2005-05-14 00:00 UTC; v from .*fewer h",
        ),
    ],
)
def test_hours_that_are_no_steps_or_leave_the_fields_are_refused(ocean: Ocean, hours: float, message: str) -> None:
    data = ocean()
    with pytest.raises(ValueError, match=message):
        data.course(START, hours, data.statistics())


@pytest.mark.parametrize("days", [-5, 39])
def test_a_start_outside_of_the_fields_days_is_refused(ocean: Ocean, days: int) -> None:
    data = ocean()
    with pytest.raises(
        ValueError, match=r"From 2005-0.* on, 72 hours need fields until .* has u from .* Use another s"
    ):
        data.course(START + days * DAY, 72, data.statistics())


def test_a_gap_in_the_fields_is_not_crossed(ocean: Ocean, sea: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(sea, tmp_path / "set"))
    with densities.open_field(root, "u") as field:
        left = np.r_[0:6, 9 : field.sizes["time"]]
        axes = {name: field[name].values for name in ("latitude", "longitude")}
        values, time = field.values[left], field["time"].values[left]
    densities.write_field(root, densities.Field(name="u", values=values, time=time, units="m s-1", **axes))
    data = ocean(root=root)
    with pytest.raises(
        ValueError, match=r"without a gap; .* but not between 2005-04-06 00:00 UTC and 2005-04-10 00:00"
    ):
        data.course(START, 48, data.statistics())
    assert len(data.course(START, 18, data.statistics()).hours) == 4


def test_a_set_that_is_spaced_otherwise_is_refused(ocean: Ocean) -> None:
    data = ocean()
    known = data.statistics()
    message = r"has a map every 6 hours on cells of 0.0208333 x 0.0208333 degrees; the network was trained with a map "
    for change, said in (
        ({"spacing_hours": np.asarray(12.0)}, "every 12 hours on"),
        ({"spacing_degrees": np.asarray([0.1, 0.05])}, "every 6 hours on cells of 0.1 x 0.05 degrees, and keeps"),
    ):
        with pytest.raises(ValueError, match=message + said):
            data.course(START, 6, {**known, **change})


def test_a_run_that_does_not_know_its_spacing_is_told_how_to_know_it(ocean: Ocean) -> None:
    data = ocean()
    known = {name: value for name, value in data.statistics().items() if not name.startswith("spacing")}
    data.keep_statistics(known)  # as a run of before them has it
    with pytest.raises(ValueError, match=r"earlier version\. Remove that file, and python -m segfield evaluate"):
        data.course(START, 6, known)
