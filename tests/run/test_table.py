"""What a sweep shows. Rows are filled by hand, terminals are rich's recording consoles."""

import io
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from segfield.run import table
from segfield.run.job import Job, Row
from segfield.run.table import Live, Plain, duration, remaining


def row_of(number: int, state: str = "planned", **more: Any) -> Row:
    changed = {"optimizer.lr": f"1e-{number}", "data.fold": str(number)}
    row = Row(Job(number, [], "", "val/dice", "max", 4), Path("sweep"), changed)
    row.status = {"state": state, **more}
    return row


def picture(rows: list[Row], width: int, height: int = 30) -> list[str]:
    console = Console(file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None)
    live = Live(rows, 2, console)
    live.close()
    with console.capture() as capture:
        console.print(live._drawn())
    return [line.rstrip() for line in capture.get().splitlines()]


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, ""), (0.4, "0:00"), (7, "0:07"), (760, "12:40"), (3720, "1:02:00")]
)
def test_durations_are_short(seconds: float | None, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize("width", [80, 140])
def test_the_table_fits_its_terminal_and_shows_every_job(width: int) -> None:
    rows = [
        row_of(0, "finished", epoch=4, best={"val/dice": 0.93125}, seconds=62),
        row_of(1, "running", epoch=1),
        row_of(2),
    ]
    rows[2].queued = True
    rows[1].here, rows[1]._began = True, time.monotonic() - 30
    lines = picture(rows, width)
    assert max(map(len, lines)) <= width
    assert lines[0].startswith("sweep of 3: 1 finished, 1 running, 1 waiting, best 0.9313 by job 0, 0:00 so far,")
    assert [line.split() for line in lines[-4:-2]] == [
        ["job", "state", "changed", "epoch", "val/dice", "time", "left"],
        ["0", "finished", "lr=1e-0", "fold=0", "4/4", "0.9313", "1:02"],
    ]


def test_of_many_jobs_the_running_ones_are_shown_with_counts_of_the_others_and_the_best() -> None:
    rows = [row_of(number, "finished", epoch=4, best={"val/dice": number / 200}) for number in range(150)]
    rows += [row_of(number, "running") for number in (150, 151)]
    rows += [row_of(number) for number in range(152, 200)]
    lines = picture(rows, 80, 24)
    assert len(lines) < 24
    assert lines[0].startswith("sweep of 200: 150 finished, 2 running, 48 planned, best 0.7450 by job 149")
    assert [line.split()[0] for line in lines[-2:]] == ["150", "151"]


def test_keys_with_the_same_last_word_keep_their_whole_name() -> None:
    row = row_of(0)
    row.changed = {"model.width": "4", "data.width": "8", "seed": "1"}
    assert "model.width=4 data.width=8 seed=1" in "\n".join(picture([row], 140))


def test_without_a_terminal_there_are_plain_lines(capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    now = 100.0
    monkeypatch.setattr(table.time, "monotonic", lambda: now)
    row = row_of(2, "running")
    board = table.board([row], 1)
    assert isinstance(board, Plain)
    row.here, row._began = True, now
    board.started(row)
    row.status |= {"epoch": 1, "best": {"val/dice": 0.9}}
    board.epoch(row)
    now = 111.0
    board.epoch(row)
    board.epoch(row)
    row.status |= {"epoch": 4}
    now = 162.0
    board.epoch(row)
    row.status |= {"state": "finished", "best": {"val/dice": 0.93}}
    board.ended(row)
    assert capsys.readouterr().err.splitlines() == [
        "job 2 started: optimizer.lr=1e-2 data.fold=2",
        "job 2 epoch 1/4, best val/dice=0.9",
        "job 2 finished: val/dice=0.93 in 1:02",
    ]


def test_the_time_left_of_a_sweep_counts_waiting_jobs_by_those_that_are_over(monkeypatch: Any) -> None:
    monkeypatch.setattr(table.time, "monotonic", lambda: 100.0)
    rows = [row_of(number) for number in range(4)]
    assert remaining(rows, 2) is None
    rows[0].status["state"], rows[0].here, rows[0]._began, rows[0]._ended = "finished", True, 0.0, 60.0
    rows[1].status["state"], rows[1].here, rows[1]._began = "running", True, 80.0
    rows[2].queued = rows[3].queued = True
    assert remaining(rows, 2) == pytest.approx((40 + 60 + 60) / 2)
