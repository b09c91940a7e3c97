"""Currents: those of the files, or geostrophic ones from sea surface height."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from segfield.densities import KM_PER_DEGREE, UNITS, Field

GRAVITY = 9.81  # m/s2
ROTATION = 7.292115e-5  # of the Earth, rad/s
LOWEST_LATITUDE = 5.0  # degrees from the equator

Values = npt.NDArray[np.float32]


def geostrophic(ssh: Field) -> tuple[Field, Field]:
    """Return the surface currents that balance the slope of the sea.

        u = -g/f d(ssh)/dy,  v = g/f d(ssh)/dx,  f = 2 Omega sin(latitude)

    with g = 9.81 m/s2, Omega = 7.292115e-5 rad/s, dx = R cos(latitude) d(longitude), dy = R d(latitude), R = 6371 km.
    Differences are centred, over two cells; beside land and at the edges, where one neighbour alone is sea, they go
    from there to the cell itself. NaN on land, and where no neighbour along that direction is sea.

    Args:
        ssh: [T, h, w] in m above the geoid; its grid may be uneven.

    Returns:
        u and v [m/s], on the grid and times of ssh.

    Raises:
        ValueError: if latitudes within 5 degrees of the equator are among them: f goes to 0 there, and the balance
            does not hold.
    """
    nearest = float(np.abs(ssh.latitude).min())
    if nearest < LOWEST_LATITUDE or ssh.latitude[0] * ssh.latitude[-1] < 0:
        raise ValueError(
            f"ssh covers latitude {ssh.latitude[0]:g}..{ssh.latitude[-1]:g}; currents from ssh (geostrophic) need 5 "
            "degrees or more from the equator. Use files that hold u and v (currents=uv), or move box= and margin= "
            "away from it."
        )
    metres = KM_PER_DEGREE * 1000
    f = 2 * ROTATION * np.sin(np.radians(ssh.latitude))
    width = metres * np.cos(np.radians(ssh.latitude))
    east = (-GRAVITY / f)[:, None] * _slope(ssh.values, ssh.latitude, 1) / metres
    north = (GRAVITY / f / width)[:, None] * _slope(ssh.values, ssh.longitude, 2)
    source = f"geostrophic, from {ssh.source or 'ssh'}"
    return (
        replace(ssh, name="u", values=east.astype(np.float32), units=UNITS["u"], source=source),
        replace(ssh, name="v", values=north.astype(np.float32), units=UNITS["v"], source=source),
    )


def _slope(values: Values, places: npt.NDArray[np.float64], axis: int) -> npt.NDArray[np.float64]:
    """Differentiate along an axis, per degree; neighbours that are missing are left out."""
    here = np.moveaxis(values, axis, -1)
    padded = np.pad(here, [(0, 0)] * (values.ndim - 1) + [(1, 1)], constant_values=np.nan)
    beside = np.pad(places, 1, mode="edge")
    has_low, has_high = np.isfinite(padded[..., :-2]), np.isfinite(padded[..., 2:])
    low = np.where(has_low, padded[..., :-2], here)
    high = np.where(has_high, padded[..., 2:], here)
    run = np.where(has_high, beside[2:], places) - np.where(has_low, beside[:-2], places)
    known = np.isfinite(here) & (has_low | has_high)
    rise = high.astype(np.float64) - low
    slope: npt.NDArray[np.float64] = np.full(here.shape, np.nan)
    np.divide(rise, run, out=slope, where=known)
    return np.moveaxis(slope, -1, axis)


def currents(fields: Mapping[str, Field], which: Literal["auto", "uv", "ssh"]) -> tuple[Field, Field, str]:
    """Choose the currents that carry the particles.

    Args:
        fields: of the files, by name.
        which: "uv" of the files, "ssh" for geostrophic ones, "auto" for u and v where both are there, else ssh.

    Returns:
        u, v [m/s] and which they are.

    Raises:
        ValueError: if the fields do not have them; the message says which are there and what to type.
    """
    if which not in ("auto", "uv", "ssh"):
        raise ValueError(f"currents={which!r}: expected auto, uv (of the files) or ssh (geostrophic).")
    both = "u" in fields and "v" in fields
    if both and which != "ssh":
        return fields["u"], fields["v"], f"u and v of the files: {fields['u'].source}, {fields['v'].source}"
    if "ssh" in fields and which != "uv":
        return *geostrophic(fields["ssh"]), f"geostrophic, from {fields['ssh'].source}"
    needed = {"auto": "u and v, or ssh", "uv": "u and v", "ssh": "ssh"}[which]
    there = ", ".join(f"{name} ({field.source})" for name, field in fields.items()) or "none"
    other = {"uv": "ssh", "ssh": "uv"}.get(which)
    usable = other is not None and (both if other == "uv" else "ssh" in fields)
    instead = f"Use currents={other}, or give" if usable else "Give"
    spelling = "'names={ssh: <variable>}'" if which == "ssh" else "'names={u: <variable>, v: <variable>}'"
    raise ValueError(
        f"Currents need {needed}; the fields of the files are {there}. {instead} files that hold them, or say which "
        f"variables they are: {spelling}"
    )
