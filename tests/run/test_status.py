from pathlib import Path

import pytest

from segfield.run.status import Status, read_status


def test_a_folder_without_status_is_planned(tmp_path: Path) -> None:
    assert read_status(tmp_path) == {"state": "planned"}


def test_entries_stay_until_they_are_changed(tmp_path: Path) -> None:
    status = Status(tmp_path)
    status.update(state="running", step=3)
    status.update(epoch=1)
    content = read_status(tmp_path)
    assert (content["state"], content["step"], content["epoch"]) == ("running", 3, 1)
    assert content["peak_memory_mb"] > 1


def test_seconds_count_all_executions_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 5.0, 100.0, 107.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    Status(tmp_path).update(state="interrupted")
    second = Status(tmp_path)
    second.update(state="running")
    assert read_status(tmp_path)["seconds"] == 12.0
    assert second.started_before
