from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segfield.drift.sources import read_fields
from segfield.drift.sources_times import gaps

Sea = Callable[..., Path]
Area = tuple[float, float, float, float]
HEIGHT = {"units": "m"}
APRIL = np.datetime64("2005-04-01", "ns")
DAY = np.timedelta64(1, "D")


@pytest.mark.parametrize(
    ("units", "number"),
    [
        ("days since 1950-01-01", 20179.5),
        ("hours since 1950-01-01 00:00:00", 484308),
        ("seconds since 1970-01-01T00:00:00Z", 1112356800),
        ("days since 1900-1-1", 38441.5),
        ("hours since 2005-04-01 14:00:00 +02:00", 0),
    ],
)
@pytest.mark.parametrize("calendar", [{}, {"calendar": "Gregorian"}, {"calendar": "proleptic_gregorian"}])
def test_times_of_any_origin_are_decoded(
    sea: Sea, area: Area, units: str, number: float, calendar: dict[str, str]
) -> None:
    path = sea(adt=HEIGHT, days=[number], time={"units": units} | calendar)
    assert read_fields([path], area).fields["ssh"].time[0] == np.datetime64("2005-04-01T12:00")


@pytest.mark.parametrize("calendar", ["noleap", "360_day", "365_day"])
def test_calendars_of_other_worlds_are_refused(sea: Sea, area: Area, calendar: str) -> None:
    path = sea(adt=HEIGHT, time={"units": "days since 2005-04-01", "calendar": calendar})
    with pytest.raises(ValueError, match=rf"a\.nc: time is in the calendar '{calendar}'.*cdo setcalendar,standard"):
        read_fields([path], area)


@pytest.mark.parametrize("units", ["", "days", "day as %Y%m%d.%f", "months since 1950-01-01"])
def test_times_without_an_origin_are_an_error_until_the_setting_gives_one(sea: Sea, area: Area, units: str) -> None:
    path = sea(adt=HEIGHT, time={"units": units})
    with pytest.raises(ValueError, match=r"a\.nc: time has units .*'units=\{time: days since 1950-01-01\}'"):
        read_fields([path], area)
    field = read_fields([path], area, units={"time": "days since 2005-04-01"}).fields["ssh"]
    assert list(field.time) == [APRIL, APRIL + DAY, APRIL + 2 * DAY]


def test_an_origin_that_is_no_date_is_refused(sea: Sea, area: Area) -> None:
    with pytest.raises(
        ValueError, match=r"a\.nc: time in 'days since yesterday' cannot be read as dates\. Say since when"
    ):
        read_fields([sea(adt=HEIGHT, time={"units": "days since yesterday"})], area)


def test_dates_that_nanoseconds_cannot_hold_are_refused_and_do_not_wrap_around(sea: Sea, area: Area) -> None:
    path = sea(adt=HEIGHT, days=[0, 1], time={"units": "days since 1-1-1"})
    with pytest.raises(
        ValueError, match=r"gives the years 1 \.\. 1; expected 1678 \.\. 2261\. Say since when it counts"
    ):
        read_fields([path], area)


def test_missing_times_are_refused(sea: Sea, area: Area) -> None:
    with pytest.raises(ValueError, match=r"a\.nc: time has missing values"):
        read_fields([sea(adt=HEIGHT, days=[0, np.nan, 2])], area)


@pytest.mark.parametrize("said", ["2016-05-15T00:00:00Z", "2016-05-15", "20160515T000000Z", "2016-05-15T02:00+02:00"])
def test_a_file_without_times_is_dated_by_its_attribute(sea: Sea, area: Area, said: str) -> None:
    values = np.zeros((1, 9, 11), np.float32)
    path = sea(adt=(values, HEIGHT), days=None, attributes={"time_coverage_start": said})
    sources = read_fields([path], area)
    assert sources.fields["ssh"].time[0] == np.datetime64("2016-05-15")
    assert any("attribute time_coverage_start says 2016-05-15 00:00" in note for note in sources.notes)


def test_a_map_without_a_dimension_of_time_is_dated_too(sea: Sea, area: Area) -> None:
    path = sea(adt=HEIGHT, days=None, dims=("latitude", "longitude"), attributes={"time_coverage_start": "2016-05-15"})
    assert read_fields([path], area).fields["ssh"].values.shape == (1, 7, 9)


def test_a_time_beside_a_map_dates_it(sea: Sea, area: Area) -> None:
    axes = {
        "latitude": ("latitude", np.arange(36, 40.1, 0.5), {}),
        "longitude": ("longitude", np.arange(0, 5.1, 0.5), {}),
        "time": ((), 1.0, {"units": "days since 2005-04-01"}),
    }
    path = sea(adt=HEIGHT, days=None, dims=("latitude", "longitude"), coordinates=axes)
    assert list(read_fields([path], area).fields["ssh"].time) == [APRIL + DAY]


