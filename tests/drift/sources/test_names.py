from collections.abc import Callable
from pathlib import Path

import pytest

from segfield.drift.sources import read_fields
from segfield.drift.sources_names import rank

Sea = Callable[..., Path]
Area = tuple[float, float, float, float]
SPEED = {"units": "m/s"}


@pytest.mark.parametrize("pair", ["u v", "uo vo", "uos vos", "U V", "UVEL VVEL", "ugos vgos", "vozocrtx vomecrty"])
def test_velocities_are_known_by_the_names_in_use(sea: Sea, area: Area, pair: str) -> None:
    u, v = pair.split()
    sources = read_fields([sea(**{u: SPEED, v: SPEED})], area)
    assert sorted(sources.fields) == ["u", "v"]
    assert sources.fields["u"].source == f"{u} of a.nc"


@pytest.mark.parametrize(("field", "name"), [("ssh", "adt"), ("ssh", "zos"), ("ssh", "SSH"), ("ssh", "sossheig")])
def test_heights_are_known_by_the_names_in_use(sea: Sea, area: Area, field: str, name: str) -> None:
    assert read_fields([sea(**{name: {"units": "m"}})], area).fields[field].source == f"{name} of a.nc"


@pytest.mark.parametrize("name", ["analysed_sst", "thetao", "sst", "tos", "sosstsst"])
def test_temperatures_are_known_by_the_names_in_use(sea: Sea, area: Area, name: str) -> None:
    assert read_fields([sea(**{name: {"units": "degC"}})], area).fields["sst"].source == f"{name} of a.nc"


def test_a_standard_name_goes_before_a_name(sea: Sea, area: Area) -> None:
    named = {"units": "m/s", "standard_name": "eastward_sea_water_velocity"}
    sources = read_fields([sea(u=SPEED, current=named)], area)
    assert sources.fields["u"].source == "current of a.nc"
    assert "u is current; also there: u." in sources.notes


def test_heights_above_the_geoid_go_before_anomalies_and_the_log_says_so(sea: Sea, area: Area) -> None:
    anomaly = {"units": "m", "standard_name": "sea_surface_height_above_sea_level"}
    sources = read_fields([sea(sla=anomaly, adt={"units": "m"}, ugosa=SPEED, ugos=SPEED)], area)
    assert (sources.fields["ssh"].source, sources.fields["u"].source) == ("adt of a.nc", "ugos of a.nc")
    assert {"ssh is adt; also there: sla.", "u is ugos; also there: ugosa."} <= set(sources.notes)


def test_an_anomaly_is_taken_where_there_is_nothing_else(sea: Sea, area: Area) -> None:
    assert read_fields([sea(sla={"units": "m"})], area).fields["ssh"].source == "sla of a.nc"


@pytest.mark.parametrize("order", [("a.nc", "b.nc"), ("b.nc", "a.nc")])
def test_the_better_variable_is_taken_in_whatever_file_it_comes(sea: Sea, area: Area, order: tuple[str, str]) -> None:
    paths = {"a.nc": sea("a.nc", sla={"units": "m"}), "b.nc": sea("b.nc", adt={"units": "m"})}
    sources = read_fields([paths[name] for name in order], area)
    assert sources.fields["ssh"].source == "adt of b.nc"
    assert any(note.startswith("ssh is adt, of ") for note in sources.notes)


def test_winds_drift_by_waves_and_errors_are_no_currents() -> None:
    assert rank("u", "u", "eastward_wind") is None
    assert rank("u", "eastward_stokes_drift_velocity") is None
    assert rank("u", "u", "", "formal error of the zonal velocity") is None
    assert rank("u", "eastward_eulerian_current_velocity") is not None


def test_names_of_the_users_go_before_all_and_may_add_fields(sea: Sea, area: Area) -> None:
    path = sea(uo=SPEED, best=SPEED, CHL={"units": "mg m-3"})
    fields = read_fields([path], area, names={"u": "best", "chlorophyll": "CHL"}).fields
    assert fields["u"].source == "best of a.nc"
    assert fields["chlorophyll"].units == "mg m-3"


def test_a_variable_that_is_not_there_is_told_with_those_that_are(sea: Sea, area: Area) -> None:
    with pytest.raises(
        ValueError, match=r"holds the variable 'uoo', named as u\. The files hold uo, vo; likely uo.*'names=\{u: uo\}'"
    ):
        read_fields([sea(uo=SPEED, vo=SPEED)], area, names={"u": "uoo"})


def test_a_wanted_field_that_is_not_there_is_told_with_likely_variables(sea: Sea, area: Area) -> None:
    with pytest.raises(
        ValueError, match=r"No file holds v\. The files hold uo, vo_cur; likely vo_cur\. .*\{v: vo_cur\}'"
    ):
        read_fields([sea(uo=SPEED, vo_cur=SPEED)], area, wanted=["u", "v"])


def test_files_without_any_known_variable_get_a_proposal_to_type(sea: Sea, area: Area) -> None:
    with pytest.raises(ValueError, match=r"no u, v, ssh or sst .* they hold uvel_2, height\. .*'names=\{u: uvel_2"):
        read_fields([sea(uvel_2=SPEED, height={"units": "m"})], area)


@pytest.mark.parametrize("names", [{"time": "uo"}, {"a/b": "uo"}, {"u": ""}])
def test_a_name_that_cannot_be_a_field_is_refused(sea: Sea, area: Area, names: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"names has .*expected .*u: uo"):
        read_fields([sea(uo=SPEED)], area, names=names)


def test_a_variable_of_letters_is_refused(sea: Sea, area: Area) -> None:
    text = ([[["a"] * 11] * 9] * 3, {"units": "m/s"})
    with pytest.raises(ValueError, match=r"a\.nc: uo, taken for u, is of type .*; expected numbers\..*'names=\{u:"):
        read_fields([sea(uo=text)], area)
