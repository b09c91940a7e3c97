"""What a run learns of its training part before the first step: the mean density, and mean and std of variables.

And how the maps are spaced in time and in place, to which a network keeps.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from segfield.data.ocean_density.fields import Fields
from segfield.data.ocean_density.prepared import Prepared
from segfield.data.ocean_density.windows import HOUR, Windows

Statistics = dict[str, npt.NDArray[np.generic]]
MEAN_DENSITY = "mean_density"
_HOURS, _DEGREES = "spacing_hours", "spacing_degrees"
_totals: dict[tuple[Hashable, ...], npt.NDArray[np.int64]] = {}  # the last one alone: of one set and one split


def names_of(name: str) -> tuple[str, str]:
    """Return the names of a variable's mean and of its std."""
    return f"mean_of_{name}", f"std_of_{name}"


def statistics(
    prepared: Prepared, fields: Fields, windows: Windows, ensembles: Sequence[int], standardised: Iterable[str]
) -> Statistics:
    """Compute them, reading a time and an ensemble after the other.

    Args:
        prepared: the densities.
        fields: the variables.
        windows: of all ensembles.
        ensembles: of the training part.
        standardised: names of variables.

    Returns:
        `mean_density` [H, W] float32 of the targets; `mean_of_<name>` and `std_of_<name>` float64 of a variable over
        the sea, each time that the ensembles use counted once; `spacing_hours` of the maps and `spacing_degrees` [2] of
        the cells, latitude and longitude.
    """
    targets = len(ensembles) * (len(prepared.leads) - 1)
    found: Statistics = {MEAN_DENSITY: prepared.density(_total(prepared, ensembles) / targets)}
    found |= _spacing(prepared)
    uses = windows.uses()
    for name in sorted(set(standardised)):
        first, last = uses[name]
        places = {place for e in ensembles for place in range(int(first[e]), int(last[e]) + 1)}
        mean, std = _mean_and_std(fields, name, sorted(places), prepared.sea)
        found |= dict(zip(names_of(name), (np.asarray(mean), np.asarray(std)), strict=True))
    return found


def _total(prepared: Prepared, ensembles: Sequence[int]) -> npt.NDArray[np.int64]:
    """Return the sum of all targets' counts [H, W], exact in any order; kept for the check's, the run's, a sweep's."""
    stat = prepared.path.stat()
    key = (prepared.path, stat.st_size, stat.st_mtime_ns, tuple(ensembles))
    if key not in _totals:
        total = np.zeros(prepared.size, dtype=np.int64)
        for ensemble in ensembles:
            total += prepared.counts(ensemble, slice(1, None)).sum(axis=0, dtype=np.int64)
        _totals.clear()
        _totals[key] = total
    return _totals[key]


def _mean_and_std(fields: Fields, name: str, places: Sequence[int], sea: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """Return both, of sums about the first map's mean: of kelvins' squares few digits would be left."""
    count, total, squares, about = 0, 0.0, 0.0, None
    for place in places:
        values = fields.source(name, place)[sea].astype(np.float64)
        values = values[np.isfinite(values)]
        if not len(values):
            continue
        about = values.mean() if about is None else about
        values -= about
        count, total, squares = count + len(values), total + values.sum(), squares + (values**2).sum()
    if about is None:
        return 0.0, 1.0
    mean = total / count
    std = float(np.sqrt(max(squares / count - mean**2, 0.0)))
    return float(about + mean), std or 1.0


def _spacing(prepared: Prepared) -> Statistics:
    degrees = [axis[1] - axis[0] if len(axis) > 1 else 0.0 for axis in (prepared.latitude, prepared.longitude)]
    return {_HOURS: np.asarray((prepared.leads[1] - prepared.leads[0]) / HOUR), _DEGREES: np.asarray(degrees)}


def refuse_other_spacing(saved: Mapping[str, npt.NDArray[np.generic]], prepared: Prepared) -> None:
    """Refuse a set that a network does not fit.

    Args:
        saved: of the run.
        prepared: the set.

    Raises:
        ValueError: if its maps or its cells are spaced otherwise, or nobody knows.
    """
    if not {_HOURS, _DEGREES} <= set(saved):
        raise ValueError(
            "This run does not say how the maps that it was trained with are spaced: its statistics.npz is of an "
            "earlier version. Remove that file, and python -m segfield evaluate <run> computes it again."
        )
    trained, found = {name: saved[name] for name in (_HOURS, _DEGREES)}, _spacing(prepared)
    if any(not np.allclose(trained[name], found[name], rtol=1e-6, atol=0) for name in trained):
        raise ValueError(
            f"{prepared.path.parent} has {_spoken(found)}; the network was trained with {_spoken(trained)}, and keeps "
            "to these. Name a set that has them by data.root=<folder>, or prepare one."
        )


def _spoken(spacing: Mapping[str, npt.NDArray[Any]]) -> str:
    rows, columns = spacing[_DEGREES].tolist()
    return f"a map every {spacing[_HOURS]:g} hours on cells of {rows:.6g} x {columns:.6g} degrees"


def checked(saved: Mapping[str, npt.NDArray[np.generic]], size: tuple[int, int], standardised: Iterable[str]) -> None:
    """Refuse statistics of another run.

    Raises:
        ValueError: if names, shapes or values are not what statistics() gives.
    """
    expected: dict[str, tuple[int, ...]] = {MEAN_DENSITY: size}
    if {_HOURS, _DEGREES} & set(saved):  # a run may be older than they are
        expected |= {_HOURS: (), _DEGREES: (2,)}
    for name in standardised:
        expected |= dict.fromkeys(names_of(name), ())
    found = {name: value.shape for name, value in saved.items()}
    if found != expected:
        raise ValueError(f"found {_described(found)}, expected {_described(expected)}")
    if not all(value.dtype.kind == "f" and np.isfinite(value).all() for value in saved.values()):
        raise ValueError("found values that are no numbers")


def _described(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{name} {list(shape)}" for name, shape in sorted(shapes.items()))
