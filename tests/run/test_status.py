from pathlib import Path

import pytest

from segfield.run.status import Status, read_status, shown


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


@pytest.mark.parametrize(
    "damaged",
    [
        *(b"", b'{"state": "runn', b"[]", b'{"state": "cooked"}', b'{"state": "running", "seconds": "long"}'),
        *(b'{"state": "running", "step": null}', b'{"state": "finished", "best": [1]}', b"\xff", b"[" * 100_000),
    ],
)
def test_a_damaged_status_is_unknown_and_put_aside_by_the_next_execution(
    tmp_path: Path, damaged: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "status.json"
    path.write_bytes(damaged)
    assert read_status(tmp_path) == {"state": "unknown", "reason": "status.json is damaged"}
    assert path.read_bytes() == damaged
    status = Status(tmp_path)
    assert status.started_before
    assert (tmp_path / "status.json.damaged").read_bytes() == damaged
    assert "status.json is damaged: put aside as status.json.damaged" in caplog.text
    assert Status(tmp_path).started_before, "also where that one was killed before its first update"
    status.update(state="running")
    assert read_status(tmp_path)["state"] == "running"


def test_only_a_running_status_can_be_shown_as_killed(tmp_path: Path) -> None:
    Status(tmp_path).update(state="finished")
    assert shown(tmp_path)["state"] == "finished"


def test_a_run_that_ends_while_it_is_looked_at_is_shown_by_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "status.json"
    path.write_text('{"state": "running"}')

    def ends(_: Path) -> bool:
        path.write_text('{"state": "finished"}')
        return False

    monkeypatch.setattr("segfield.run.status.alive", ends)
    assert shown(tmp_path)["state"] == "finished"
