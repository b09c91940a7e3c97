"""Which sample belongs to which part: by group, never by sample, the same on every machine.

Groups (a car, a patient) are put in an order that depends on their names and a seed alone: sorted by
sha256("<seed>:<group>"). Neither the order in which files are listed nor a group that is added later
moves another group relative to the rest.
"""

import hashlib
import math
from collections.abc import Sequence


def shuffled_groups(groups: Sequence[str], seed: int) -> list[str]:
    """Return the distinct groups in the order of their hashes."""
    return sorted(set(groups), key=lambda group: (hashlib.sha256(f"{seed}:{group}".encode()).digest(), group))


def keep_fraction(groups: Sequence[str], fraction: float, seed: int) -> set[str]:
    """Choose whole groups: the first ceil(fraction x groups), at least two, in the hashed order.

    Raises:
        ValueError: if fraction is not in (0, 1].
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"data.sample_fraction is a share of the groups in (0, 1]; got {fraction}. Use 1.0 for all.")
    order = shuffled_groups(groups, seed)
    return set(order[: max(2, math.ceil(fraction * len(order)))])


def validation_groups(
    groups: Sequence[str], *, val_fraction: float, folds: int | None, fold: int | None, seed: int
) -> set[str]:
    """Choose the groups of the validation part.

    Args:
        groups: one name per sample; repeats allowed.
        val_fraction: share of the groups, rounded, at least one group and never all. Ignored with folds.
        folds: K of K-fold cross-validation; every group is in the validation part of exactly one fold.
        fold: k in 0 .. K - 1.
        seed: of the order of groups.

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
        if not 0 < val_fraction < 1:
            raise ValueError(f"data.val_fraction is a share of the groups in (0, 1); got {val_fraction}. Use 0.2.")
        count = min(max(round(val_fraction * len(order)), 1), len(order) - 1)
        return set(order[:count])
    if folds is None or fold is None:
        given, missing = ("data.fold", "data.folds=5") if folds is None else ("data.folds", "data.fold=0")
        raise ValueError(f"{given} stands alone: k of K folds needs both. Add {missing}.")
    if not 2 <= folds <= len(order):
        raise ValueError(f"data.folds={folds} does not fit {len(order)} groups: use 2 to {len(order)}.")
    if not 0 <= fold < folds:
        raise ValueError(f"data.fold={fold} is none of the {folds} folds: use 0 to {folds - 1}.")
    return set(order[fold::folds])
