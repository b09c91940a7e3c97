"""Parts as fractions or folds: by group, never by sample, the same on every machine.

Groups (a car, a patient) are put in an order that depends on their names and a seed alone: sorted by
sha256("<seed>:<group>"). Neither the order in which files are listed nor a group that is added later
moves another group relative to the rest.

Where each group's share of empty masks is known, parts are balanced by it: the groups are sorted by that share and cut
in bins of neighbours, and the order above only chooses within each bin.
"""

import hashlib
import itertools
import logging
import math
from collections.abc import Mapping, Sequence

_log = logging.getLogger(__name__)

PARTS = ("train", "val", "test")


def shuffled_groups(groups: Sequence[str], seed: int) -> list[str]:
    """Return the distinct groups in the order of their hashes."""
    return sorted(set(groups), key=lambda group: (hashlib.sha256(f"{seed}:{group}".encode()).digest(), group))


def parts_of_groups(
    groups: Sequence[str],
    *,
    test_fraction: float,
    sample_fraction: float,
    val_fraction: float,
    folds: int | None,
    fold: int | None,
    seed: int,
    empty: Mapping[str, float] | None = None,
) -> dict[str, str]:
    """Give each group in use its part: "train", "val" or "test".

    The test part is taken first, so it is the same for every fold, and every share of the samples.

    Args:
        groups: one name per sample; repeats allowed.
        test_fraction: see held_out_groups; the rest is of the groups that it leaves.
        sample_fraction: see keep_fraction.
        val_fraction: see validation_groups, also for `folds` and `fold`.
        folds: K.
        fold: k.
        seed: of the order of groups.
        empty: share of each group's masks that are empty; None: not known, or nothing is to be balanced.

    Raises:
        ValueError: if there are too few groups, or the numbers do not describe a split.
    """
    test = held_out_groups(groups, test_fraction, seed, empty)
    kept = keep_fraction([group for group in groups if group not in test], sample_fraction, seed)
    val = validation_groups(list(kept), val_fraction=val_fraction, folds=folds, fold=fold, seed=seed, empty=empty)
    return dict.fromkeys(test, "test") | {group: "val" if group in val else "train" for group in kept}


def held_out_groups(
    groups: Sequence[str], fraction: float, seed: int, empty: Mapping[str, float] | None = None
) -> set[str]:
    """Choose the groups of the test part: the last ones of the hashed order, their share rounded, at least one.

    With `empty`, see parts_of_groups, the last one of each of as many bins.

    Raises:
        ValueError: if fraction is not in [0, 1), or leaves less than a group to train and one to validate.
    """
    check_held_out(fraction)
    order = shuffled_groups(groups, seed)
    if fraction == 0 or len(order) < 2:
        return set()
    count = max(round(fraction * len(order)), 1)
    if len(order) - count < 2:
        most = math.floor(100 * (len(order) - 2) / len(order)) / 100
        raise ValueError(
            f"data.test_fraction={fraction} takes {count} of {len(order)} groups; training and validation need 2 of "
            f"them. Use data.test_fraction={most}, or add data of other groups."
        )
    return {bin_[-1] for bin_ in _bins(order, count, empty)} if empty else set(order[-count:])


