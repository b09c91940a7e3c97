"""Parts by time: whole ensembles, so far apart that no two parts share a field of the sea.

Ensembles of one day drift through the same currents: drawn at random, a validation would be of seas seen in training.
"""

import itertools
import logging
from collections.abc import Mapping

from segfield.data.ocean_density.windows import DAY, Times, Windows, shown
from segfield.data.settings import Settings
from segfield.data.splits import PARTS, check_folds, check_held_out, check_validation

_log = logging.getLogger(__name__)


def parts_by_time(windows: Windows, ensembles: Times, how: Settings, gap_days: float) -> dict[int, str]:
    """Give ensembles parts by their time: the earliest train, then come val and test; or contiguous folds.

    Fractions and folds are of the time between the first start and the last, without the test part's and the gap before
    it. The other gaps are taken from training; an ensemble whose fields reach into one, or across a border, is in no
    part.

    Args:
        windows: of all ensembles.
        ensembles: that can be used.
        how: the numbers.
        gap_days: least time between a field of one part and one of the next.

    Returns:
        "train", "val" or "test" by ensemble.

    Raises:
        ValueError: if the numbers do not describe a split, or leave no ensemble to train or to validate.
    """
    start = windows.start[ensembles]
    first, last = windows.spans(ensembles)
    gap = max(1, round(gap_days * DAY))  # at least a nanosecond: a field's time is on one side of it
    names, edges = _stretches(how, start, gap)
    begins, ends = [int(first.min())], list[int]()
    for edge, (left, right) in zip(edges, itertools.pairwise(names), strict=True):
        before = PARTS.index(left) < PARTS.index(right)
        ends.append(edge - (gap if before else 1))
        begins.append(ends[-1] + gap)
    ends.append(int(last.max()))
    parts: dict[int, str] = {}
    for part, begin, end in zip(names, begins, ends, strict=True):
        parts |= {int(one): part for one in ensembles[(first >= begin) & (last <= end)]}
    if lacking := sorted(set(names) - set(parts.values())):
        days = (start.max() - start.min()) / DAY
        raise ValueError(
            f"No ensemble is left for {' and '.join(lacking)}: {len(ensembles)} start from {shown(start.min())} to "
            f"{shown(start.max())}, {days:.1f} days, one needs fields of up to {(last - first).max() / DAY:.1f} days, "
            f"and data.gap_days={gap_days} keeps parts apart. Use a smaller data.gap_days, other fractions or folds, "
            "or prepare a set of more days."
        )
    if lost := len(ensembles) - len(parts):
        _log.info(
            "%d of %d ensembles are left out: their fields lie within data.gap_days=%s of another part's.",
            lost,
            len(ensembles),
            gap_days,
        )
    return parts


def _stretches(how: Settings, start: Times, gap: int) -> tuple[list[str], list[int]]:
    """Return the parts of the stretches of time, in order, and the times of the borders between them."""
    check_held_out(how.test_fraction)
    first, last = int(start.min()), int(start.max())
    held = round(last - how.test_fraction * (last - first))
    end = held - gap if how.test_fraction else last
    if how.folds is None and how.fold is None:
        check_validation(how.val_fraction)
        names, edges = ["train", "val"], [round(end - how.val_fraction * (end - first))]
    else:
        folds, fold = check_folds(how.folds, how.fold, len(start))
        edges = [round(first + (end - first) * (fold + side) / folds) for side in (0, 1)]
        names = ["train", "val", "train"]
        names, edges = (names[1:], edges[1:]) if fold == 0 else (names, edges)
        names, edges = (names[:-1], edges[:-1]) if fold == folds - 1 else (names, edges)
    if how.test_fraction:
        names, edges = [*names, "test"], [*edges, held]
    return names, edges


def refuse_shared(windows: Windows, parts: Mapping[int, str], source: str) -> None:
    """Refuse parts of which two share a field.

    Args:
        windows: of all ensembles.
        parts: by ensemble.
        source: of the parts, for the message.

    Raises:
        ValueError: if one time of a variable is used by ensembles of two parts; the first pair is named.
    """
    for name, (firsts, lasts) in windows.uses().items():
        users: dict[int, int] = {}  # the first ensemble that uses a time, by its place
        for ensemble, part in parts.items():
            for place in range(int(firsts[ensemble]), int(lasts[ensemble]) + 1):
                other = users.setdefault(place, ensemble)
                if parts[other] != part:
                    raise ValueError(
                        f"{source}: ensemble {other:05d} in {parts[other]} and {ensemble:05d} in {part} both use "
                        f"{name} of {shown(windows.times[name][place])}: no field may be in two parts. Leave one of "
                        "the two out, or leave data.split_file out for parts by time."
                    )
