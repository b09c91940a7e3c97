"""Course: a drift of one's own through a prepared set, from any start, and what a network sees at each of its steps.

Not here: the density at the start (drift/release.py), the network (run/forecast.py).
"""

from collections.abc import Mapping
from typing import Any, final

import numpy as np
import numpy.typing as npt

from segfield.data.ocean_density.prepared import Prepared
from segfield.data.ocean_density.statistics import refuse_other_spacing
from segfield.data.ocean_density.view import View
from segfield.data.ocean_density.windows import HOUR, Windows, shown

_LATEST = np.iinfo(np.int64).max  # [ns] since 1970: the year 2262


@final
class Course:
    """A drift from a start on, map after map.

    Args:
        prepared: the set: of its cells and its time step alone.
        view: makes the images.
        start: in nanoseconds since 1970.
        hours: until the end.
        known: statistics of the run.

    Attributes:
        prepared: the set.
        hours: [T + 1] since the start, of the maps of T steps.
        times: [T + 1] datetime64[ns] of the maps.

    Raises:
        ValueError: if the set is not spaced as that of the training, the hours are no whole number of steps, or the
            fields do not cover them.
    """

    def __init__(
        self, prepared: Prepared, view: View, start: int, hours: float, known: Mapping[str, npt.NDArray[Any]]
    ) -> None:
        refuse_other_spacing(known, prepared)
        self.prepared, self._view, self._known = prepared, view, known
        every = int(prepared.leads[1] - prepared.leads[0])
        steps = _whole_steps(hours, every / HOUR)
        times = view.fields.times
        within = all(len(one) and one[0] <= start and start + steps * every <= one[-1] for one in times.values())
        leads = np.arange(steps + 1 if within else 2) * every
        self._windows = Windows(start=np.array([start]), leads=leads, times=times, channels=view.inputs.channels)
        until = min(start + steps * every, _LATEST)
        if not within or not self._windows.covered()[0]:
            raise ValueError(
                f"From {shown(start)} on, {hours:g} hours need fields until {shown(until)}"
                f"{' without a gap' if within else ''}; {prepared.path.parent} has {self._windows.told()}. Use another "
                f"start=, fewer hours=, or data.root=<a set that covers them>."
            )
        self.hours = leads / HOUR
        self.times = (start + leads).astype("datetime64[ns]")

    def seen(self, step: int, density: npt.NDArray[np.float32]) -> dict[str, npt.NDArray[Any]]:
        """Return image and valid, as an item of the data has them, of a step from a density [H, W].

        Raises:
            ValueError: if a file is damaged there.
        """
        return self._view(self._windows, 0, step, density, self._known)


def _whole_steps(hours: float, every: float) -> int:
    """Return how many steps the hours are.

    Raises:
        ValueError: if they are not a whole number of them, 1 or more; the message names those that are.
    """
    steps = round(hours / every)
    if steps >= 1 and abs(hours - steps * every) < 1e-6:
        return steps
    below = int(hours // every)
    near = " or ".join(f"hours={number * every:g}" for number in (below, below + 1) if number)
    raise ValueError(
        f"hours={hours:g} is no whole multiple of {every:g} hours, the step that the network was trained with. "
        f"Use {near}."
    )