def keep_fraction(groups: Sequence[str], fraction: float, seed: int, least: int = 2) -> set[str]:
    """Choose whole groups: the first ceil(fraction x groups), at least so many, in the hashed order.

    Raises:
        ValueError: if fraction is not in (0, 1].
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"data.sample_fraction is a share of the groups in (0, 1]; got {fraction}. Use 1.0 for all.")
    order = shuffled_groups(groups, seed)
    return set(order[: max(least, math.ceil(fraction * len(order)))])


def validation_groups(
    groups: Sequence[str],
    *,
    val_fraction: float,
    folds: int | None,
    fold: int | None,
    seed: int,
    empty: Mapping[str, float] | None = None,
) -> set[str]:
    """Choose the groups of the validation part.

    Args:
        groups: one name per sample; repeats allowed.
        val_fraction: share of the groups, rounded, at least one group and never all. Ignored with folds.
        folds: K of K-fold cross-validation; every group is in the validation part of exactly one fold.
        fold: k in 0 .. K - 1.
        seed: of the order of groups.
        empty: see parts_of_groups.

    Raises:
        ValueError: if there are too few groups, or the numbers do not describe a split.
    """
    order = shuffled_groups(groups, seed)
    if len(order) < 2:
        found = f"the only group is {order[0]!r}" if order else "there are no samples"
        raise ValueError(
            f"A split by group needs at least 2 groups; {found}. Samples of one group (views of one car, slices of "
            "one patient) never go into both parts: add data of another group, or change what makes a group."
        )
    if folds is None and fold is None:
        check_validation(val_fraction)
        count = min(max(round(val_fraction * len(order)), 1), len(order) - 1)
        return {bin_[0] for bin_ in _bins(order, count, empty)} if empty else set(order[:count])
    folds, fold = check_folds(folds, fold, len(order))
    if empty:
        # Bins of K groups, one for each fold; of the last one the first folds alone may get a group.
        order = [group for bin_ in _bins(order, math.ceil(len(order) / folds), empty, size=folds) for group in bin_]
    return set(order[fold::folds])


def check_held_out(fraction: float) -> None:
    """Refuse a test_fraction outside [0, 1)."""
    if not 0 <= fraction < 1:
        raise ValueError(f"data.test_fraction is a share of the groups in [0, 1); got {fraction}. Use 0 for none.")


def check_validation(fraction: float) -> None:
    """Refuse a val_fraction outside (0, 1)."""
    if not 0 < fraction < 1:
        raise ValueError(f"data.val_fraction is a share of the groups in (0, 1); got {fraction}. Use 0.2.")


def check_folds(folds: int | None, fold: int | None, groups: int) -> tuple[int, int]:
    """Return K and k; refuse one without the other, and numbers that do not fit so many groups."""
    if folds is None or fold is None:
        given, missing = ("data.fold", "data.folds=5") if folds is None else ("data.folds", "data.fold=0")
        raise ValueError(f"{given} stands alone: k of K folds needs both. Add {missing}.")
    if not 2 <= folds <= groups:
        raise ValueError(f"data.folds={folds} does not fit {groups} groups: use 2 to {groups}.")
    if not 0 <= fold < folds:
        raise ValueError(f"data.fold={fold} is none of the {folds} folds: use 0 to {folds - 1}.")
    return folds, fold


def _bins(order: list[str], count: int, empty: Mapping[str, float], size: int | None = None) -> list[list[str]]:
    """Cut groups in bins of neighbours by their share of empty masks, each bin in the hashed order.

    Args:
        order: of all groups.
        count: of the bins.
        empty: share by group.
        size: of each bin but the last; None: as equal as can be.
    """
    places = {group: place for place, group in enumerate(order)}
    near = sorted(order, key=empty.__getitem__)  # of equal shares the first in the hashed order stays the first
    edges = [number * size if size else number * len(order) // count for number in range(count)]
    return [sorted(near[a:b], key=places.__getitem__) for a, b in itertools.pairwise([*edges, len(order)])]


def frozen_parts(found: Mapping[str, str], rows: Sequence[tuple[str, str, str]]) -> dict[str, str]:
    """Take a split that was made before instead of making one.

    Args:
        found: group by id of what is there now; what the split does not name is left out.
        rows: (id, group, part) of the split.

    Returns:
        Part by id, of the split's rows.

    Raises:
        ValueError: if an id is gone, has another group, or stands twice, or a part is none of PARTS.
    """
    parts = {id_: part for id_, _, part in rows}
    unknown = sorted({part for *_, part in rows} - set(PARTS))
    if unknown or len(parts) < len(rows):
        what = f"the part {unknown[0]!r}, expected {', '.join(PARTS)}" if unknown else "an id twice"
        raise ValueError(f"The split of this run has {what}. Restore its splits.csv from a copy of the run.")
    gone = [id_ for id_ in parts if id_ not in found]
    moved = [f"{id_} ({group}, now {found[id_]})" for id_, group, _ in rows if found.get(id_, group) != group]
    problems = [
        f"{len(ids)} of {len(rows)} samples {what}, first {', '.join(ids[:3])}"
        for ids, what in ((gone, "are gone"), (moved, "have another group"))
        if ids
    ]
    if problems:
        raise ValueError(
            f"The data is not what this run began with: {'; '.join(problems)}. Give the data of the beginning back "
            "(data.root=<folder> names another place), or start a new run."
        )
    if len(found) > len(parts):
        _log.info("%d samples are not in the split of this run: left out.", len(found) - len(parts))
    return parts
