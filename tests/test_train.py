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
        (["seed=null"], r"^- seed=null must be a whole number"),
        (["optimizer.lr=-1"], r"^- optimizer: Invalid learning rate: -1"),
        (["model.widht=3"], r"^- Could not override 'model\.widht'.*Did you mean: 'width'\?"),
        (["model=unet_smal"], r"^- model=unet_smal: conf/model/ has .*; did you mean unet_small\?"),
        (["--config-name=nope"], r"^- .*'nope'"),
        (["modle=unet"], r"^- Could not override 'modle'"),
        (["model==unet"], r"^- 'model==unet' is no override\. Write group=option"),
        (["logger=null"], r"^- logger=null: Hydra takes no null for a group\. Leave the group out with 'logger=\[\]'"),
        (
            ["model.width=${data.widht}"],
            r"^- model\.width=\$\{data\.widht\} does not resolve: .*'data\.widht' not found",
        ),
        (["trainer.max_epochs=???"], r"^- trainer\.max_epochs must be given"),
        (["model._target_=os.system"], r"^- model\._target_=os\.system is not allowed"),
    ],
)
def test_a_wrong_setting_is_named_and_no_folder_is_left(
    cli: Cli, outputs: Path, arguments: list[str], message: str
) -> None:
    outcome = cli("train.py", *TINY, *arguments)
    assert outcome.code == 2
    assert outcome.err.startswith("This run cannot start:\n")
    assert re.search(message, outcome.err, re.MULTILINE), outcome.err
    assert "Traceback" not in outcome.err
    assert not list(outputs.glob("*/*/*"))


def test_what_hydra_refuses_and_what_check_refuses_stand_in_one_list(cli: Cli) -> None:
    outcome = cli("train.py", *TINY, "optimizer.lrr=1", "model=unet_smal", "data.in_channels=???", "optimizer.lr=-1")
    assert outcome.code == 2
    for start in ("Could not override 'optimizer.lrr'", "model=unet_smal", "data.in_channels", "model.in_channels"):
        assert f"\n- {start}" in outcome.err
    assert "model.in_channels=${data.in_channels} needs a value that must be given" in outcome.err
    assert outcome.err.count("\n- ") == 5
    assert outcome.err.count("cannot start") == 1


@pytest.mark.parametrize("mode", [[], ["-m"]], ids=["run", "sweep"])
def test_a_place_where_no_folder_can_be_made_is_one_clear_line(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: list[str]
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("SEGFIELD_OUTPUTS", str(tmp_path / "file"))
    outcome = cli("train.py", *mode, *TINY)
    assert outcome.code == 2
    header, line = outcome.err.splitlines()
    assert header == "This run cannot start:"
    assert re.match(
        rf"- {tmp_path}/file/\S+: Not a directory\. Choose another place with SEGFIELD_OUTPUTS=<folder>", line
    )


def test_a_run_that_fails_exits_with_1(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "failing.py").write_text(
        "from pytorch_lightning.callbacks import Callback\n"
        "class Fail(Callback):\n"
        "    def on_train_start(self, trainer, pl_module):\n"
        "        raise ValueError('it broke')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("SEGFIELD_ALLOW", "failing.Fail")
    outcome = cli("train.py", *TINY, "+callbacks.fail._target_=failing.Fail")
    assert outcome.code == 1
    assert "it broke" in outcome.err
    assert "cannot start" not in outcome.err
