import random

import pytest

from segfield.data.splits import (
    frozen_parts,
    held_out_groups,
    keep_fraction,
    parts_of_groups,
    shuffled_groups,
    validation_groups,
)

CARS = [f"car{number}" for number in range(23)]
PHOTOGRAPHS = [car for car in CARS for _ in range(16)]


def split(groups: list[str], **settings: object) -> set[str]:
    return validation_groups(groups, **{"val_fraction": 0.2, "folds": None, "fold": None, "seed": 0, **settings})


def parts(**settings: object) -> dict[str, str]:
    numbers = {"test_fraction": 0.0, "sample_fraction": 1.0, "val_fraction": 0.2, "folds": None, "fold": None}
    return parts_of_groups(PHOTOGRAPHS, **{**numbers, "seed": 0, **settings})  # type: ignore[arg-type]


def of(part: str, found: dict[str, str]) -> set[str]:
    return {group for group, name in found.items() if name == part}


def test_the_split_is_the_same_whatever_order_files_are_listed() -> None:
    mixed = PHOTOGRAPHS[:]
    random.Random(1).shuffle(mixed)
    assert shuffled_groups(mixed, 0) == shuffled_groups(PHOTOGRAPHS, 0)
    assert split(mixed) == split(PHOTOGRAPHS) == split(CARS)
    assert keep_fraction(mixed, 0.3, 0) == keep_fraction(PHOTOGRAPHS, 0.3, 0)


def test_the_split_is_the_same_on_every_machine_and_in_every_version() -> None:
    assert sorted(split(CARS)) == ["car11", "car20", "car21", "car5", "car6"]
    assert shuffled_groups(["a", "b", "c", "d"], 7) == ["c", "a", "d", "b"]


def test_a_new_group_moves_no_other_relative_to_the_rest() -> None:
    order = shuffled_groups([*CARS, "new"], 0)
    assert [car for car in order if car != "new"] == shuffled_groups(CARS, 0)


def test_another_seed_gives_another_split() -> None:
    assert split(CARS, seed=1) != split(CARS)


@pytest.mark.parametrize("folds", [2, 5, 23])
def test_folds_partition_the_groups_in_nearly_equal_parts(folds: int) -> None:
    parts = [split(PHOTOGRAPHS, folds=folds, fold=fold) for fold in range(folds)]
    assert sorted(car for part in parts for car in part) == sorted(CARS)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize(("fraction", "count"), [(0.2, 5), (0.01, 1), (0.99, 22), (0.5, 12)])
def test_the_validation_part_is_the_rounded_share_never_none_and_never_all(fraction: float, count: int) -> None:
    assert len(split(CARS, val_fraction=fraction)) == count


def test_a_smaller_share_is_contained_in_a_larger_one() -> None:
    assert keep_fraction(CARS, 0.1, 0) < keep_fraction(CARS, 0.5, 0) < keep_fraction(CARS, 1.0, 0) == set(CARS)


@pytest.mark.parametrize("fraction", [0, -0.5, 1.01])
def test_a_sample_fraction_that_is_no_share_is_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match=rf"data\.sample_fraction is a share .* got {fraction}. Use 1\.0 for all"):
        keep_fraction(CARS, fraction, 0)


