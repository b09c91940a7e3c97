"""train.py as a user types it, in a forked child."""

import csv
import hashlib
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

Cli = Callable[..., Any]
TINY = ("debug=fast", "data.size=[32,32]", "data.length=10", "threads=1")


def test_one_command_makes_a_run_folder_with_everything_in_it(cli: Cli, only_run: Callable[[], Path]) -> None:
    outcome = cli("train.py", *TINY, "trainer.max_epochs=2")
    assert outcome.code == 0, outcome.err
    assert "GPU available" not in outcome.err
    assert "Tip" not in outcome.err
    folder = only_run()
    assert folder.parent.name == "unet_small_blobs"
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    expected = "config.yaml environment.yaml status.json metrics.csv trace.csv splits.csv log.txt"
    hydra = {f".hydra/{name}.yaml" for name in ("config", "hydra", "overrides")}
    assert {*expected.split(), *hydra, "checkpoints/best.ckpt", "checkpoints/last.ckpt"} <= names
    assert len(list((folder / "tensorboard").glob("events.*"))) == 1

    status = json.loads((folder / "status.json").read_text())
    assert (status["state"], status["epoch"], status["step"]) == ("finished", 2, 4)
    assert 0 <= status["best"]["val/dice"] <= 1
    with (folder / "metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["step"] for row in rows] == ["1", "3"]
    for stage in ("train", "val"):
        for name in ("loss", "dice", "dice_set", "iou", "accuracy"):
            assert float(rows[0][f"{stage}/{name}"]) >= 0
    assert float(rows[0]["lr"]) == pytest.approx(1e-3)
    assert float(rows[0]["time/images_per_second"]) > 0
    assert (folder / "trace.csv").read_text().count("\n") == 5

    (execution,) = yaml.safe_load((folder / "environment.yaml").read_text())
    assert execution["splits_sha256"] == hashlib.sha256((folder / "splits.csv").read_bytes()).hexdigest()
    assert execution["packages"]["torch"] == torch.__version__.split("+")[0]
    assert execution["placement"]["threads"] == 1
    assert execution["processor"]["capability"]
    torch.load(folder / "checkpoints/best.ckpt", weights_only=True)


def test_config_yaml_is_resolved_and_executes_without_conf(cli: Cli, only_run: Callable[[], Path]) -> None:
    assert cli("train.py", *TINY).code == 0
    folder = only_run()
    text = (folder / "config.yaml").read_text()
    assert "${" not in text
    assert "???" not in text
    again = folder.parent / "again"
    again.mkdir()
    shutil.copy(folder / "config.yaml", again)
    outcome = cli("segfield", "execute", again)
    assert outcome.code == 0, outcome.err
    assert (again / "trace.csv").read_bytes() == (folder / "trace.csv").read_bytes()


def test_a_finished_run_says_so_and_is_not_run_again(cli: Cli, only_run: Callable[[], Path]) -> None:
    assert cli("train.py", *TINY).code == 0
    folder = only_run()
    before = (folder / "metrics.csv").read_bytes()
    outcome = cli("segfield", "execute", folder)
    assert outcome.code == 0
    assert "is finished already" in outcome.err
    assert (folder / "metrics.csv").read_bytes() == before


def test_the_same_command_in_the_same_folder_continues_and_another_is_refused(cli: Cli, tmp_path: Path) -> None:
    where = f"hydra.run.dir={tmp_path / 'run'}"
    assert cli("train.py", *TINY, where).code == 0
    again = cli("train.py", *TINY, where, "data.num_workers=1")
    assert again.code == 0
    assert "is finished already" in again.err
    other = cli("train.py", *TINY, where, "optimizer.lr=0.5")
    assert other.code == 2
    assert "optimizer.lr: 0.001 there, 0.5 now" in other.err
    assert "0.5" not in (tmp_path / "run/.hydra/overrides.yaml").read_text()


def test_a_folder_can_be_named_relative_to_where_the_command_is_typed(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli("train.py", *TINY, "hydra.run.dir=here").code == 0
    assert (tmp_path / "here/status.json").exists()


@pytest.mark.parametrize("model", ["unet", "unet_original", "resnet_unet"])
def test_debug_fast_runs_every_model(cli: Cli, only_run: Callable[[], Path], model: str) -> None:
    width = [] if model == "resnet_unet" else ["model.width=4"]
    outcome = cli("train.py", f"model={model}", *TINY, *width)
    assert outcome.code == 0, outcome.err
    assert json.loads((only_run() / "status.json").read_text())["state"] == "finished"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["optimizer.lr=-1"], r"optimizer or scheduler: Invalid learning rate: -1"),
        (["model.widht=3"], r"widht"),
        (["model=unet_smal"], r"Could not find 'model/unet_smal'"),
        (["modle=unet"], r"Could not override 'modle'"),
        (["+model.foo=1"], r"unexpected keyword argument 'foo'"),
        (["model.padding=reflect"], r"padding"),
        (["model._target_=os.system"], r"os\.system.*whitelist|whitelist.*os\.system"),
        (["trainer.default_root_dir=/tmp"], r"trainer\.default_root_dir=/tmp leads out of the run folder"),
        (["callbacks.best.dirpath=../../best"], r"callbacks\.best\.dirpath=\.\./\.\./best leads out"),
        (["data.batch_size=100"], r"fewer than data\.batch_size=100"),
        (["data.val_fraction=2"], r"data\.val_fraction is a share of the groups"),
        (["task.threshold=7"], r"threshold is a probability.*got 7"),
        (["trainer.devices=2"], r"trainer\.devices=2 .*one device so far"),
        (["trainer.max_epochs=abc"], r"max_epochs"),
        (["trainer.max_epochs=0"], r"trainer\.max_epochs=0 must be a number of epochs"),
        (["trainer.precision=7-bit"], r"trainer: .*7-bit"),
        (["threads=0"], r"threads=0 must be a number of processor cores"),
        (["task.monitor=val/dce"], r"task\.monitor=val/dce is no score of this task: use one of .*val/dice"),
        (["model=unet_original", "model.border=none"], r"got 32x32.*188"),
        (["data.size=100"], r"data\.size is \[H,W\] in pixels"),
        (["data.size=[100.5,64]"], r"data\.size is \[H,W\] in pixels"),
        (["trainer.accumulate_grad_batches=3"], r"data\.batch_size=2 is the global batch"),
        (["data.sample_fraction=0"], r"data\.sample_fraction is a share"),
        (["callbacks.best.monitor=val/dicee"], r"ModelCheckpoint\.monitor=val/dicee is no score of this task"),
        (["trainer.precision=bf16-true"], r"precision=bf16-true: .*bf16-mixed"),
        (["trainer.limit_train_batches=0"], r"trains nothing"),
        (["task.mode=maximum"], r"maximum"),
        (["data.val_fraction=abc"], r"abc|str"),
        (["trainer.max_epochs=???"], r"max_epochs"),
        (["data.in_channels=4"], r"data\.in_channels"),
    ],
)
def test_a_wrong_setting_is_named_and_no_folder_is_left(
    cli: Cli, outputs: Path, arguments: list[str], message: str
) -> None:
    outcome = cli("train.py", *TINY, *arguments)
    assert outcome.code in (1, 2)  # 1: Hydra's own, while composing
    assert re.search(message, outcome.err, re.DOTALL), outcome.err
    assert "Traceback" not in outcome.err
    assert not list(outputs.glob("*/*/*"))


def test_a_misspelt_key_gets_a_suggestion(cli: Cli) -> None:
    outcome = cli("train.py", "optimizer.lrr=1")
    assert "Did you mean" in outcome.err
    assert "lr" in outcome.err
