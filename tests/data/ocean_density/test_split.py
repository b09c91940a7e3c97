"""Parts by time: no field of the sea is in two of them, and at least the gap lies between."""

from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from segfield.data.ocean_density import OceanDensity
from segfield.data.ocean_density.windows import DAY

Ocean = Callable[..., OceanDensity]
PARTS = ("train", "val", "test")


def times(data: OceanDensity, part: str) -> set[tuple[str, int]]:
    """Return (variable, nanoseconds since 1970) of all field times that the windows of a part may read."""
    uses = data._windows.uses()
    return {
        (name, int(time))
        for ensemble in ensembles(data, part)
        for name, (first, last) in uses.items()
        for time in data._windows.times[name][first[ensemble] : last[ensemble] + 1]
    }


def ensembles(data: OceanDensity, part: str) -> list[int]:
    return [int(data.sample(one[0]).group) for one in data.sequences(part)]


def distance(data: OceanDensity, one: str, other: str) -> float:
    """Return the least time between a field of one part and one of the other, in days."""
    a, b = ({time for _, time in times(data, part)} for part in (one, other))
    return min(abs(x - y) for x in a for y in b) / DAY


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"gap_days": 0.0},
        {"gap_days": 5.0, "test_fraction": 0.2},
        {"folds": 3, "fold": 0},
        {"folds": 3, "fold": 1, "test_fraction": 0.25},
        {"folds": 3, "fold": 2},
        {"sample_fraction": 0.5, "test_fraction": 0.2},
    ],
)
def test_no_two_parts_share_a_field_and_the_gap_lies_between_them(
    ocean: Ocean, long_sea: Path, settings: dict[str, Any]
) -> None:
    data = ocean("sst", "sst", "ssh", offsets=[0, 1, 0], root=long_sea, **settings)
    found = [part for part in PARTS if data.indices(part)]
    assert found == [*PARTS[:2], *(["test"] if "test_fraction" in settings else [])]
    assert len(data.sequences("val")) >= (1 if "sample_fraction" in settings else 2)
    for one, other in combinations(found, 2):
        assert not times(data, one) & times(data, other)
        assert distance(data, one, other) >= settings.get("gap_days", 3.0)


def test_a_window_reads_no_other_field_times_than_those_that_the_split_knows(
    ocean: Ocean, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = ocean("sst", "sst", "ssh", offsets=[0, 1, 0])
    read: set[tuple[str, int]] = set()
    source = data._fields.source
    monkeypatch.setattr(data._fields, "source", lambda name, place: read.add((name, place)) or source(name, place))
    for index in data.indices("val"):
        data.item(index)
    assert {name for name, _ in read} == {"sst", "ssh"}
    assert {(name, int(data._windows.times[name][place])) for name, place in read} <= times(data, "val")


def test_the_earliest_ensembles_train_the_next_validate_the_last_test(ocean: Ocean, long_sea: Path) -> None:
    data = ocean(test_fraction=0.2, val_fraction=0.25, root=long_sea)
    train, val, test = (ensembles(data, part) for part in PARTS)
    assert (train, val, test) == ([*range(13)], [14, 15, 16, 17], [20, 21, 22, 23, 24])


def test_folds_are_contiguous_stretches_of_time(ocean: Ocean) -> None:
    found = [ocean(folds=3, fold=fold, gap_days=1.0) for fold in range(3)]
    assert [ensembles(data, "val") for data in found] == [[0, 1, 2, 3, 4], [5, 6, 7, 8], [10, 11, 12, 13, 14]]
    assert ensembles(found[1], "train") == [0, 1, 2, 3, *range(10, 15)]


def test_what_is_left_out_is_told(ocean: Ocean, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        ocean()
    assert "2 of 15 ensembles are left out: their fields lie within data.gap_days=3.0 of another part's." in caplog.text
    assert "Split by time: train 10 groups, 40 samples; val 3 groups, 12 samples." in caplog.text


@pytest.mark.parametrize("split", ["fractions", "own"])
def test_parts_by_anything_but_time_are_refused(ocean: Ocean, split: str) -> None:
    with pytest.raises(ValueError, match=f"data.split={split}: .* Leave data.split null"):
        ocean(split=split)


def test_a_gap_that_leaves_nothing_is_refused_with_what_the_set_spans(ocean: Ocean) -> None:
    message = (
        r"No ensemble is left for train: 15 start from 2005-04-01 00:00 UTC to 2005-05-11 00:00 UTC, 40\.0 days, .* "
        r"data\.gap_days=60 keeps parts apart\. Use a smaller data\.gap_days"
    )
    with pytest.raises(ValueError, match=message):
        ocean(gap_days=60)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"val_fraction": 1.0}, r"val_fraction is a share"),
        ({"test_fraction": -0.1}, r"test_fraction is a share"),
        ({"folds": 3}, r"data\.folds stands alone"),
        ({"folds": 16, "fold": 0}, r"does not fit 15 groups"),
        ({"folds": 3, "fold": 3}, r"none of the 3 folds"),
    ],
)
def test_numbers_that_describe_no_split_are_refused(ocean: Ocean, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ocean(**settings)


def test_a_file_of_parts_is_taken_unless_two_parts_share_a_field(
    ocean: Ocean, make_drift_set: Callable[..., Path], tmp_path: Path
) -> None:
    file, root = tmp_path / "parts.csv", make_drift_set(tmp_path / "set", samples=40, maps=2)
    rows = {
        part: [f"{ensemble:05d}/00,{part}" for ensemble in which]
        for part, which in (("train", [8, 9]), ("val", [0, 2]))
    }
    file.write_text("\n".join(["id,part", *rows["train"], *rows["val"]]) + "\n")
    data = ocean(split_file=str(file), root=root)
    assert (ensembles(data, "train"), ensembles(data, "val")) == ([8, 9], [0, 2])
    file.write_text("\n".join(["id,part", *rows["train"], *rows["val"], "00020/00,train", "00021/00,val"]) + "\n")
    shared = r"parts\.csv: ensemble 00020 in train and 00021 in val both use u of 2005-04-\d\d 00:00 UTC"
    with pytest.raises(ValueError, match=shared):
        ocean(split_file=str(file), root=root)


def test_a_split_that_was_made_before_is_kept(ocean: Ocean) -> None:
    table = ocean(folds=3, fold=1).split_table()
    data = ocean(setup=False, gap_days=30)
    data.keep_split(table)
    data.setup()
    assert data.split_table() == table
