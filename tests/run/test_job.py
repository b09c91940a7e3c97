import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from segfield.run.job import Job, Row, digest, same_work, varied
from segfield.run.lock import locked


def row_of(folder: Path, **status: Any) -> Row:
    (folder / "0").mkdir(exist_ok=True)
    if status:
        write(folder, **status)
    return Row(Job(0, [], "", "val/dice", "max", 10), folder, {})


def write(folder: Path, **status: Any) -> None:
    beside = folder / "0/status.json.tmp"
    beside.write_text(json.dumps(status))
    beside.replace(folder / "0/status.json")


def test_the_digest_of_a_config_changes_with_what_is_computed_and_with_no_placement() -> None:
    config = {"seed": 0, "threads": 1, "trainer": {"devices": 1, "max_epochs": 4}, "data": {"root": None}}
    moved = {"seed": 0, "threads": 2, "trainer": {"devices": 2, "max_epochs": 4}, "data": {"root": "/x"}}
    longer = {**config, "trainer": {"devices": 1, "max_epochs": 5}}
    assert digest(config) == digest(moved) != digest(longer)


def test_jobs_on_other_folders_of_data_are_not_the_same_work() -> None:
    assert same_work("d", ["data.root=a", "threads=1"]) == same_work("d", ["threads=2", "data.root=a"])
    assert same_work("d", ["data.root=a"]) != same_work("d", ["data.root=b"])
    assert same_work("d", ["data.images=a"]) != same_work("d", ["data.images=b"])
    assert same_work("d", []) != same_work("e", [])


def test_varied_overrides_are_those_that_differ_between_jobs() -> None:
    words = [["debug=fast", "optimizer.lr=1", "+a.b=1"], ["debug=fast", "optimizer.lr=2", "~logger"]]
    jobs = [Job(number, given, "", "", "max", 1) for number, given in enumerate(words)]
    assert varied(jobs) == {
        0: {"optimizer.lr": "1", "a.b": "1", "logger": ""},
        1: {"optimizer.lr": "2", "a.b": ""} | {"logger": ""},
    }


def test_what_others_have_sent_cannot_move_the_cursor(tmp_path: Path) -> None:
    assert varied([Job(0, ["a=\x1b[2J"], "", "", "max", 1), Job(1, [], "", "", "max", 1)])[0] == {"a": " [2J"}
    row = row_of(tmp_path, state="failed", reason="\x1b]0;title\x07 it broke\nhere")
    row.look()
    assert row.reason == " ]0;title  it broke\nhere"


@pytest.mark.parametrize(
    ("status", "code", "state", "reason"),
    [
        ({"state": "finished"}, 0, "finished", ""),
        ({"state": "finished"}, -6, "finished", ""),
        ({"state": "pruned", "reason": "below the median"}, 0, "pruned", "below the median"),
        ({"state": "failed", "reason": "it broke"}, 1, "failed", "it broke"),
        ({"state": "failed", "reason": "long ago"}, 2, "failed", "it could not start"),
        ({"state": "interrupted", "reason": "signal 15"}, 143, "interrupted", "signal 15"),
        ({"state": "running"}, -9, "killed", "signal 9 (out of memory?)"),
        ({"state": "running"}, -11, "killed", "signal 11 (segmentation fault)"),
        ({"state": "planned"}, -9, "killed", "signal 9 (out of memory?)"),
        ({"state": "planned"}, -15, "interrupted", "signal 15"),
        ({"state": "planned"}, 130, "interrupted", "signal 2"),
        ({"state": "planned"}, 2, "failed", "it could not start"),
        ({"state": "running"}, 7, "failed", "exit code 7"),
        ({"state": "planned"}, 0, "failed", "exit code 0"),
    ],
)
def test_how_a_job_ended_is_told_by_its_status_and_its_exit_code(
    tmp_path: Path, status: dict[str, Any], code: int, state: str, reason: str
) -> None:
    row = row_of(tmp_path, **status)
    row.begin()
    row.end(code)
    assert (row.state, row.reason) == (state, reason)


def test_why_a_job_did_not_start_is_its_reason(tmp_path: Path) -> None:
    row = row_of(tmp_path)
    row.begin()
    row.end(1, "no such folder")
    assert (row.state, row.reason) == ("failed", "no such folder")


def test_a_job_that_another_process_executes_is_not_told_killed(tmp_path: Path) -> None:
    row = row_of(tmp_path, state="running")
    child = os.fork()
    if child == 0:
        with locked(tmp_path / "0"):
            time.sleep(600)
    while not (tmp_path / "0/lock.json").exists() or not (tmp_path / "0/lock.json").stat().st_size:
        time.sleep(0.01)
    assert row.look() == "running"
    os.kill(child, 9)
    os.waitpid(child, 0)
    assert row.look() == "killed"


def test_status_json_is_read_where_it_has_changed_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = row_of(tmp_path, state="planned")
    row.begin()
    reads = []
    monkeypatch.setattr("segfield.run.job.read_status", lambda _: reads.append(1) or {"state": "running", "epoch": 1})
    assert row.refresh()
    assert not row.refresh()
    assert len(reads) == 1
    write(tmp_path, state="running", epoch=1)
    assert not row.refresh(), "no further epoch"
    assert len(reads) == 2


def test_the_time_left_is_that_of_the_epochs_that_this_execution_has_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 100.0
    monkeypatch.setattr("segfield.run.job.time.monotonic", lambda: now)
    row = row_of(tmp_path, state="interrupted", epoch=4, seconds=1000.0)
    row.begin()
    assert row.left() is None
    now = 120.0
    write(tmp_path, state="running", epoch=6, best={"val/dice": 0.5})
    assert row.refresh()
    assert row.best == 0.5
    assert row.left() == pytest.approx(40.0)  # 10 s an epoch, 4 of 10 are left
    now = 125.0
    assert row.left() == pytest.approx(35.0)
    assert row.seconds() == pytest.approx(25.0)
