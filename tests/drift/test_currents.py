from pathlib import Path

import numpy as np
import pytest

from segfield.densities import Field
from segfield.drift.currents import GRAVITY, ROTATION, currents, geostrophic
from segfield.drift.sources import read_fields

RADIUS = 6371000.0
NOON = np.array(["2005-04-01T12:00"], dtype="datetime64[ns]")
LATITUDE, LONGITUDE = np.arange(36, 40.01, 0.1), np.arange(1, 6.01, 0.1)


def height(values: np.ndarray, latitude: np.ndarray = LATITUDE, longitude: np.ndarray = LONGITUDE) -> Field:
    return Field(
        name="ssh",
        values=values[None].astype(np.float32),
        time=NOON,
        latitude=latitude,
        longitude=longitude,
        units="m",
        source="adt of a.nc",
    )


def coriolis(latitude: np.ndarray) -> np.ndarray:
    return 2 * ROTATION * np.sin(np.radians(latitude))


@pytest.mark.parametrize("sign", [1, -1])
def test_a_plane_slope_gives_its_exact_current_up_to_the_edges(sign: int) -> None:
    latitude = np.sort(sign * LATITUDE)
    u, v = geostrophic(height(0.1 * latitude[:, None] + 0.05 * LONGITUDE, latitude))
    degree = np.radians(1) * RADIUS
    expected = np.broadcast_to((-GRAVITY / coriolis(latitude) * 0.1 / degree)[:, None], u.values.shape[1:])
    np.testing.assert_allclose(u.values[0], expected, rtol=1e-4)
    width = degree * np.cos(np.radians(latitude))
    expected = np.broadcast_to((GRAVITY / coriolis(latitude) * 0.05 / width)[:, None], v.values.shape[1:])
    np.testing.assert_allclose(v.values[0], expected, rtol=1e-4)
    assert (u.name, v.name, u.units, v.units) == ("u", "v", "m s-1", "m s-1")
    assert u.source == "geostrophic, from adt of a.nc"


def test_a_high_eddy_turns_clockwise_in_the_north_with_its_analytic_speed() -> None:
    x = RADIUS * np.radians(LONGITUDE - 3.5) * np.cos(np.radians(LATITUDE))[:, None]
    y = RADIUS * np.radians(LATITUDE - 38)[:, None]
    eddy = 0.2 * np.exp(-(x**2 + y**2) / 2 / 60000**2)
    u, v = geostrophic(height(eddy))
    f = coriolis(LATITUDE)[:, None]
    fast = GRAVITY / abs(f).mean() * 0.2 / 60000 * np.exp(-0.5)
    np.testing.assert_allclose(v.values[0], -GRAVITY / f * eddy * x / 60000**2, atol=0.02 * fast)
    np.testing.assert_allclose(u.values[0][:, 25], (GRAVITY / f * eddy * y / 60000**2)[:, 25], atol=0.02 * fast)
    assert u.values[0, 26, 25] > 0 > v.values[0, 20, 35]


def test_beside_land_the_slope_is_taken_from_the_sea_alone() -> None:
    values = 0.1 * LATITUDE[:, None] + 0 * LONGITUDE
    values[10] = np.nan
    values[:, 20] = np.nan
    values[30, 18], values[29:32, 19] = np.nan, [np.nan, -1.0, np.nan]  # a cell of sea with none beside it
    u, v = geostrophic(height(values))
    land = np.isnan(values)
    alone = np.zeros_like(land)
    alone[30, 19] = True
    assert (np.isnan(u.values[0]) == (land | alone)).all()
    assert (np.isnan(v.values[0]) == (land | alone)).all()
    np.testing.assert_allclose(u.values[0][~land & ~alone] / u.values[0, 5, 5], 1, rtol=0.1)


@pytest.mark.parametrize("latitude", [np.arange(-4, 4.1), np.arange(3, 20.0), np.arange(-20, 21.0, 40 / 3)])
def test_geostrophic_currents_beside_the_equator_are_refused(latitude: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"ssh covers latitude .*need 5 degrees or more from the equator.*currents=uv"):
        geostrophic(height(np.zeros((len(latitude), len(LONGITUDE))), latitude))


def test_currents_agree_with_those_of_the_altimetry_product(shared_data: Path) -> None:
    """The product differentiates over 9 points, here it is 3: RMS differences of 12 and 11 %."""
    file = shared_data / "ocean" / "altimetry" / "dt_blacksea_allsat_phy_l4_20160707_20200801.nc"
    fields = read_fields([file], (40.1, 46.9, 27.1, 41.9)).fields
    for ours, theirs in zip(geostrophic(fields["ssh"]), (fields["u"], fields["v"]), strict=True):
        both = np.isfinite(ours.values) & np.isfinite(theirs.values)
        assert both.sum() == np.isfinite(theirs.values).sum()  # wherever they have a current
        difference = np.sqrt(np.mean((ours.values - theirs.values)[both] ** 2))
        assert difference < 0.013  # m/s; measured 0.0115 for u, 0.0088 for v
        assert difference < 0.13 * np.sqrt(np.mean(theirs.values[both] ** 2))


def test_currents_are_those_of_the_files_where_both_are_there_else_from_ssh() -> None:
    ssh = height(0.1 * LATITUDE[:, None] + 0 * LONGITUDE)
    u, v = geostrophic(ssh)
    whole = {"ssh": ssh, "u": u, "v": v}
    assert currents(whole, "auto")[0] is currents(whole, "uv")[0] is u
    assert currents(whole, "auto")[2].startswith("u and v of the files: ")
    assert currents(whole, "ssh")[2] == "geostrophic, from adt of a.nc"
    assert currents({"ssh": ssh, "u": u}, "auto")[2] == "geostrophic, from adt of a.nc"


@pytest.mark.parametrize(
    ("names", "which", "message"),
    [
        ("u", "auto", r"Currents need u and v, or ssh; .* are u \(.*\)\. Give files .* 'names=\{u: <variable>, v: "),
        ("", "auto", r"the fields of the files are none\. Give files"),
        ("ssh", "uv", r"Currents need u and v; .* are ssh \(adt of a\.nc\)\. Use currents=ssh, or give"),
        ("u v", "ssh", r"Currents need ssh; .*Use currents=uv, or give .* 'names=\{ssh: <variable>\}'"),
        ("u v", "all", r"currents='all': expected auto, uv \(of the files\) or ssh"),
    ],
)
def test_currents_that_are_not_there_are_told_with_what_is(names: str, which: str, message: str) -> None:
    ssh = height(0.1 * LATITUDE[:, None] + 0 * LONGITUDE)
    whole = dict(zip("uv", geostrophic(ssh), strict=True)) | {"ssh": ssh}
    with pytest.raises(ValueError, match=message):
        currents({name: whole[name] for name in names.split()}, which)  # type: ignore[arg-type]
