"""The engine against what is known of simple flows."""

import platform
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from segfield.drift.advect import Advection, require
from segfield.drift.counts import Land, count

parcels = pytest.importorskip("parcels", reason="advection needs the extra: pip install -e '.[ocean]'")

START = np.datetime64("2005-04-01", "ns")
HOUR = np.timedelta64(1, "h")
SIDE = np.linspace(-50e3, 50e3, 41)  # [m], of flat fields
FLAT = (-50e3, 50e3, -50e3, 50e3)
Flow = Callable[..., Any]


def ring(radius: float, size: int = 40) -> np.ndarray:
    turns = np.linspace(0, 2 * np.pi, size, endpoint=False)
    return radius * np.stack([np.sin(turns), np.cos(turns)], axis=-1)[None]


@pytest.mark.parametrize(("dt", "metres"), [(3 * 3600, 100.0), (3600, 1.24), (1800, 0.08)])
def test_in_solid_rotation_paths_of_5_km_close_after_a_day_but_for_metres(flow: Flow, dt: int, metres: float) -> None:
    turn = 2 * np.pi / 86400
    u, v = flow(lambda y, x, _: -turn * y, lambda y, x, _: turn * x, SIDE, SIDE, days=2)
    paths = Advection(u, v, FLAT, dt, "flat")(np.array([START]), ring(5000), 86400 // dt)
    error = np.hypot(*(paths[0, -1] - paths[0, 0]).T).max()
    assert 0.2 * metres < error < metres  # of the fourth order: 1.229 m at an hour, a sixteenth at half an hour
    radius = np.hypot(*paths[0].reshape(-1, 2).T)
    assert abs(radius - 5000).max() < metres


def test_in_a_uniform_flow_on_the_sphere_particles_go_as_far_as_it_carries_them(flow: Flow) -> None:
    axes = np.linspace(35, 41, 25), np.linspace(0, 6, 25)
    u, v = flow(lambda y, x, _: 0.3, lambda y, x, _: 0.2, *axes)
    paths = Advection(u, v, (35, 41, 0, 6), 10800)(np.array([START]), np.array([[[38.0, 3.0]]]), 24)
    degree = 1852 * 60
    north = 0.2 * 3 * 86400 / degree
    east = 0.3 * 3 * 86400 / degree / np.cos(np.deg2rad(38 + north / 2))
    np.testing.assert_allclose(paths[0, -1, 0], [38 + north, 3 + east], atol=5e-5)


@pytest.mark.parametrize("speed", [(1.0, 0.0), (0.0, 1.0), (0.7, 0.4)])
def test_particles_leave_west_south_east_and_north_alike(flow: Flow, speed: tuple[float, float]) -> None:
    u, v = flow(lambda y, x, _: speed[0], lambda y, x, _: speed[1], SIDE, SIDE)
    release = np.random.default_rng(0).uniform(-45e3, 45e3, (1, 60, 2))
    release[0, 0] = 60e3  # outside from the beginning
    paths = {}
    for sign in (1, -1):
        u.values[:], v.values[:] = sign * speed[0], sign * speed[1]
        paths[sign] = Advection(u, v, FLAT, 3600, "flat")(np.array([START]), sign * release, 30)
    np.testing.assert_allclose(paths[1], -paths[-1], atol=0.01)
    gone = np.isnan(paths[1][0]).any(-1)
    assert gone[-1].mean() > 0.8
    assert (np.diff(gone.astype(int), axis=0) >= 0).all()
    assert gone[:, 0].all()
    assert np.nanmax(abs(paths[1])) <= 50e3


def test_every_ensemble_has_its_own_clock_and_no_path_depends_on_the_others(flow: Flow) -> None:
    axes = np.linspace(35, 41, 25), np.linspace(0, 6, 25)
    u, v = flow(lambda y, x, t: 0.1 * t * np.sin(y), lambda y, x, t: 0.3 * np.cos(x + t), *axes)
    advection = Advection(u, v, (35.5, 40.5, 0.5, 5.5), 10800)
    rng = np.random.default_rng(0)
    release = rng.uniform((36, 1), (40, 5), (5, 40, 2)).astype(np.float32).astype(float)
    start = START + np.array([0, 6, 30, 12, 66]) * HOUR
    together = advection(start, release, 16)
    assert together.shape == (5, 17, 40, 2)
    assert np.isfinite(together).any()
    for one in range(5):
        alone = advection(start[one : one + 1], release[one : one + 1], 16)
        np.testing.assert_array_equal(alone[0], together[one])
    np.testing.assert_array_equal(together[:, 0], release.astype(np.float32))


def test_particles_that_drift_ashore_are_beached(flow: Flow) -> None:
    axes = np.linspace(37, 39, 21), np.linspace(2, 4, 21)
    u, v = flow(lambda y, x, _: np.where(x > 3.45, np.nan, 0.5), lambda y, x, _: 0.0, *axes)
    release = np.random.default_rng(0).uniform((37.9, 2.9), (38.1, 3.1), (2, 30, 2))
    paths = Advection(u, v, (37, 39, 2, 4), 10800)(np.array([START, START + 6 * HOUR]), release, 24)
    sparse = count(paths, Land(u, v, 48), 2)
    assert sparse.beached[:, 0].tolist() == [0, 0]
    assert sparse.beached[:, -1].tolist() == [30, 30]
    assert sparse.left.sum() == 0


def test_u_and_v_of_different_grids_are_refused(flow: Flow) -> None:
    (u, _), (_, v) = (flow(lambda *_: 0.0, lambda *_: 0.0, SIDE[:size], SIDE) for size in (10, 11))
    with pytest.raises(ValueError, match="must have the same times and grid"):
        Advection(u, v, FLAT, 3600, "flat")


def test_without_parcels_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "parcels", None)
    with pytest.raises(ImportError, match=r"pip install -e '.\[ocean\]'"):
        require()


def test_memory_that_is_freed_is_kept_for_the_next_step() -> None:
    steps = """
import resource, numpy as np
from segfield.drift.advect import keep_memory
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(1_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
keep_memory()
faults()
print(faults())
"""
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("other C libraries are left as they are")
    said = subprocess.run([sys.executable, "-c", steps], capture_output=True, text=True, check=True).stdout
    assert int(said) < 2000, "20 arrays of 1953 pages: not given back and taken again"
