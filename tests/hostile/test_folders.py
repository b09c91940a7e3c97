"""A run folder that others sent: its links, its YAML and JSON, its checkpoints. Nothing outside it changes."""

import json
import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

Cli = Callable[..., Any]


class Touch:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, (f"touch {self.path}",))


@pytest.mark.parametrize(
    "name",
    ["trace.csv", "metrics.csv", "splits.csv", "data.csv", "log.txt", "lock.json", "status.json", "environment.yaml"],
)
def test_a_file_that_is_a_link_to_elsewhere_is_refused(cli: Cli, folder: Path, outside: Path, name: str) -> None:
    outside.write_text("mine\n")
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(outside)
    outcome = cli("segfield", "execute", folder)
    assert outcome.code == 2, outcome.err
    assert f"{folder / name} is a link that leads out of the run folder" in outcome.err
    assert outside.read_text() == "mine\n"
    assert sorted(path.name for path in folder.iterdir()) == sorted({name, "config.yaml", "status.json"})


@pytest.mark.parametrize("name", ["checkpoints", "tensorboard", ".hydra", "ranks"])
def test_a_folder_that_is_a_link_to_elsewhere_is_refused(cli: Cli, folder: Path, outside: Path, name: str) -> None:
    outside.mkdir()
    (folder / name).symlink_to(outside)
    outcome = cli("segfield", "execute", folder)
    assert outcome.code == 2
    assert f"{folder / name} is a link that leads out" in outcome.err
    assert not list(outside.iterdir())


def test_a_link_to_where_nothing_is_yet_makes_nothing_there(cli: Cli, folder: Path, outside: Path) -> None:
    (folder / "log.txt").symlink_to(outside)
    assert cli("segfield", "execute", folder).code == 2
    assert not outside.exists()


def test_train_py_continues_no_folder_with_a_link_to_elsewhere(cli: Cli, folder: Path, outside: Path) -> None:
    (folder / "log.txt").symlink_to(outside)
    tiny = ("debug=fast", "data.size=[32,32]", "data.length=10", "threads=1", "model.width=4")
    assert cli("train.py", *tiny, f"hydra.run.dir={folder}").code == 2
    assert not outside.exists()


TAG = "!!python/object/apply:os.system ['touch OUT']"


@pytest.mark.parametrize(
    "text", [f"{TAG}\n", f"data: {TAG}\ntrainer: {{}}\n", f"data: {{}}\ntrainer: {{}}\nx: {TAG}\n"]
)
def test_tags_of_yaml_call_nothing(cli: Cli, folder: Path, outside: Path, text: str) -> None:
    (folder / "config.yaml").write_text(text.replace("OUT", str(outside)))
    outcome = cli("segfield", "execute", folder)
    assert outcome.code == 2, outcome.err
    assert "config.yaml is no YAML" in outcome.err
    assert not outside.exists()


def test_a_value_of_placement_on_the_command_line_calls_nothing(cli: Cli, folder: Path, outside: Path) -> None:
    outcome = cli("segfield", "execute", folder, f"threads={TAG.replace('OUT', str(outside))}")
    assert outcome.code == 2
    assert "the value is no YAML" in outcome.err
    assert not outside.exists()


@pytest.mark.parametrize("name", ["status.json", "environment.yaml", "splits.csv", "data.csv", "lock.json"])
def test_tags_in_what_a_run_wrote_call_nothing(cli: Cli, folder: Path, outside: Path, name: str) -> None:
    (folder / name).write_text(TAG.replace("OUT", str(outside)))
    cli("segfield", "execute", folder)
    assert not outside.exists()


@pytest.mark.parametrize(
    "name", ["config.yaml", "status.json", "log.txt", "splits.csv", "lock.json", "checkpoints/last.ckpt"]
)
def test_a_pipe_in_a_run_folder_is_refused_before_it_is_opened(cli: Cli, folder: Path, name: str) -> None:
    (folder / "checkpoints").mkdir()
    (folder / name).unlink(missing_ok=True)
    os.mkfifo(folder / name)
    outcome = cli("segfield", "execute", folder)
    assert outcome.code == 2, outcome.err
    assert f"{folder / name} is neither a file nor a folder nor a link" in outcome.err


