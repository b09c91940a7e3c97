"""u and v on one grid and at one set of times: velocities on the sides of cells (C-grid) are brought to the centres."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from segfield.densities import Field


def together(u: Field, v: Field) -> tuple[Field, Field, list[str]]:
    """Bring u and v to the same cells and times.

    Where they lie on other points, half a cell apart (C-grid), both are interpolated linearly to the centres: u along
    its rows to the longitudes of v, v along its columns to the latitudes of u. A neighbour on land makes a centre land
    unless the file has 0 there.

    Returns:
        u, v, and what was done.

    Raises:
        ValueError: if their grids differ by more, or they have no time in common.
    """
    notes = []
    if u.values.shape[1:] != v.values.shape[1:] or not _same(u, v):
        u, v = _centred(u, v)
        notes.append(
            "u and v lie on the sides of cells (C-grid): both are interpolated linearly to the centres, "
            f"latitude {u.latitude[0]:g}..{u.latitude[-1]:g}, longitude {u.longitude[0]:g}..{u.longitude[-1]:g}."
        )
    if not np.array_equal(u.time, v.time):
        common = np.intersect1d(u.time, v.time)
        if not len(common):
            raise ValueError(
                f"u has the times {u.time[0]} .. {u.time[-1]}, v {v.time[0]} .. {v.time[-1]}, none in common. Give "
                "files that hold both for the same days."
            )
        notes.append(f"u has {len(u.time)} times and v {len(v.time)}: the {len(common)} common ones are kept.")
        u, v = (replace(f, values=f.values[np.isin(f.time, common)], time=common) for f in (u, v))
    return u, v, notes


def _same(u: Field, v: Field) -> bool:
    return all(
        np.allclose(one, other, rtol=0, atol=1e-2 * np.diff(one).min())
        for one, other in ((u.latitude, v.latitude), (u.longitude, v.longitude))
    )


def _centred(u: Field, v: Field) -> tuple[Field, Field]:
    latitude = u.latitude[(u.latitude >= v.latitude[0] - 1e-9) & (u.latitude <= v.latitude[-1] + 1e-9)]
    longitude = v.longitude[(v.longitude >= u.longitude[0] - 1e-9) & (v.longitude <= u.longitude[-1] + 1e-9)]
    steps = [np.median(np.diff(axis)) for axis in (u.latitude, v.latitude, u.longitude, v.longitude)]
    alike = np.allclose(steps[0], steps[1], rtol=0.05) and np.allclose(steps[2], steps[3], rtol=0.05)
    if not alike or min(len(latitude), len(longitude)) < 2:
        raise ValueError(
            f"u and v are on two grids: cells of {steps[0]:g}x{steps[2]:g} degrees ({u.source}) and of {steps[1]:g}x"
            f"{steps[3]:g} ({v.source}); expected one grid, or a C-grid's points half a cell apart. Regrid one of "
            "them, for example by cdo remapbil,<file of the other> old.nc new.nc"
        )
    rows = (u.latitude >= latitude[0]) & (u.latitude <= latitude[-1])
    columns = (v.longitude >= longitude[0]) & (v.longitude <= longitude[-1])
    at_centre = {"latitude": latitude, "longitude": longitude}
    east = _between(u.values[:, rows], u.longitude, longitude, 2)
    north = _between(v.values[:, :, columns], v.latitude, latitude, 1)
    return replace(u, values=east, **at_centre), replace(v, values=north, **at_centre)


def _between(
    values: npt.NDArray[np.float32], places: npt.NDArray[np.float64], wanted: npt.NDArray[np.float64], axis: int
) -> npt.NDArray[np.float32]:
    """Interpolate linearly along an axis; exactly at a place its neighbour does not count."""
    right = np.clip(np.searchsorted(places, wanted), 1, len(places) - 1)
    share = (wanted - places[right - 1]) / (places[right] - places[right - 1])
    share = np.clip(share, 0, 1).reshape([-1 if place == axis else 1 for place in range(3)])
    low, high = np.take(values, right - 1, axis), np.take(values, right, axis)
    mixed = np.where(share == 0, low, np.where(share == 1, high, low + share * (high - low)))
    return mixed.astype(np.float32)
