"""Drift densities: the fields of the sea and where an object may be now; to predict where it may be at the next map.

Source: a prepared set (densities.py), made by `python -m segfield prepare ocean_density` of files of real currents;
the protocol is ML-Drop's. Split by time, with a gap, so that no field of the sea is in two parts.
Not here: how sets are made (drift/), losses, heads and scores of densities (losses/, heads.py, metrics/density.py).
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, final

import numpy as np
import torch

from segfield.data.module import PixelwiseData
from segfield.data.ocean_density.course import Course
from segfield.data.ocean_density.fields import Fields
from segfield.data.ocean_density.inputs import Inputs
from segfield.data.ocean_density.prepared import Prepared
from segfield.data.ocean_density.split import parts_by_time, refuse_shared
from segfield.data.ocean_density.statistics import MEAN_DENSITY, checked, statistics
from segfield.data.ocean_density.view import View
from segfield.data.ocean_density.windows import HOUR, Windows, shown
from segfield.data.sample import Sample

_log = logging.getLogger(__name__)


@final
@dataclass(kw_only=True, eq=False, repr=False)
class OceanDensity(PixelwiseData):
    """Windows of drift ensembles: image [V + 1, H, W], target [5, H, W]; the group is the ensemble.

    The image holds the variables of `inputs`, then the current density times `density_scale`. The target's channels
    are densities.NEXT, CURRENT, MEAN (of the training part's targets), EAST and NORTH; densities are shares of an
    ensemble's particles per cell. valid [1, H, W] is the sea where every variable has a value.

    Args:
        root: folder of a prepared set.
        inputs: which variables, when.
        density_scale: multiplies the density in the image.
        smoothing: of the densities, standard deviation of a Gaussian in cells; keeps their sum over the sea. 0: none.
        gap_days: least time between a field of one part and one of the next.
    """

    own_way: ClassVar[str] = "by time"
    root: str | None = None
    mean: float | Sequence[float] = 0.0
    std: float | Sequence[float] = 1.0
    inputs: Inputs
    density_scale: float = 30.0
    smoothing: float = 0.0
    gap_days: float = 3.0
    _prepared: Prepared = field(init=False)
    _fields: Fields = field(init=False)
    _view: View = field(init=False)
    _windows: Windows = field(init=False)
    _places: np.ndarray = field(init=False)
    _learned: dict[str, np.ndarray] = field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, value in (("smoothing", self.smoothing), ("gap_days", self.gap_days)):
            if not 0 <= value < np.inf:
                raise ValueError(f"data.{name}={value} must be 0 or more. Use data.{name}=0 for none.")
        if not 0 < self.density_scale < np.inf:
            raise ValueError(f"data.density_scale={self.density_scale} must be above 0. Use data.density_scale=30.")
        if np.any(np.asarray(self.mean) != 0) or np.any(np.asarray(self.std) != 1):
            raise ValueError(
                f"data.mean={self.mean} and data.std={self.std} would change the density that a head starts from: "
                "variables are standardised by data.inputs.standardised. Use data.mean=0 data.std=1."
            )
        if self.in_channels != self.inputs.in_channels:
            raise ValueError(
                f"data.inputs are {self.inputs.in_channels} channels with the current density, data.in_channels is "
                f"{self.in_channels}. Use data.in_channels={self.inputs.in_channels}."
            )

    def samples(self) -> list[Sample]:
        """List the windows of all ensembles whose fields the set has; counts are not read yet."""
        self._open()
        prepared = self._prepared
        if self.size is not None and tuple(self.size) != prepared.size:
            raise ValueError(
                f"data.size={list(self.size)} is not the grid of {prepared.path}, {list(prepared.size)}: densities are "
                f"not resized. Use data.size=[{prepared.size[0]},{prepared.size[1]}], or null."
            )
        self._windows = Windows(
            start=prepared.start, leads=prepared.leads, times=self._fields.times, channels=self.inputs.channels
        )
        usable = self._usable()
        self._fields.look(usable.tolist(), self._windows, prepared.sea)
        steps = len(prepared.leads) - 1
        width = max(2, len(str(steps - 1)))
        return [
            Sample(f"{ensemble:05d}/{step:0{width}d}", f"{ensemble:05d}", {"ensemble": ensemble, "step": step})
            for ensemble in usable.tolist()
            for step in range(steps)
        ]

    def _open(self) -> None:
        """Open the set, read its coordinates, and no counts yet."""
        if self.root is None:
            raise FileNotFoundError(
                "data=ocean_density: data.root is not set. Name the folder of a prepared set by data.root=<folder>, or "
                "put it at $SEGFIELD_DATA/ocean_density."
            )
        root = Path(self.root)
        try:
            prepared = Prepared(root, self.smoothing)
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{error}, or name the folder of another one by data.root=<folder>.") from error
        self._prepared, self._places = prepared, prepared.places()
        self._fields = Fields(root, self.inputs.variables, prepared.latitude, prepared.longitude)
        self._view = View(fields=self._fields, inputs=self.inputs, scale=self.density_scale, sea=prepared.sea)

    def course(self, start: int, hours: float, known: Mapping[str, np.ndarray]) -> Course:
        """Return a drift of one's own, of any start, through this set; its ensembles are neither listed nor read.

        Args:
            start: of it, in nanoseconds since 1970.
            hours: until its end.
            known: statistics() of the run.

        Raises:
            FileNotFoundError: if there is no set.
            ValueError: if the set's cells or time step are not those of the training, the hours are no whole number of
                steps, or the fields do not cover them.
        """
        self._open()
        return Course(self._prepared, self._view, start, hours, known)

    def read(self, sample: Sample, size: Sequence[int] | None) -> dict[str, np.ndarray]:
        """Read one window on the set's grid: image [V + 1, H, W], target [5, H, W], valid [1, H, W].

        Raises:
            ValueError: if a file is damaged there.
        """
        ensemble, step = _place(sample)
        now, then = self._prepared.maps(ensemble, slice(step, step + 2))
        known = self.statistics()
        seen = self._view(self._windows, ensemble, step, now, known)
        return {**seen, "target": np.stack([then, now, known[MEAN_DENSITY], *self._places])}

    def read_picture(self, path: Path, size: Sequence[int] | None) -> np.ndarray:
        """Refuse: what this data sees is no picture."""
        raise ValueError(
            f"{path}: a run of data=ocean_density sees fields of the sea and a density, no pictures. To see what it "
            "predicts: python -m segfield evaluate <run folder>, or predict <run folder> point=[lat,lon] start=<time>."
        )

    def common_files(self) -> list[Path]:
        """Return the counts and the fields in use: all windows are read from the same few files."""
        return [self._prepared.path, *self._fields.paths.values()]

    def constants(self) -> dict[str, Any]:
        """Return `rules`, how each channel turns with the map, and `aspect`, a cell's width over its height."""
        return {"rules": self.inputs.rule_words(), "aspect": torch.tensor(self._prepared.aspect, dtype=torch.float32)}

    def split_own(self, samples: Sequence[Sample]) -> dict[str, str]:
        """Split whole ensembles by time."""
        if self.split is not None:
            raise ValueError(
                f"data.split={self.split}: ensembles of one day drift in the same sea, so that parts by anything but "
                "time would share it. Leave data.split null: data.val_fraction, test_fraction and folds are of time."
            )
        ensembles = np.unique([_place(sample)[0] for sample in samples])
        parts = parts_by_time(self._windows, ensembles, self, self.gap_days)
        return {sample.id: parts[_place(sample)[0]] for sample in samples if _place(sample)[0] in parts}

    def refuse_parts(self, parts: Mapping[str, str], source: str) -> None:
        """Refuse parts of which two share a field of the sea."""
        refuse_shared(self._windows, {int(id_.partition("/")[0]): part for id_, part in parts.items()}, source)

    def statistics(self) -> dict[str, np.ndarray]:
        """Return the mean density of the training part's targets, and mean and std of what is standardised.

        They are computed once: one pass over the counts and the field times of the training part.
        """
        if not self._learned:
            ensembles = sorted({_place(self.sample(index))[0] for index in self.indices("train")})
            learned = statistics(self._prepared, self._fields, self._windows, ensembles, self.inputs.standardised)
            self._learned.update(learned)
        return self._learned

    def keep_statistics(self, saved: Mapping[str, np.ndarray]) -> None:
        """Take these for what statistics() gives."""
        checked(saved, self._prepared.size, self.inputs.standardised)
        self._learned.clear()
        self._learned.update(saved)

    def sequences(self, part: str) -> list[list[int]]:
        """Return the indices of each ensemble's windows in order of time, of ensembles that have all of them here."""
        indices: dict[int, list[int]] = {}
        for index in self.indices(part):  # sorted by id
            indices.setdefault(_place(self.sample(index))[0], []).append(index)
        steps = len(self._prepared.leads) - 1  # a data.split_file may leave windows out
        return [windows for windows in indices.values() if len(windows) == steps]

    def describe(self, index: int) -> str:
        """Return when a window begins: the release and the hours since, "2005-04-12 06:00 UTC, +18 h"."""
        ensemble, step = _place(self.sample(index))
        return f"{shown(self._windows.start[ensemble])}, +{self._windows.leads[step] / HOUR:g} h"

    def lead_hours(self, index: int) -> float:
        """Return the hours from the release to the end of a window, the time of its target."""
        return float(self._windows.leads[_place(self.sample(index))[1] + 1] / HOUR)

    def _usable(self) -> np.ndarray:
        """Return the ensembles of which all fields are there, and say how many lack some.

        Raises:
            ValueError: if none is left.
        """
        covered = self._windows.covered()
        usable = np.flatnonzero(covered)
        if len(usable) == len(covered):
            return usable
        start, end = self._windows.start, self._windows.start + self._windows.leads[-1]
        found = (
            f"{len(covered) - len(usable)} of {len(covered)} ensembles of {self._prepared.path} need fields that the "
            f"set does not have. They drift from {shown(start.min())} to {shown(end.max())}; there is "
            f"{self._windows.told()}."
        )
        if not len(usable):
            raise ValueError(f"{found} Prepare a set of files that cover these days, or choose other data/inputs.")
        _log.warning("%s They are left out.", found)
        return usable


def _place(sample: Sample) -> tuple[int, int]:
    return sample.attributes["ensemble"], sample.attributes["step"]
