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
        self.times = {name: nanoseconds(opened()["time"].values) for name, opened in self._open.items()}
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
        field = self._open[name]()
        try:
            field = field.isel(time=place, **self._around(field)).astype(np.float64).load()
        except (OSError, RuntimeError) as error:
            raise ValueError(
                f"{self.paths[name]} cannot be read at its time {place}: {error}. Restore it, or prepare the set again."
            ) from error
        grid = {"latitude": self._latitude, "longitude": self._longitude}
        has = field.notnull()
        if has.all():
            return np.asarray(field.interp(grid).values, dtype=np.float32)
        weight = has.astype(np.float64).interp(grid)
        found = (field.fillna(0.0).interp(grid) / weight.where(weight > 0.5)).values
        return np.asarray(found, dtype=np.float32)

    def _around(self, field: Any) -> dict[str, slice]:
        """Return the rows and columns of the source that lie around the grid."""
        found = {}
        for axis, ours in (("latitude", self._latitude), ("longitude", self._longitude)):
            theirs = field[axis].values
            first, last = np.searchsorted(theirs, [ours.min(), ours.max()])
            found[axis] = slice(max(0, int(first) - 1), int(last) + 2)
        return found
