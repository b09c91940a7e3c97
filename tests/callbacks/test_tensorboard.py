import time
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

from segfield.callbacks.tensorboard import TensorBoard


def write(folder: Path, values: dict[int, float], purge_step: int | None = None) -> None:
    logger = TensorBoard(str(folder), purge_step=purge_step)
    for step, value in values.items():
        logger.log_metrics({"loss": value, "epoch": 0}, step)
    logger.experiment.flush()
    logger.experiment.close()


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(folder)).Reload()
    return {tag: [(event.step, event.value) for event in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_lightnings_epoch_is_no_scalar_of_ours(tmp_path: Path) -> None:
    write(tmp_path, {0: 1.0, 1: 0.5})
    assert scalars(tmp_path) == {"loss": [(0, 1.0), (1, 0.5)]}


@pytest.mark.parametrize("later", [0, -3600], ids=["within one second", "after the clock went back an hour"])
def test_a_continued_run_draws_each_point_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, later: int) -> None:
    clock: Any = time.time
    write(tmp_path, {0: 1.0, 1: 0.5, 2: 0.25})
    monkeypatch.setattr(time, "time", lambda: clock() + later)
    write(tmp_path, {1: 7.0, 2: 8.0, 3: 9.0}, purge_step=1)
    monkeypatch.setattr(time, "time", lambda: clock() + 2 * later)
    write(tmp_path, {3: 11.0}, purge_step=3)
    assert scalars(tmp_path) == {"loss": [(0, 1.0), (1, 7.0), (2, 8.0), (3, 11.0)]}


def test_files_of_earlier_executions_are_numbered_in_their_order(tmp_path: Path) -> None:
    for number in ("0000000003.host.1.0", "1900000000.host.9.0", "note"):
        (tmp_path / f"events.out.tfevents.{number}").write_bytes(b"")
    write(tmp_path, {0: 1.0}, purge_step=0)
    names = sorted(file.name.removeprefix("events.out.tfevents.") for file in tmp_path.glob("events*"))
    assert names[:2] == ["0000000003.host.1.0", "0000000004.host.9.0"]
    assert "note" in names
