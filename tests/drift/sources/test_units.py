from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segfield.drift.sources import read_fields

Sea = Callable[..., Path]
Area = tuple[float, float, float, float]


def full(value: float, dtype: Any = np.float32) -> np.ndarray:
    return np.full((3, 9, 11), value, dtype)


@pytest.mark.parametrize(
    ("field", "name", "stored", "units", "expected"),
    [
        ("u", "uo", 50, "cm/s", 0.5),
        ("u", "uo", 50, "cm s-1", 0.5),
        ("u", "uo", 2, "knots", 1.0289),
        ("u", "uo", 3.6, "km h-1", 1.0),
        ("u", "uo", 0.5, "meter second-1", 0.5),
        ("ssh", "zos", 30, "cm", 0.3),
        ("ssh", "zos", 0.3, "metres", 0.3),
        ("sst", "sst", 293.15, "kelvin", 20),
        ("sst", "sst", 293.15, "K", 20),
        ("sst", "sst", 20, "degrees_C", 20),
        ("sst", "sst", 20, "Celsius", 20),
    ],
)
def test_values_come_in_metres_seconds_and_degrees_celsius(
    sea: Sea, area: Area, field: str, name: str, stored: float, units: str, expected: float
) -> None:
    values = read_fields([sea(**{name: (full(stored), {"units": units})})], area).fields[field].values
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, expected, rtol=1e-4)


def test_a_conversion_is_told(sea: Sea, area: Area) -> None:
    notes = read_fields([sea(sst=(full(293.15), {"units": "kelvin"}))], area).notes
    assert "sst: sst is converted from K to degC." in notes


@pytest.mark.parametrize("attributes", [{}, {"units": ""}])
def test_missing_units_are_an_error_with_the_setting_to_write(sea: Sea, area: Area, attributes: dict[str, str]) -> None:
    path = sea(uo=attributes)
    message = r"a\.nc: uo, taken for u, states no units\. Say which: 'units=\{u: m/s\}' \(m/s, cm/s"
    with pytest.raises(ValueError, match=message):
        read_fields([path], area)
    sources = read_fields([path], area, units={"u": "m/s"})
    assert "u: uo is read in m/s, as given; its file says no units." in sources.notes


def test_unexpected_units_are_an_error_with_the_setting_to_write(sea: Sea, area: Area) -> None:
    with pytest.raises(
        ValueError, match=r"a\.nc: uo, taken for u is in 'furlongs'; expected one of m/s.*'units=\{u: m/s"
    ):
        read_fields([sea(uo={"units": "furlongs"})], area)


def test_given_units_that_are_none_are_an_error(sea: Sea, area: Area) -> None:
    with pytest.raises(ValueError, match=r"units were given for u: 'kelvins per day'; expected one of m/s"):
        read_fields([sea(uo={})], area, units={"u": "kelvins per day"})
    with pytest.raises(ValueError, match=r"units has 'chl': expected one of u, v, ssh, sst, time"):
        read_fields([sea(uo={})], area, units={"chl": "1"})


@pytest.mark.parametrize(
    ("name", "value", "units", "message"),
    [
        ("sst", 293.15, "degC", r"sst of 293\.1..293\.1 degC; expected -5\.\.50.*'units=\{sst: K\}'"),
        ("uo", 45, "m/s", r"u of 45\.\.45 m s-1; expected -10\.\.10.*'units=\{u: cm/s\}'"),
    ],
)
def test_values_that_no_sea_has_are_an_error(
    sea: Sea, area: Area, name: str, value: float, units: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        read_fields([sea(**{name: (full(value), {"units": units})})], area)


def test_units_that_were_given_are_believed(sea: Sea, area: Area) -> None:
    values = read_fields([sea(uo=(full(12), {"units": "m/s"}))], area, units={"u": "m/s"}).fields["u"].values
    assert (values == 12).all()


def test_a_field_of_the_users_own_keeps_its_units_and_needs_some(sea: Sea, area: Area) -> None:
    path = sea(CHL={})
    with pytest.raises(ValueError, match=r"CHL, taken for chl, states no units\. Say which: 'units=\{chl: 1\}'"):
        read_fields([path], area, names={"chl": "CHL"})
    assert read_fields([path], area, names={"chl": "CHL"}, units={"chl": "mg m-3"}).fields["chl"].units == "mg m-3"


def test_an_attribute_Unit_is_read_as_units(sea: Sea, area: Area) -> None:  # noqa: N802
    sources = read_fields([sea(uo=(full(50), {"Unit": "cm s-1"}), time={"Unit": "days since 1900-1-1"})], area)
    assert (sources.fields["u"].values == 0.5).all()
    assert sources.fields["u"].time[1] == np.datetime64("1900-01-02")


def test_packed_integers_are_unpacked(sea: Sea, area: Area) -> None:
    packed = full(5000, np.int16)
    packed[:, 4, 5] = -32767
    attributes = {"units": "m", "scale_factor": 1e-4, "add_offset": 0.1}
    for fill in ({"_FillValue": np.int16(-32767)}, {}):  # NetCDF's own fill value where none is declared
        values = read_fields([sea(adt=(packed, attributes | fill))], area).fields["ssh"].values
        assert np.isnan(values).sum() == 3
        np.testing.assert_allclose(values[np.isfinite(values)], 0.6, rtol=1e-6)


@pytest.mark.parametrize("fill", [np.nan, 1e20, 9.96921e36, -9999.0])
def test_land_without_a_declared_fill_value_is_missing(sea: Sea, area: Area, fill: float) -> None:
    values = full(0.5)
    values[:, :4] = fill
    sources = read_fields([sea(uo=(values, {"units": "m/s"}))], area)
    u = sources.fields["u"]
    assert np.isnan(u.values[:, u.latitude < 38]).all()
    assert (u.values[:, u.latitude >= 38] == 0.5).all()
    assert any("like -9999" in note for note in sources.notes) == (fill == -9999)


def test_two_fill_values_are_both_missing(sea: Sea, area: Area) -> None:
    values = full(0.5)
    values[:, 4, 4:6] = [-1.0, -2.0]
    attributes = {"units": "m/s", "_FillValue": np.float32(-1), "missing_value": np.float32(-2)}
    assert np.isnan(read_fields([sea(uo=(values, attributes))], area).fields["u"].values).sum() == 6


def test_a_scale_that_is_written_as_a_text_is_read_as_the_number_it_is(sea: Sea, area: Area) -> None:
    stored = full(2000, np.int16)
    path = sea(zos=(stored, {"units": "m", "scale_factor": "1e-4"}))
    np.testing.assert_allclose(read_fields([path], area).fields["ssh"].values, 0.2, rtol=1e-6)
    path = sea(zos=(stored, {"units": "m", "add_offset": "none"}))
    with pytest.raises(
        ValueError, match=r"a\.nc: add_offset is 'none', expected a number\. Mend it, .*ncatted -a add_off"
    ):
        read_fields([path], area)
