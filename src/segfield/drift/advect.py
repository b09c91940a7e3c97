"""Advection by parcels: many ensembles in one particle set, each on its own clock. The only file that imports it.

parcels 4.0.2: particles that leave its grid in the west or the south freeze without a word, in the east and the north
they raise. So its grid is wider than the domain here by what particles cover in a step, and the domain's four sides are
tested by a kernel of ours. Its sphere has 60 nautical miles a degree. Land is water that does not move.
"""

import contextlib
import ctypes
import importlib
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any, final

import numpy as np
import numpy.typing as npt

from segfield.densities import Field

Domain = tuple[float, float, float, float]  # south, north, west, east
_METRES = 1852.0 * 60  # of a degree, as parcels has it
_TRIM, _MAP = -1, -3  # glibc's M_TRIM_THRESHOLD and M_MMAP_THRESHOLD
_INSTALL = "Advection needs parcels, which is not installed. Type: pip install -e '.[ocean]'"


def require() -> str:
    """Return parcels' version.

    Raises:
        ImportError: if it is not there; the message says what to type.
    """
    try:
        return str(importlib.import_module("parcels").__version__)
    except ImportError as error:
        raise ImportError(_INSTALL) from error


def keep_memory() -> None:
    """Let the C library keep what is freed for the next step, in the whole process; elsewhere than on glibc nothing.

    Each step makes and frees arrays of all particles. Given back to the system, their pages are faulted in again and
    zeroed: half of the time of an ensemble.
    """
    with contextlib.suppress(AttributeError, OSError, TypeError):  # no glibc
        library = ctypes.CDLL(None)
        library.mallopt(_TRIM, 1 << 30)
        library.mallopt(_MAP, 1 << 25)  # more is refused


@final
class Advection:
    """Currents that carry particles.

    Args:
        u: eastward [m/s], [T, h, w].
        v: northward, on the same grid and at the same times.
        domain: (south, north, west, east) in which particles move, inside the grid.
        dt: step in seconds.
        mesh: spherical, or flat: coordinates in metres.
        check: is called before each step, and may raise.

    Raises:
        ImportError: if parcels is not there.
        ValueError: if u and v have different grids.
    """

    def __init__(
        self,
        u: Field,
        v: Field,
        domain: Domain,
        dt: int,
        mesh: str = "spherical",
        check: Callable[[], None] = lambda: None,
    ) -> None:
        require()
        import parcels

        if not all(np.array_equal(getattr(u, name), getattr(v, name)) for name in ("time", "latitude", "longitude")):
            raise ValueError(f"u ({u.source}) and v ({v.source}) must have the same times and grid.")
        self._first, self._dt, self._domain, self._time, self._check = u.time[0], dt, domain, u.time, check
        logger = logging.getLogger("parcels._logger")
        before = logger.level
        logger.setLevel(logging.WARNING)  # it tells that surface data have no depth
        try:
            dataset = parcels.convert.copernicusmarine_to_sgrid(fields=_widened(u, v, dt, mesh))
            self._fields = parcels.FieldSet.from_sgrid_conventions(dataset, mesh=mesh)
        finally:
            logger.setLevel(before)

    def __call__(
        self, start: npt.NDArray[np.datetime64], release: npt.NDArray[np.float64], steps: int
    ) -> npt.NDArray[np.float32]:
        """Advect ensembles and return where their particles are at every step.

        Args:
            start: [E] datetime64, of each ensemble's release; start + (steps + 1) dt lies within the fields' times.
            release: [E, P, 2] latitude and longitude.
            steps: of dt.

        Returns:
            [E, steps + 1, P, 2], NaN from when a particle was outside of the domain. A particle's path does not
            depend on the others of the call.
        """
        import parcels

        ensembles, particles, _ = release.shape
        seconds = (start - self._first) / np.timedelta64(1, "s")
        last = (self._time[-1] - self._first) / np.timedelta64(1, "s")
        assert (seconds >= 0).all(), "released before the first field"
        assert (seconds + (steps + 1) * self._dt <= last).all(), "the last step would look behind the last field"
        trail = np.full((steps + 1, ensembles * particles, 2), np.nan, dtype=np.float32)
        flat = release.reshape(-1, 2)
        inside = np.flatnonzero(~_outside(flat[:, 1], flat[:, 0], self._domain))  # the others never start
        began = np.repeat(seconds, particles)[inside]
        if inside.size:
            context = {"trail": trail, "domain": self._domain, "step": self._dt, "steps": steps}
            self._fields.context.update(context, check=self._check)
            drifting = parcels.ParticleSet(
                self._fields,
                pclass=_particle(),
                x=flat[inside, 1],
                y=flat[inside, 0],
                t=self._first + (began * 1e9).astype("timedelta64[ns]"),
                t0=began,
                particle_ids=inside,
            )
            end = self._first + np.timedelta64(int(began.max()) + (steps + 1) * self._dt, "s")
            drifting.execute(
                [record, parcels.kernels.AdvectionRK4],
                dt=np.timedelta64(self._dt, "s"),
                endtime=end,
                verbose_progress=False,
            )
        paths = trail.reshape(steps + 1, ensembles, particles, 2)
        return np.ascontiguousarray(paths.transpose(1, 0, 2, 3))


