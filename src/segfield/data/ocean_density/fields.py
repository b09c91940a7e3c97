"""Fields: variables of the sea on the grid of the densities, at any moment between their times.

Bilinear in space, linear in time, as the particle engine has it. Only the times that are asked for are read; some of
them are kept.
"""

import logging
import threading
from collections import OrderedDict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, final

import numpy as np
import numpy.typing as npt

from segfield import densities
from segfield.data.ocean_density.handle import Handle
from segfield.data.ocean_density.inputs import unknown
from segfield.data.ocean_density.windows import Windows, nanoseconds, neighbours

Map = npt.NDArray[np.float32]
_log = logging.getLogger(__name__)
_AXES = ("latitude", "longitude")
_ROUNDING = 1e-6  # [degrees], a tenth of a metre
KEPT = 64 * 2**20  # [bytes] of regridded maps in each process


@final
class Fields:
    """The fields of a prepared set that a run uses.

    Args:
        root: folder of the set.
        names: of the variables.
        latitude: [H] of the cells' centres, in degrees.
        longitude: [W], likewise.

    Attributes:
        times: [T] of each variable, in nanoseconds since 1970.

    Raises:
        ValueError: if the set has no such field, or its file is damaged.
    """

    def __init__(self, root: Path, names: Sequence[str], latitude: np.ndarray, longitude: np.ndarray) -> None:
        has = densities.field_names(root)
        if lacking := [name for name in names if name not in has]:
            raise ValueError(f"{root} {unknown(lacking[0], has)}")
        self.paths = {name: root / densities.FIELDS / f"{name}.nc" for name in names}
        self._open = {name: Handle(partial(densities.open_field, root, name)) for name in self.paths}
        self._latitude, self._longitude = latitude, longitude
        for name, opened in self._open.items():
            _check_axes(self.paths[name], opened())
        self.times = {name: nanoseconds(opened()["time"].values) for name, opened in self._open.items()}
        self._weights = {
            name: (_weights(opened()[_AXES[0]].values, latitude), _weights(opened()[_AXES[1]].values, longitude))
            for name, opened in self._open.items()
        }
        self._kept: OrderedDict[tuple[str, int], Map] = OrderedDict()
        self._most = max(8, KEPT // (4 * len(latitude) * len(longitude)))
        self._lock = threading.Lock()  # a cache is built by several threads

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("_kept", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _kept=OrderedDict(), _lock=threading.Lock())

    def look(self, ensembles: Sequence[int], windows: Windows, sea: npt.NDArray[np.bool_]) -> None:
        """Say where the sea of the grid has no value of a variable, by the first time that is used.

        Raises:
            ValueError: if that is everywhere.
        """
        uses = windows.uses()
        for name, path in self.paths.items():
            lacking = sea & ~np.isfinite(self.source(name, int(uses[name][0][ensembles[0]])))
            if lacking.sum() == sea.sum():
                field = self._open[name]()
                spans = [f"{axis} {field[axis].values.min():g} to {field[axis].values.max():g}" for axis in _AXES]
                ours = [f"{axis.min():g} to {axis.max():g}" for axis in (self._latitude, self._longitude)]
                raise ValueError(
                    f"{path} has no value in the region of the densities, {_AXES[0]} {ours[0]}, {_AXES[1]} {ours[1]}: "
                    f"it has {', '.join(spans)}. Prepare a set of files that cover it, or choose other data/inputs."
                )
            if lacking.any():
                share = lacking.sum() / sea.sum()
                _log.warning(
                    "%s has no value in %.1f%% of the sea: it is left out of loss and scores.", path, 100 * share
                )

    def at(self, name: str, moment: int) -> Map:
        """Return a variable at a moment that its times cover: [H, W], NaN where it has no value.

        Raises:
            ValueError: if the file is damaged there.
        """
        before, after, weight = neighbours(self.times[name], moment)
        first = self.source(name, before)
        return (
            first if before == after else first * np.float32(1 - weight) + self.source(name, after) * np.float32(weight)
        )

    def source(self, name: str, place: int) -> Map:
        """Return a variable at one of its own times: [H, W], read only; errors as at()."""
        with self._lock:
            if (name, place) in self._kept:
                self._kept.move_to_end((name, place))
                return self._kept[name, place]
        found = self._regridded(name, place)
        found.flags.writeable = False
        with self._lock:
            self._kept[name, place] = found
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
        return found

    def _regridded(self, name: str, place: int) -> Map:
        """Read one time and interpolate it onto the grid.

        A cell of the source without a value (land, mostly) takes no part: a cell of the grid has a value where more
        than half of the weight is on cells that have one, not only where all four have.
        """
        down, across = self._weights[name]
        rows, columns = _used(down), _used(across)
        try:
            field = self._open[name]()[place, rows, columns].values.astype(np.float64)
        except (OSError, RuntimeError) as error:
            raise ValueError(
                f"{self.paths[name]} cannot be read at its time {place}: {error}. Restore it, or prepare the set again."
            ) from error
        down, across, has = down[:, rows], across[:, columns], np.isfinite(field)
        found = down @ np.where(has, field, 0.0) @ across.T
        if not has.all():
            weight = down @ has @ across.T
            found = np.divide(found, weight, out=np.full_like(found, np.nan), where=weight > 0.5)
        return np.asarray(found, dtype=np.float32)


def _check_axes(path: Path, field: Any) -> None:
    """Refuse axes that do not ascend: what lies between two of their places would be sought at the wrong end."""
    for axis in ("time", *_AXES):
        values = field[axis].values
        if np.isnat(values).any() if axis == "time" else not np.isfinite(values).all():
            raise ValueError(f"{path}: its {axis} has missing values. Prepare the set again.")
        if not (values[1:] > values[:-1]).all():
            raise ValueError(f"{path}: its {axis} does not ascend. Sort the field by it, or prepare the set again.")


def _weights(source: npt.NDArray[np.float64], grid: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return what each place of a source counts at each of a grid's, by linear interpolation: [grid, source].

    NaN beyond the source's ends.
    """
    found = np.zeros((len(grid), len(source)))
    after = np.searchsorted(source, grid).clip(1, max(1, len(source) - 1))
    if len(source) > 1:
        places, later = np.arange(len(grid)), (grid - source[after - 1]) / (source[after] - source[after - 1])
        found[places, after - 1], found[places, after] = 1 - later, later
    found[(grid < source[0] - _ROUNDING) | (grid > source[-1] + _ROUNDING)] = np.nan
    return found


def _used(weights: npt.NDArray[np.float64]) -> slice:
    """Return the places of a source that count anywhere; at least one."""
    places = np.flatnonzero(np.nan_to_num(weights).any(axis=0))
    return slice(int(places[0]), int(places[-1]) + 1) if len(places) else slice(0, 1)