@pytest.mark.parametrize(
    ("groups", "settings", "message"),
    [
        (["car"] * 16, {}, "at least 2 groups; the only group is 'car'"),
        ([], {}, "at least 2 groups; there are no samples"),
        (CARS, {"val_fraction": 0}, r"data\.val_fraction is a share .* got 0. Use 0\.2"),
        (CARS, {"val_fraction": 1.0}, r"data\.val_fraction is a share .* got 1\.0"),
        (CARS, {"folds": 5}, r"data\.folds stands alone.*Add data\.fold=0"),
        (CARS, {"fold": 1}, r"data\.fold stands alone.*Add data\.folds=5"),
        (CARS, {"folds": 24, "fold": 0}, r"data\.folds=24 does not fit 23 groups: use 2 to 23"),
        (CARS, {"folds": 1, "fold": 0}, r"data\.folds=1 does not fit"),
        (CARS, {"folds": 5, "fold": 5}, r"data\.fold=5 is none of the 5 folds: use 0 to 4"),
        (CARS, {"folds": 5, "fold": -1}, r"data\.fold=-1 is none"),
    ],
)
def test_numbers_that_describe_no_split_are_refused(
    groups: list[str], settings: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        split(groups, **settings)


def test_without_a_test_part_the_split_is_that_of_training_and_validation_alone() -> None:
    assert held_out_groups(CARS, 0.0, 0) == set()
    assert of("val", parts()) == split(CARS)
    assert of("train", parts()) == set(CARS) - split(CARS)
    kept = keep_fraction(CARS, 0.4, 0)
    assert of("val", parts(sample_fraction=0.4, folds=3, fold=1)) == split(sorted(kept), folds=3, fold=1)


def test_the_test_part_is_the_end_of_the_order_and_the_rest_is_split_as_if_it_were_all() -> None:
    order = shuffled_groups(CARS, 0)
    found = parts(test_fraction=0.2)
    assert of("test", found) == set(order[-5:])
    assert of("val", found) == split(order[:-5])
    assert of("train", found) == set(order[:-5]) - split(order[:-5])


def test_the_test_part_moves_no_group_to_another_fold() -> None:
    for fold in range(5):
        without, held = parts(folds=5, fold=fold), parts(folds=5, fold=fold, test_fraction=0.3)
        assert of("val", held) == of("val", without) - of("test", held)


@pytest.mark.parametrize("settings", [{"folds": 3, "fold": 2}, {"sample_fraction": 0.3}, {"val_fraction": 0.5}])
def test_the_test_part_is_the_same_for_every_fold_and_every_share_of_the_samples(settings: dict[str, object]) -> None:
    for seed in (0, 3):
        assert of("test", parts(test_fraction=0.2, seed=seed, **settings)) == held_out_groups(CARS, 0.2, seed)


@pytest.mark.parametrize(("fraction", "count"), [(0.2, 5), (0.001, 1), (0.9, 21)])
def test_the_test_part_is_the_rounded_share_and_never_none(fraction: float, count: int) -> None:
    assert len(held_out_groups(PHOTOGRAPHS, fraction, 0)) == count
    assert set(parts(test_fraction=fraction).values()) == {"train", "val", "test"}


@pytest.mark.parametrize("fraction", [-0.1, 1.0, 2])
def test_a_test_fraction_that_is_no_share_is_refused(fraction: float) -> None:
    with pytest.raises(
        ValueError, match=rf"data\.test_fraction is a share .* \[0, 1\); got {fraction}. Use 0 for none"
    ):
        held_out_groups(CARS, fraction, 0)


@pytest.mark.parametrize(
    ("fraction", "groups", "taken", "most"), [(0.95, 23, 22, 0.91), (0.6, 3, 2, 0.33), (0.1, 2, 1, 0.0)]
)
def test_a_test_part_that_leaves_no_group_to_train_and_one_to_validate_is_refused(
    fraction: float, groups: int, taken: int, most: float
) -> None:
    message = (
        rf"data\.test_fraction={fraction} takes {taken} of {groups} groups; training and validation need 2 of them\. "
        rf"Use data\.test_fraction={most}, or"
    )
    with pytest.raises(ValueError, match=message):
        held_out_groups(CARS[:groups], fraction, 0)
    held_out_groups(CARS[:groups], most, 0)


def test_one_group_is_too_few_with_a_test_part_too() -> None:
    with pytest.raises(ValueError, match="at least 2 groups; the only group is 'car'"):
        parts_of_groups(["car"], test_fraction=0.5, sample_fraction=1, val_fraction=0.2, folds=None, fold=None, seed=0)


ROWS = [("a1", "a", "train"), ("a2", "a", "train"), ("b1", "b", "val")]


def test_a_frozen_split_takes_its_own_samples_and_parts() -> None:
    found = {"a1": "a", "a2": "a", "b1": "b", "c1": "c"}
    assert frozen_parts(found, ROWS) == {"a1": "train", "a2": "train", "b1": "val"}
    assert frozen_parts(found, [*ROWS, ("c1", "c", "test")])["c1"] == "test"


def test_a_frozen_split_refuses_what_is_gone_and_what_has_another_group() -> None:
    message = (
        r"not what this run began with: 1 of 3 samples are gone, first b1; 2 of 3 samples have another group, first "
        r"a1 \(a, now x\), a2 \(a, now x\)\. Give the data of the beginning back \(data\.root=<folder>"
    )
    with pytest.raises(ValueError, match=message):
        frozen_parts({"a1": "x", "a2": "x"}, ROWS)


@pytest.mark.parametrize(
    ("rows", "what"),
    [([*ROWS, ROWS[0]], "an id twice"), ([("a1", "a", "tset")], "the part 'tset', expected train, val, test")],
)
def test_a_frozen_split_that_is_none_is_refused(rows: list[tuple[str, str, str]], what: str) -> None:
    with pytest.raises(ValueError, match=rf"The split of this run has {what}\. Restore its splits\.csv"):
        frozen_parts({"a1": "a", "a2": "a", "b1": "b"}, rows)
