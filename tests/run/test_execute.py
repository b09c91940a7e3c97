"""execute(folder): continue, refuse, fail with a reason, stop on a signal. Commands run in forked children."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from segfield.run.execute import execute, reason
from segfield.run.lock import locked

Cli = Callable[..., Any]
TINY = ("debug=fast", "data.size=[32,32]", "data.length=10", "threads=1")


def status(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "status.json").read_text())
    return content


@pytest.fixture
def run(cli: Cli, tmp_path: Path) -> Path:
    """A finished tiny run."""
    outcome = cli("train.py", *TINY, f"hydra.run.dir={tmp_path / 'run'}")
    assert outcome.code == 0, outcome.err
    return tmp_path / "run"


def planned(run: Path, name: str, **changes: Any) -> Path:
    """Return a new folder with the frozen config of a run and nothing else."""
    folder = run.parent / name
    folder.mkdir()
    config = yaml.safe_load((run / "config.yaml").read_text())
    for key, value in changes.items():
        group, _, word = key.partition("__")
        config[group][word] = value
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


def test_a_copied_half_trained_folder_continues_on_its_own(cli: Cli, run: Path) -> None:
    half = planned(run, "half", trainer__max_epochs=2)
    assert cli("segfield", "execute", half).code == 0
    (half / "status.json").write_text(json.dumps({**status(half), "state": "running"}))  # as a kill leaves it
    before = {path: path.read_bytes() for path in half.rglob("*") if path.is_file()}
    shutil.copytree(half, run.parent / "copy")
    outcome = cli("segfield", "execute", run.parent / "copy")
    assert outcome.code == 0, outcome.err
    assert "continuing from step 2" in outcome.err
    assert {path: path.read_bytes() for path in half.rglob("*") if path.is_file()} == before
    copy = run.parent / "copy"
    assert status(copy)["state"] == "finished"
    assert (copy / "trace.csv").read_bytes() == (half / "trace.csv").read_bytes()
    executions = yaml.safe_load((copy / "environment.yaml").read_text())
    assert [entry["from_step"] for entry in executions] == [0, 2]
    weights = [torch.load(folder / "checkpoints/best.ckpt", weights_only=True)["state_dict"] for folder in (half, copy)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_the_working_directory_is_the_same_after_an_execution_also_a_failed_one(run: Path) -> None:
    before = Path.cwd()
    folder = planned(run, "two", data__batch_size=1000)
    with pytest.raises(ValueError, match=r"fewer than data\.batch_size=1000"):
        execute(folder)
    assert Path.cwd() == before
    assert status(folder)["state"] == "failed"


def test_a_frozen_folder_is_executed_without_conf_and_without_hydra(
    cli: Cli, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a forked child, so the hook goes with it."""
    folder, opened = planned(run, "elsewhere"), run.parent / "opened.txt"

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and "/conf" in str(arguments[0]):
            os.write(record, f"{arguments[0]}\n".encode())

    record = os.open(opened, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    monkeypatch.setattr("segfield.commands.execute.share_cores", lambda: sys.addaudithook(note))
    monkeypatch.setattr("sys.argv", ["nonsense"])
    assert cli("segfield", "execute", folder).code == 0
    assert status(folder)["state"] == "finished"
    assert f"{folder}/config.yaml" in opened.read_text()
    assert "/conf/" not in opened.read_text()
    assert (folder / "weights.sha256").read_bytes() == (run / "weights.sha256").read_bytes()


def test_data_that_changed_since_the_run_began_is_refused(cli: Cli, run: Path) -> None:
    (run / "status.json").write_text(json.dumps({**status(run), "state": "running"}))
    rows = (run / "splits.csv").read_text()
    (run / "splits.csv").write_text(rows + "another,group,train\n")
    outcome = cli("segfield", "execute", run)
    assert outcome.code == 1
    assert "splits.csv is not the one that this run began with" in outcome.err
    assert status(run)["state"] == "failed"
    assert "Restore it from a copy of the run" in status(run)["reason"]
    assert "Traceback" not in outcome.err
    assert "Traceback" in (run / "log.txt").read_text()


def test_a_full_disk_while_saving_fails_with_a_reason_and_keeps_the_last_checkpoint(
    cli: Cli, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = planned(run, "full", trainer__max_epochs=3)
    whole_save = torch.save
    calls = []

    def save(content: Any, file: Any) -> None:
        calls.append(1)
        if len(calls) > 2:  # the best and the last of epoch 1 are written
            file.write(b"half of a checkpoint")
            raise OSError(28, "No space left on device")
        whole_save(content, file)

    monkeypatch.setattr(torch, "save", save)
    outcome = cli("segfield", "execute", folder)
    assert outcome.code == 1
    assert "No space left on device" in outcome.err
    assert re.search(r"No space left on device.*(best|last)\.ckpt", status(folder)["reason"])
    for name in ("best", "last"):
        torch.load(folder / f"checkpoints/{name}.ckpt", weights_only=True)
    assert not list(folder.rglob("*.tmp"))
    monkeypatch.undo()
    assert cli("segfield", "execute", folder).code == 0
    assert status(folder) | {"state": "finished", "epoch": 3} == status(folder)


def test_a_disk_without_room_for_the_checkpoints_is_found_before_the_run(
    cli: Cli, outputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 10**6))  # type: ignore[attr-defined]
    outcome = cli("train.py", *TINY)
    assert outcome.code == 2
    assert "1 MB free, the run's checkpoints need up to 52 MB" in outcome.err
    assert "SEGFIELD_OUTPUTS=" in outcome.err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_saves_and_leaves_with_its_code_and_the_run_can_be_continued(
    cli: Cli, run: Path, number: signal.Signals, code: int, tmp_path: Path
) -> None:
    folder = planned(run, "long", trainer__max_epochs=15)
    child = os.fork()
    if child == 0:
        sys.stderr = (tmp_path / "err").open("w", buffering=1)
        from segfield.run.execute import attempt

        try:
            os._exit(attempt(folder))
        except SystemExit as stop:
            os._exit(int(stop.code or 0))
    deadline = time.monotonic() + 60
    while not (folder / "checkpoints/last.ckpt").exists():
        assert time.monotonic() < deadline, (tmp_path / "err").read_text()
        time.sleep(0.05)
    os.kill(child, number)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == code, (tmp_path / "err").read_text()
    stopped = status(folder)
    assert stopped["state"] == "interrupted"
    assert stopped["step"] > 0
    saved = torch.load(folder / "checkpoints/last.ckpt", weights_only=True)["global_step"]
    assert (folder / "trace.csv").read_text().count("\n") == saved + 1 == stopped["step"] + 1
    assert "continue with: python -m segfield execute" in (tmp_path / "err").read_text()
    assert cli("segfield", "execute", folder).code == 0
    steps = [row.split(",")[1] for row in (folder / "trace.csv").read_text().splitlines()[1:]]
    assert steps == [str(step) for step in range(30)]


def test_a_folder_that_a_live_process_executes_is_refused_and_left_alone(cli: Cli, run: Path) -> None:
    folder = planned(run, "busy")
    with locked(folder):
        before = sorted(folder.iterdir())
        outcome = cli("segfield", "execute", folder)
        assert sorted(folder.iterdir()) == before  # lock.json is not read here: closing it would give the lock back
    assert outcome.code == 2
    assert "is being executed already, by" in outcome.err
    assert f"by process {os.getpid()} on" in outcome.err
    assert cli("segfield", "execute", folder).code == 0


@pytest.mark.parametrize(
    ("group", "name", "place"),
    [
        ("callbacks", "trace", {"_target_": "segfield.callbacks.trace.Trace", "path": "OUT/trace.csv"}),
        ("callbacks", "best", {"_target_": "pytorch_lightning.callbacks.ModelCheckpoint", "_args_": ["OUT/best"]}),
        ("logger", "csv", {"_target_": "pytorch_lightning.loggers.CSVLogger", "save_dir": "file://OUT"}),
        ("callbacks", "trace", {"_target_": "segfield.callbacks.trace.Trace", "path": "${oc.env:HOME}/trace.csv"}),
    ],
)
def test_a_config_that_writes_outside_its_folder_or_reads_the_environment_is_refused(
    cli: Cli, run: Path, tmp_path: Path, group: str, name: str, place: dict[str, Any]
) -> None:
    outside = tmp_path / "outside"
    folder = planned(run, "evil", **{f"{group}__{name}": json.loads(json.dumps(place).replace("OUT", str(outside)))})
    outcome = cli("segfield", "execute", folder)
    assert outcome.code == 2
    assert "leads out of the run folder" in outcome.err or "is an interpolation" in outcome.err
    assert not outside.exists()
    assert sorted(path.name for path in folder.iterdir()) == ["config.yaml"]


def test_a_continued_run_writes_no_point_of_tensorboard_twice(cli: Cli, run: Path) -> None:
    folder = planned(run, "twice", trainer__max_epochs=4)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    config["trainer"]["max_epochs"] = 3
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    assert cli("segfield", "execute", folder).code == 0
    config["trainer"]["max_epochs"] = 4  # what follows last.ckpt, the third epoch, is written again
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    (folder / "status.json").write_text(json.dumps({**status(folder), "state": "running"}))
    assert cli("segfield", "execute", folder).code == 0
    points = EventAccumulator(str(folder / "tensorboard"))
    points.Reload()
    assert [event.step for event in points.Scalars("val/dice")] == [1, 3, 5, 7]
    assert [event.step for event in points.Scalars("train/loss_step")] == list(range(8))


def test_a_key_that_is_no_placement_is_refused_and_nothing_is_written(cli: Cli, run: Path) -> None:
    before = sorted(run.rglob("*"))
    outcome = cli("segfield", "execute", run, "optimizer.lr=1")
    assert outcome.code == 2
    assert "optimizer.lr is no placement" in outcome.err
    assert sorted(run.rglob("*")) == before


def test_the_reason_of_a_workers_error_is_its_last_line() -> None:
    text = "Caught ValueError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n  x"
    text += "\nValueError: a.png: b"
    assert reason(ValueError(text)) == "a.png: b"
    assert reason(KeyboardInterrupt()) == "KeyboardInterrupt"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("trainer.accelerator=gpu", "trainer"),
        ("data.num_workers=a", "data.num_workers"),
        ("trainer.devices=800", "trainer.devices=800 processes on"),
        ("trainer.devices=[0,1]", "trainer.devices=[0, 1] must be a number of devices of one machine, or auto; choose"),
        ("trainer.strategy=ddp_spawn", "trainer.strategy=ddp_spawn is none of auto, ddp, fsdp"),
        (
            "trainer.strategy=fsdp",
            "trainer.strategy=fsdp shares weights out over GPUs, and there is none",
        ),
    ],
)
def test_a_placement_that_cannot_be_is_told_before_the_run_is_touched(
    cli: Cli, run: Path, word: str, message: str
) -> None:
    folder = planned(run, "placed")
    outcome = cli("segfield", "execute", folder, word)
    assert outcome.code == 2, outcome.err
    assert outcome.err.startswith(f"This run cannot start:\n- {message}")
    assert "Traceback" not in outcome.err
    assert not (folder / "log.txt").exists()


@pytest.mark.slow
def test_the_verb_execute_and_train_py_run_as_real_commands_from_another_folder(tmp_path: Path, outputs: Path) -> None:
    project = Path(__file__).resolve().parents[2]
    train = [sys.executable, str(project / "train.py"), *TINY, "hydra.run.dir=run"]
    subprocess.run(train, cwd=tmp_path, check=True)
    assert status(tmp_path / "run")["state"] == "finished"
    verb = [sys.executable, "-m", "segfield", "execute", "run"]
    done = subprocess.run(verb, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert "is finished already" in done.stderr