BOMB = "a0: &a0 [1, 2]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))


@pytest.mark.parametrize(
    "text", [f"{BOMB}data: {{}}\ntrainer: {{}}\n", "data: {}\ntrainer: &t {a: *t}\n", "data: &d [*d]\ntrainer: {}\n"]
)
def test_aliases_that_grow_or_come_back_to_themselves_are_refused(cli: Cli, folder: Path, text: str) -> None:
    (folder / "config.yaml").write_text(text)
    outcome = cli("segfield", "execute", folder)
    assert outcome.code == 2, outcome.err
    assert "Write it without YAML aliases" in outcome.err


@pytest.mark.parametrize("name", ["last", "best"])
@pytest.mark.parametrize("form", ["bare", "within a checkpoint"])
def test_a_checkpoint_runs_no_code(cli: Cli, folder: Path, outside: Path, name: str, form: str) -> None:
    (folder / "checkpoints").mkdir()
    path = folder / f"checkpoints/{name}.ckpt"
    torch.save(Touch(outside) if form == "bare" else {"global_step": 1, "state_dict": {}, "x": Touch(outside)}, path)
    (folder / "status.json").write_text(json.dumps({"state": "running"}))
    cli("segfield", "execute", folder)
    assert not outside.exists()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.load(path, weights_only=False)
    assert outside.exists()  # it would have


PLACES: list[tuple[str, str, Any]] = [
    ("callbacks", "x", {"_target_": "segfield.callbacks.trace.Trace", "path": "OUT"}),
    ("callbacks", "x", {"_target_": "segfield.callbacks.metrics_csv.MetricsCsv", "path": "../outside"}),
    ("callbacks", "x", {"_target_": "pytorch_lightning.callbacks.ModelCheckpoint", "dirpath": "checkpoints/../.."}),
    ("callbacks", "x", {"_target_": "pytorch_lightning.callbacks.ModelCheckpoint", "filename": "../../outside"}),
    ("callbacks", "x", {"_target_": "pytorch_lightning.callbacks.ModelCheckpoint", "filename": "{epoch:/>2}outside"}),
    ("logger", "x", {"_target_": "pytorch_lightning.loggers.CSVLogger", "save_dir": ".", "name": "../outside"}),
    ("logger", "x", {"_target_": "pytorch_lightning.loggers.CSVLogger", "save_dir": ".", "version": "../../outside"}),
    ("logger", "x", {"_target_": "pytorch_lightning.loggers.CSVLogger", "save_dir": "file:OUT"}),
    ("logger", "x", {"_target_": "pytorch_lightning.loggers.TensorBoardLogger", "save_dir": "$AWAY"}),
    ("logger", "x", {"_target_": "pytorch_lightning.loggers.TensorBoardLogger", "save_dir": ".", "sub_dir": "../../o"}),
    ("logger", "x", {"_target_": "segfield.callbacks.tensorboard.TensorBoard", "path": "${AWAY}"}),
    ("callbacks", "x", {"_target_": "segfield.callbacks.trace.Trace", "path": "config.yaml"}),
    ("trainer", "default_root_dir", "OUT"),
    ("trainer", "profiler", "../outside"),
]


@pytest.mark.parametrize(("group", "name", "value"), PLACES)
def test_no_argument_of_a_library_class_leads_outside(
    cli: Cli, folder: Path, config: dict[str, Any], outside: Path, monkeypatch: pytest.MonkeyPatch, group: str,
    name: str, value: Any,
) -> None:  # fmt: skip
    monkeypatch.setenv("AWAY", str(outside))
    config[group][name] = json.loads(json.dumps(value).replace("OUT", str(outside)))
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    before = sorted(folder.parent.rglob("*"))
    outcome = cli("segfield", "execute", folder)
    assert outcome.code == 2, outcome.err
    assert f"{group}.{name}" in outcome.err
    assert sorted(path for path in folder.parent.rglob("*") if path.suffix not in (".out", ".err")) == before
