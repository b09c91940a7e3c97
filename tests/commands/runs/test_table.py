"""Columns of the table."""

from collections.abc import Callable
from pathlib import Path

import pytest

from segfield.commands.runs import cells
from segfield.commands.runs.choose import Names
from segfield.commands.runs.table import Column, columns, differing
from segfield.run.frozen import Frozen
from segfield.run.listing import Run, read

MakeRun = Callable[..., Path]


@pytest.fixture
def look(make_run: MakeRun) -> Callable[..., Run]:
    def made(*words: dict[str, str] | str | None, **status: object) -> Run:
        folder = make_run(*words, **status)
        return read(folder, folder.name, Frozen())

    return made


def by_name(runs: list[Run]) -> dict[str, Column]:
    return {column.name: column for column in columns(runs, Names(runs))}


def test_placement_and_a_damaged_config_make_no_column(look: Callable[..., Run]) -> None:
    runs = [look("a"), look("b", {"num_workers: null": "num_workers: 4", "threads: null": "threads: 2"}), look("c")]
    (runs[2].folder / "config.yaml").write_text("model: [")
    assert differing([*runs[:2], read(runs[2].folder, "c", Frozen())]) == []


def test_a_key_that_repeats_another_is_shown_once_and_a_class_by_its_name(look: Callable[..., Run]) -> None:
    sgd = {"torch.optim.AdamW": "torch.optim.SGD", "weight_decay: 0.0001": "momentum: 0.9"}
    runs = [look("a"), look("b", {"seed: 0\n": "seed: 7\n", **sgd})]
    found = by_name(runs)
    assert found["seed"].cells == ["0", "7"]
    assert "data.seed" not in found
    assert found["optimizer"].cells == ["AdamW", "SGD"]
    assert found["momentum"].cells == ["-", "0.9"]
    assert found["seed"].rank == found["optimizer"].rank < found["momentum"].rank


def test_what_model_and_data_say_already_gets_room_last(look: Callable[..., Run]) -> None:
    wide = {"width: 8": "width: 64"}
    runs = [
        look("a", {}, {"model": "s"}),
        look("b", wide, {"model": "w"}),
        look("c", {"lr: 0.001": "lr: 1"}, {"model": "s"}),
    ]
    found = by_name(runs)
    assert found["lr"].rank < found["best val/dice"].rank + 4 < found["width"].rank
    assert found["model"].rank < found["data"].rank


def test_scores_of_several_kinds_are_named_one_by_one(look: Callable[..., Run]) -> None:
    runs = [look("a", best={"val/dice": 0.9}), look("b", {"val/dice": "val/loss"}, best={"val/loss": 1e-5}), look("c")]
    assert by_name(runs)["best"].cells == ["val/dice 0.9000", "val/loss 1e-05", "val/dice -"]


def test_memory_of_a_gpu_and_reasons_have_columns_where_there_are_some(look: Callable[..., Run]) -> None:
    runs = [look("a", peak_gpu_memory_mb=17_000), look("b", state="failed", reason="x" * 60)]
    assert by_name(runs)["GPU MB"].cells == ["17000", "-"]
    assert by_name(runs)["reason"].cells == ["-", "x" * 47 + "..."]
    assert not {"GPU MB", "reason"} & by_name([look("c")]).keys()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        *((None, "null"), (True, "true"), ([64, 1.5], "[64,1.5]"), (1e-05, "1e-05"), ("a b", "a b"), ("\xe9", "\xe9")),
        *(("a\x1b\n", "a\\x1b\\n"), ({"a": [None]}, '{"a":[null]}'), ({(1, 2): 3}, "<dict>"), ("\udcff", "\\udcff")),
    ],
)
def test_a_value_is_shown_as_it_is_typed(value: object, text: str) -> None:
    assert cells.typed(value) == text


def test_a_number_of_thousands_of_digits_is_not_written_out() -> None:
    assert cells.typed(16**5000) == "<int>"


def test_times_scores_and_epochs_are_short() -> None:
    assert [cells.clock(seconds) for seconds in (0.4, 61, 3600 * 100 + 59, None)] == [
        "0:00:00",
        "0:01:01",
        "100:00:59",
        "-",
    ]
    assert [cells.score(value) for value in (0.97, 0, 123456.0, 1e-7, float("nan"))] == [
        "0.9700",
        "0.0000",
        "1.235e+05",
        "1e-07",
        "nan",
    ]
    assert [cells.share(*pair) for pair in ((3, 20), (None, 6), (3, None), (3, -1), (None, None))] == [
        "3/20",
        "0/6",
        "3",
        "3",
        "-",
    ]