def record(particles: Any, fieldset: Any) -> None:
    """Kernel: note where particles are at their age, and delete those that left the domain or are old enough.

    It stands before the advection, and so sees the state at the beginning of a step.
    """
    from parcels import StatusCode

    fieldset.check()
    age = np.rint((particles.t - particles.t0) / fieldset.step).astype(np.int64)
    x, y, number = (np.asarray(one) for one in (particles.x, particles.y, particles.particle_id))
    out = _outside(x, y, fieldset.domain)
    fieldset.trail[age, number, 0] = np.where(out, np.nan, y)
    fieldset.trail[age, number, 1] = np.where(out, np.nan, x)
    particles.state = np.where(out | (age >= fieldset.steps), StatusCode.Delete, particles.state)


def _outside(x: npt.NDArray[Any], y: npt.NDArray[Any], domain: Domain) -> npt.NDArray[np.bool_]:
    south, north, west, east = domain
    return np.asarray((y < south) | (y > north) | (x < west) | (x > east))


def _particle() -> Any:
    """Return parcels' particle with positions in double precision, and the time of its release."""
    import parcels

    wide = [
        parcels.Variable(one.name, np.float64 if one.dtype == np.float32 else one.dtype, one.initial, to_write=False)
        for one in parcels.Particle.variables
    ]
    return parcels.ParticleClass([*wide, parcels.Variable("t0", np.float64, to_write=False)])


def _widened(u: Field, v: Field, dt: int, mesh: str) -> dict[str, Any]:
    """Return U and V for parcels: 0 on land, and a node more on each side with the value of its neighbour.

    A particle that has just left, by a step at most, is still asked for its velocity up to a step further.
    """
    import xarray as xr

    u, v = (replace(one, values=np.nan_to_num(one.values, nan=0.0)) for one in (u, v))
    far = 3.0 * dt * float(np.hypot(u.values, v.values).max(initial=0.0)) + 1.0  # [m]
    latitude, longitude = u.latitude, u.longitude
    if mesh == "spherical":
        north = far / _METRES
        pole = min(float(np.abs(latitude).max()) + north, 89.0)
        east = north / np.cos(np.deg2rad(pole))
    else:
        north = east = far
    coordinates = {
        "time": u.time,
        "lat": ("lat", np.concatenate([[latitude[0] - north], latitude, [latitude[-1] + north]])),
        "lon": ("lon", np.concatenate([[longitude[0] - east], longitude, [longitude[-1] + east]])),
    }
    return {
        name: xr.DataArray(
            np.pad(one.values, ((0, 0), (1, 1), (1, 1)), mode="edge"),
            dims=("time", "lat", "lon"),
            coords=coordinates,
            name=name,
        )
        for name, one in (("U", u), ("V", v))
    }