@pytest.mark.parametrize("attributes", [{}, {"time_coverage_start": "soon"}])
def test_a_file_that_does_not_say_its_time_is_refused(sea: Sea, area: Area, attributes: dict[str, str]) -> None:
    path = sea(adt=(np.zeros((1, 9, 11), np.float32), HEIGHT), days=None, attributes=attributes)
    with pytest.raises(
        ValueError, match=r"a\.nc does not say its time: .*time_coverage_start.* cdo setdate,2016-05-15"
    ):
        read_fields([path], area)


def test_several_maps_without_times_are_refused(sea: Sea, area: Area) -> None:
    path = sea(
        adt=(np.zeros((2, 9, 11), np.float32), HEIGHT), days=None, attributes={"time_coverage_start": "2016-05-15"}
    )
    with pytest.raises(
        ValueError, match=r"a\.nc: the dimension time of 2 has no variable that says the times.*cdo sett"
    ):
        read_fields([path], area)


def test_files_and_times_in_any_order_are_sorted(sea: Sea, area: Area, waves: Callable[..., Any]) -> None:
    paths = [sea("a.nc", adt=HEIGHT, days=[4, 3]), sea("b.nc", adt=HEIGHT, days=[1, 0, 2])]
    sources = read_fields(paths, area)
    field = sources.fields["ssh"]
    assert list(field.time) == [APRIL + day * DAY for day in range(5)]
    for day in range(5):
        np.testing.assert_allclose(field.values[day], waves(field.latitude, field.longitude, day), atol=1e-6)
    assert "ssh: times within a file are not in order; they are sorted." in sources.notes
    assert [name for name, _ in sources.files] == ["a.nc", "b.nc"]


def test_a_time_in_two_files_is_refused_and_both_are_named(sea: Sea, area: Area) -> None:
    paths = [sea("a.nc", adt=HEIGHT, days=[0, 1]), sea("b.nc", adt=HEIGHT, days=[1, 2])]
    with pytest.raises(
        ValueError, match=r"ssh of 2005-04-02 00:00 is in a\.nc and in b\.nc\. Give files that hold each"
    ):
        read_fields(paths, area)
    with pytest.raises(ValueError, match=r"ssh of 2005-04-01 00:00 is twice in c\.nc"):
        read_fields([sea("c.nc", adt=HEIGHT, days=[0, 1, 0])], area)


def test_a_file_that_two_patterns_match_is_read_once(sea: Sea, area: Area) -> None:
    path = sea(adt=HEIGHT)
    assert len(read_fields([path, path], area).files) == 1


def test_gaps_are_told(sea: Sea, area: Area) -> None:
    sources = read_fields([sea(adt=HEIGHT, days=[0, 1, 2, 5, 6])], area)
    assert gaps(sources.fields["ssh"].time) == [(APRIL + 2 * DAY, APRIL + 5 * DAY)]
    assert "ssh has no time between 2005-04-03 00:00 and 2005-04-06 00:00." in sources.notes


@pytest.mark.parametrize(
    ("days", "expected"), [([0], []), ([0, 9], []), ([0, 1, 3], [(1, 3)]), ([0, 3, 4], [(0, 3)]), ([0, 2, 5], [])]
)
def test_a_gap_is_longer_than_one_and_a_half_usual_steps(days: list[int], expected: list[tuple[int, int]]) -> None:
    found = gaps(np.array([APRIL + day * DAY for day in days]))
    assert found == [(APRIL + start * DAY, APRIL + end * DAY) for start, end in expected]


def test_a_time_without_any_value_in_the_area_counts_as_absent(sea: Sea, area: Area) -> None:
    values = np.ones((4, 9, 11), np.float32)
    values[1] = np.nan
    sources = read_fields([sea(adt=(values, HEIGHT), days=[0, 1, 2, 3])], area)
    assert list(sources.fields["ssh"].time) == [APRIL + day * DAY for day in (0, 2, 3)]
    said = "ssh is missing everywhere in the area at 1 of 4 times, 2005-04-02 00:00 the first: they count as absent."
    assert said in sources.notes
    assert "ssh has no time between 2005-04-01 00:00 and 2005-04-03 00:00." in sources.notes


def test_a_file_whose_time_is_empty_is_refused(sea: Sea, area: Area) -> None:
    path = sea(adt=(np.zeros((0, 9, 11), np.float32), HEIGHT), days=[])
    with pytest.raises(ValueError, match=r"ssh \(adt of a\.nc\) has no time at all"):
        read_fields([path], area)
