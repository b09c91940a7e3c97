"""Windows: a step from one map to the next, and which times of the fields an ensemble of them uses.

All times are whole nanoseconds since 1970, so that sums are exact.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Times = npt.NDArray[np.int64]
HOUR = 3600 * 10**9  # [ns]
DAY = 24 * HOUR


def nanoseconds(times: npt.NDArray[np.datetime64]) -> Times:
    """Return times as whole numbers."""
    return times.astype("datetime64[ns]").astype(np.int64)


def shown(moment: int) -> str:
    """Return a time as one reads it: "2005-04-12 06:00 UTC"."""
    return f"{np.datetime64(int(moment), 'ns').astype('datetime64[m]')}".replace("T", " ") + " UTC"


def neighbours(times: Times, moment: int) -> tuple[int, int, float]:
    """Return the places of the times before and after a moment that they cover, and the weight of the later one.

    Where it is one of the times, both places are its own.
    """
    after = int(np.searchsorted(times, moment))
    if times[after] == moment:
        return after, after, 0.0
    return after - 1, after, float((moment - times[after - 1]) / (times[after] - times[after - 1]))


def gaps(times: Times) -> npt.NDArray[np.int64]:
    """Return the places of the times after which a gap comes: a step longer than 1.5 times the usual one."""
    steps = np.diff(times)
    usual = np.sort(steps)[(len(steps) - 1) // 2] if len(steps) else 0
    return np.flatnonzero(steps > 1.5 * usual)


@dataclass(frozen=True, kw_only=True)
class Windows:
    """The windows of a prepared set: step k of an ensemble leads from map k to map k + 1.

    `start` [S] of the release, `leads` [T] since it; `times` by variable; `channels` (variable, offset in maps).
    """

    start: Times
    leads: Times
    times: Mapping[str, Times]
    channels: Sequence[tuple[str, int]]

    def moment(self, ensemble: int, step: int, offset: int = 0) -> int:
        """Return when a window begins; with an offset of 1 when it ends."""
        return int(self.start[ensemble] + self._lead(step, offset))

    def _lead(self, step: int, offset: int) -> int:
        return int(self.leads[step] + offset * (self.leads[step + 1] - self.leads[step]))

    def uses(self) -> dict[str, tuple[Times, Times]]:
        """Return by variable the places [S] of the first and of the last of its times that an ensemble depends on.

        That is what linear interpolation reads for its windows, and all that it drifted with. A place of -1, or beyond
        the last time, says that the times do not cover it.
        """
        found = {}
        for name, times in self.times.items():
            offsets = [offset for other, offset in self.channels if other == name]
            read = [self._lead(step, offset) for offset in offsets for step in range(len(self.leads) - 1)]
            first, last = (pick([*read, self.leads[0], self.leads[-1]]) for pick in (min, max))
            before = np.searchsorted(times, self.start + first, side="right") - 1
            found[name] = (before, np.searchsorted(times, self.start + last))
        return found

    def covered(self) -> npt.NDArray[np.bool_]:
        """Return [S] whether every variable has all the times that an ensemble uses, none of them across a gap."""
        enough = np.ones(len(self.start), dtype=np.bool_)
        for name, (first, last) in self.uses().items():
            enough &= (first >= 0) & (last < len(self.times[name]))
            for place in gaps(self.times[name]):
                enough &= (last <= place) | (first > place)
        return enough

    def told(self) -> str:
        """Say from when to when there is what: "u from 2005-04-01 00:00 UTC to ..., but not between ..."; "v ..."."""
        return "; ".join(
            f"{name} from {shown(times[0])} to {shown(times[-1])}{_without(times)}"
            if len(times)
            else f"{name} no time at all"
            for name, times in self.times.items()
        )

    def spans(self, ensembles: npt.NDArray[np.int64]) -> tuple[Times, Times]:
        """Return the earliest and the latest field time of ensembles that are covered."""
        uses = self.uses().items()
        return (
            np.min([self.times[name][first[ensembles]] for name, (first, _) in uses], axis=0),
            np.max([self.times[name][last[ensembles]] for name, (_, last) in uses], axis=0),
        )


def _without(times: Times) -> str:
    """Name the first gap of times."""
    places = gaps(times)
    return f", but not between {shown(times[places[0]])} and {shown(times[places[0] + 1])}" if len(places) else ""
