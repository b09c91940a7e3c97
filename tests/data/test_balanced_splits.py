"""Fractions and folds that are balanced by each group's share of empty masks."""

import random
from collections.abc import Sequence
from statistics import mean

import pytest

from segfield.data.splits import held_out_groups, parts_of_groups, validation_groups

GROUPS = [f"patient{number}" for number in range(43)]
# As in brain slices: most groups have many empty masks, some have nearly none.
EMPTY = {group: random.Random(group).betavariate(3, 1.5) for group in GROUPS}
SEEDS = range(60)


def parts(seed: int, groups: Sequence[str] = GROUPS, *, balanced: bool = True, **settings: object) -> dict[str, str]:
    numbers = {"test_fraction": 0.2, "sample_fraction": 1.0, "val_fraction": 0.2, "folds": None, "fold": None}
    return parts_of_groups(groups, **{**numbers, **settings}, seed=seed, empty=EMPTY if balanced else None)  # type: ignore[arg-type]


def share(found: dict[str, str], part: str) -> float:
    return mean(EMPTY[group] for group, name in found.items() if name == part)


def deviation(found: dict[str, str], part: str) -> float:
    return abs(share(found, part) - mean(EMPTY[group] for group in found))


def test_a_balanced_split_is_the_same_whatever_order_groups_are_listed() -> None:
    for seed in SEEDS:
        mixed = GROUPS * 2
        random.Random(seed).shuffle(mixed)
        assert parts(seed, mixed) == parts(seed)


def test_every_group_is_in_one_part_and_as_many_are_in_each_as_without_balance() -> None:
    for seed in SEEDS:
        balanced, plain = parts(seed), parts(seed, balanced=False)
        assert balanced.keys() == set(GROUPS)
        assert sorted(balanced.values()) == sorted(plain.values())


@pytest.mark.parametrize("folds", [2, 5, 7, 43])
def test_each_group_validates_in_exactly_one_balanced_fold_and_folds_differ_by_at_most_a_group(folds: int) -> None:
    for seed in SEEDS:
        numbers = {"val_fraction": 0.2, "folds": folds, "seed": seed, "empty": EMPTY}
        chosen = [validation_groups(GROUPS, fold=fold, **numbers) for fold in range(folds)]  # type: ignore[arg-type]
        assert sorted(group for fold in chosen for group in fold) == sorted(GROUPS)
        assert max(map(len, chosen)) - min(map(len, chosen)) <= 1


def test_a_balanced_part_deviates_less_than_half_as_much_as_one_by_the_hash_alone() -> None:
    for part in ("val", "test"):
        balanced = mean(deviation(parts(seed), part) for seed in SEEDS)
        plain = mean(deviation(parts(seed, balanced=False), part) for seed in SEEDS)
        assert balanced < plain / 2


def test_the_shares_of_two_balanced_folds_are_closer_than_those_of_folds_by_the_hash_alone() -> None:
    def spread(seed: int, *, balanced: bool) -> float:
        found = [parts(seed, balanced=balanced, test_fraction=0.0, folds=5, fold=fold) for fold in range(5)]
        shares = [share(one, "val") for one in found]
        return max(shares) - min(shares)

    assert (
        mean(spread(seed, balanced=True) for seed in SEEDS) < mean(spread(seed, balanced=False) for seed in SEEDS) / 2
    )


def test_another_seed_gives_another_balanced_split() -> None:
    assert len({tuple(sorted(parts(seed).items())) for seed in SEEDS}) == len(SEEDS)


@pytest.mark.parametrize("fraction", [0.01, 0.5, 0.9, 0.99])
def test_any_share_of_the_groups_can_be_balanced(fraction: float) -> None:
    for seed in range(5):
        numbers = {"val_fraction": fraction, "folds": None, "fold": None, "seed": seed}
        found = validation_groups(GROUPS, **numbers, empty=EMPTY)  # type: ignore[arg-type]
        assert len(found) == len(validation_groups(GROUPS, **numbers))  # type: ignore[arg-type]
    assert len(held_out_groups(GROUPS, 0.9, 0, EMPTY)) == len(held_out_groups(GROUPS, 0.9, 0))


def test_folds_of_groups_with_equal_shares_are_those_of_the_hash() -> None:
    equal = dict.fromkeys(GROUPS, 0.5)
    for fold in range(5):
        numbers = {"val_fraction": 0.2, "folds": 5, "fold": fold, "seed": 1}
        assert validation_groups(GROUPS, **numbers, empty=equal) == validation_groups(GROUPS, **numbers)  # type: ignore[arg-type]


def test_the_test_part_is_the_same_for_every_balanced_fold() -> None:
    tested = {group for group, part in parts(3).items() if part == "test"}
    for fold in range(4):
        found = parts(3, folds=4, fold=fold)
        assert {group for group, part in found.items() if part == "test"} == tested
