"""The data's own parts, a file that names parts, fractions: which way a data module takes, and what it refuses."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import pytest

from segfield.data.module import PixelwiseData
from segfield.data.sample import Sample

OWN = tuple(Sample(f"s{n:02d}", f"g{n // 2}", {}, ("train", "val", "test")[n // 2 % 3]) for n in range(24))
WITHOUT = tuple(sample._replace(part=None) for sample in OWN)


@final
@dataclass(kw_only=True, eq=False, repr=False)
class Scans(PixelwiseData):
    """Samples as a test lists them."""

    in_channels: int = 1
    batch_size: int = 2
    root: str | None = None
    listed: tuple[Sample, ...] = OWN

    def samples(self) -> list[Sample]:
        return list(self.listed)

    def read(self, sample: Sample, size: Sequence[int] | None) -> dict[str, np.ndarray]:
        raise AssertionError("nobody reads here")

    def read_picture(self, path: Path, size: Sequence[int] | None) -> np.ndarray:
        raise AssertionError("nobody reads here")


def parts(**settings: Any) -> dict[str, str]:
    data = Scans(**settings)
    data.setup()
    return {id_: part for id_, _, part in data.split_table()}


def written(path: Path, *lines: str) -> str:
    path.write_text("\n".join(lines) + "\n")
    return str(path)


def test_data_with_parts_of_its_own_is_split_by_them(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        assert parts() == parts(split="own") == {sample.id: sample.part for sample in OWN}
    assert (
        "Split by the data's own parts: train 4 groups, 8 samples; val 4 groups, 8 samples; test 4 groups, 8 samples."
        in caplog.text
    )


@pytest.mark.parametrize("settings", [{"split": "fractions"}, {"folds": 4, "fold": 0}])
def test_fractions_and_folds_split_by_group_whatever_parts_the_data_has(settings: dict[str, Any]) -> None:
    assert parts(**settings) == parts(listed=WITHOUT, **{**settings, "split": None})


def test_where_one_sample_has_no_part_the_split_is_by_group_and_own_parts_are_refused() -> None:
    listed = (OWN[0]._replace(part=None), *OWN[1:])
    assert parts(listed=listed) == parts(split="fractions")
    with pytest.raises(
        ValueError, match=r"data\.split=own: 1 of 24 samples have no part of their own, first s00\. Use data\.split=fr"
    ):
        parts(split="own", listed=listed)


def test_own_parts_take_no_fractions_but_a_share_of_the_groups(caplog: pytest.LogCaptureFixture) -> None:
    found = parts(split="own", sample_fraction=0.5, test_fraction=0.3)
    assert [sum(part == name for part in found.values()) for name in ("train", "val", "test")] == [4, 4, 8]
    assert found.items() < parts().items()
    assert "data.test_fraction=0.3 is not used: the data has parts of its own. data.split=fractions" in caplog.text


def test_own_parts_and_folds_are_one_or_the_other() -> None:
    with pytest.raises(
        ValueError, match=r"data\.folds=4 makes parts of the groups, data\.split=own takes those that .* leave data\.fo"
    ):
        parts(split="own", folds=4, fold=0)


@pytest.mark.parametrize(("part", "found"), [("train", "train"), ("dev", "dev, train")])
def test_own_parts_need_training_and_validation(part: str, found: str) -> None:
    listed = (OWN[0]._replace(part=part), *(sample._replace(part="train") for sample in OWN[2:]))
    with pytest.raises(
        ValueError,
        match=rf"a split needs the parts train and val, and may have test; found {found}\. Use data\.sp",
    ):
        parts(listed=listed)


def test_a_group_in_two_of_the_datas_own_parts_is_refused_with_its_counts() -> None:
    listed = tuple(sample._replace(group=f"g{int(sample.id[1:]) // 6}") for sample in OWN)
    message = (
        r"4 of 4 groups are in two parts of the split, first 'g0': 2 in train and 2 in val and 2 in test\. Samples of "
        r"one group .* Use data\.split=fractions, .*data\.group_pattern, data\.fold_file"
    )
    with pytest.raises(ValueError, match=message):
        parts(listed=listed)
    assert {part for _, part in parts(listed=listed, split="fractions").items()} == {"train", "val"}


def test_a_file_names_each_samples_part_and_leaves_the_others_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = written(tmp_path / "parts.csv", "id,part", "s03,train", "s02,train", "s08,val", "s23,test")
    with caplog.at_level("INFO"):
        assert parts(split_file=file) == {"s02": "train", "s03": "train", "s08": "val", "s23": "test"}
    assert f"20 of 24 samples are not in {file}: left out." in caplog.text


def test_the_table_of_a_run_serves_as_such_a_file(tmp_path: Path) -> None:
    rows = [f"{sample.id},{sample.group},{sample.part}" for sample in OWN]
    file = written(tmp_path / "splits.csv", "id,group,part", *rows)
    assert parts(split_file=file, listed=WITHOUT) == parts()


def test_a_relative_file_lies_in_the_datas_folder(tmp_path: Path) -> None:
    written(tmp_path / "parts.csv", "id,part", "s02,train", "s08,val")
    assert parts(split_file="parts.csv", root=str(tmp_path)) == {"s02": "train", "s08": "val"}
    with pytest.raises(FileNotFoundError, match=rf"split_file=p\.csv is no file\. .*typed, {tmp_path}/p\.csv\. Give a"):
        parts(split_file="p.csv", root=str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"data\.split_file=/no is no file\. .*was typed\. Give a CSV of id,pa"):
        parts(split_file="/no", root=str(tmp_path))


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["id,part", "x1,train", "s02,train", "s08,val"], "1 of 3 samples are none of this data, first x1"),
        (["id,group,part", "s02,g9,train", "s08,g4,val"], r"1 of 2 samples have another group in the data, first s02"),
        (["id,group,part", "s02,g1,train", "s08,g4"], "expected id,part or id,group,part in the first .*'s08,g4'"),
        (["id,part", "s02,train", "s08,valid"], "a part of train, val, test; found 's08,valid'"),
        (["name,part", "s02,train"], "found 'name,part'"),
        (["id,part", "s02,train", "s08,val", "s08,val"], "has 1 ids more than once, first s08. Give each id one row"),
        (["id,part", "s02,train"], "a split needs the parts train and val, and may have test; found train. Use an"),
        (["id,part", "s02,train", "s03,val"], "1 of 1 groups are in two parts .*'g1': 1 in train and 1 in val.*Give"),
    ],
)  # fmt: skip
def test_a_file_that_does_not_fit_the_data_is_refused(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parts(split_file=written(tmp_path / "parts.csv", *lines))


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "parts.csv").write_bytes(b"\xff\xfe\x00id")
    with pytest.raises(ValueError, match=r"is no CSV: .*Expected id,part or id,group,part"):
        parts(split_file=str(tmp_path / "parts.csv"))


@pytest.mark.parametrize(
    ("settings", "other"),
    [
        ({"split": "own"}, "data.split=own"),
        ({"split": "fractions"}, "data.split=fr"),
        ({"folds": 3}, "data.folds=3"),
        ({"fold": 0}, "data.fold=0"),
    ],
)
def test_a_file_and_another_way_to_split_are_one_or_the_other(settings: dict[str, Any], other: str) -> None:
    with pytest.raises(ValueError, match=rf"names each sample's part, {other}.* chooses others: it is one or the"):
        parts(split_file="x.csv", **settings)


def test_a_file_takes_no_fraction_for_a_test_part(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    parts(split_file=written(tmp_path / "parts.csv", "id,part", "s00,train", "s02,val"), test_fraction=0.3)
    assert "data.test_fraction=0.3 is not used: " in caplog.text


def test_a_run_that_goes_on_reads_no_file_and_asks_for_no_parts() -> None:
    table = [("s00", "g0", "val"), ("s02", "g1", "train")]
    data = Scans(split_file="gone.csv", listed=WITHOUT)
    data.keep_split(table)
    data.setup()
    assert data.split_table() == table


def test_a_kept_split_that_cuts_a_group_is_refused() -> None:
    data = Scans()
    data.keep_split([("s00", "g0", "val"), ("s01", "g0", "train")])
    with pytest.raises(ValueError, match=r"1 of 1 groups are in two parts .*Restore splits\.csv from a copy of"):
        data.setup()


def test_the_share_of_empty_masks_is_told_and_balanced_where_it_is_known(caplog: pytest.LogCaptureFixture) -> None:
    listed = tuple(sample._replace(empty=int(sample.group[1:]) % 2 == 0, part=None) for sample in OWN)
    numbers = {"listed": listed, "val_fraction": 0.5, "split_seed": 2}
    with caplog.at_level("INFO"):
        found = parts(**numbers)
    assert caplog.text.count("12 samples, 50.0% of the masks empty") == 2
    assert found != parts(**numbers, balance=False)
    assert parts(**numbers, balance=False) == parts(**{**numbers, "listed": WITHOUT})
