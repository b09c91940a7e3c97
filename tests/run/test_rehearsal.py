"""What check finds by building everything, through the command that a user types."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

Cli = Callable[..., Any]
TINY = ("debug=fast", "data.length=10", "threads=1", "model.width=4")
CALLBACKS = "pytorch_lightning.callbacks"
COSINE = ("+scheduler._target_=torch.optim.lr_scheduler.CosineAnnealingLR", "+scheduler._partial_=true")
ONE_CYCLE = ("+scheduler._target_=torch.optim.lr_scheduler.OneCycleLR", "+scheduler._partial_=true")

DDP = ("trainer=ddp", "trainer.devices=2")
SLICES = ("trainer.accumulate_grad_batches=2", "trainer.limit_train_batches=1.0")  # 8 of them


def stopping(monitor: str, **more: object) -> str:
    words = "".join(f", {key}: {value}" for key, value in more.items())
    return f"+callbacks.stop={{_target_: {CALLBACKS}.EarlyStopping, monitor: {monitor}{words}}}"


@pytest.mark.parametrize(
    ("words", "messages"),
    [
        (["+model.foo=1"], [r"model\.foo is no argument of segfield\.models\.unet\.UNet, which takes in_channels"]),
        (["model.padding=samee"], [r"model\.padding=samee must be one of same, valid; did you mean same\?"]),
        (["+task.seed=3"], [r"task\.seed is passed by the run itself"]),
        (["~task.threshold", "~metrics.metrics", "~callbacks.best"], [r"metrics\.metrics is missing: .*Add \+metrics"]),
        (["optimizer.lr=-1"], [r"optimizer: Invalid learning rate: -1"]),
        ([*COSINE, "+scheduler.T_max=0"], [r"scheduler: .*zero \(ZeroDivisionError\)"]),
        ([*COSINE, "+scheduler.T_max=0", "data.size=[1,2,3]"], [r"scheduler: .*zero", r"data\.size is \[H,W\]"]),
        ([*ONE_CYCLE, "+scheduler.max_lr=0.1", "+scheduler.total_steps=3", "trainer.max_epochs=4"],
         [r"scheduler: Tried to step 4 times"]),
        ([*ONE_CYCLE, "+scheduler.max_lr=0.1", "+scheduler.total_steps=5000", "trainer.max_epochs=2501",
          "task.scheduler_interval=step"], [r"scheduler: Tried to step 500[12] times"]),
        (["data=blobs_shapes", "task=binary"],
         [r"loss, with data\.out_channels=3: BCEDice needs logits \[N, 1, H, W\].*or task=multiclass for several"]),
        (["task=multiclass"],
         [r"loss, with data\.out_channels=1: CEDice needs logits .* of K >= 2 .* K names in data\.classes"]),
        (["data.out_channels=4"],
         [r"data\.out_channels=4 needs as many data\.classes, .* got 2, \[background,blob\]\. Use data\.out_ch"]),
        (["task=multiclass", "data.out_channels=4", "data.classes=[a,b,c,d]"],
         [r"data=blobs draws .* data\.out_channels=4 wants more\. Use data=blobs, or data=blobs_shapes"]),
        (["data=blobs_shapes", "metrics=binary"],
         [r"metrics, with data\.out_channels=3: Dice needs .* K classes want metrics=multiclass"]),
        (["data=blobs_shapes", "metrics.classes=[a,b]"],
         [r"metrics, with data\.out_channels=3: .*\[N, 2, H, W\] for the classes a, b; got \[1, 3, 32, 32\]"]),
        (["data=blobs_shapes", "loss.class_weights=[1,2]"], [r"loss\.class_weights has 2 numbers for 3 classes"]),
        (["data=blobs_shapes", "task.activation.dim=9"], [r"task\.activation: Dimension out of range"]),
        (["data=blobs_shapes", "task.monitor=val/dice_star"], [r"task\.monitor=val/dice_star is no .* val/dice_poly"]),
        (["model.out_channels=2"], [r"The network gives \[2, 2, 32, 32\], data\.out_channels=1 wants \[N, 1, H, W\]"]),
        (["data.in_channels=4"], [r"data: .*data\.in_channels is 4\. Use data\.in_channels=3"]),
        (["model=unet_original", "model.border=none"], [r"model: UNet\(padding=\"valid\"\).*got 32x32\. Use 188x188"]),
        (["data.size=[16,16]", "data.batch_size=1"], [r"model: Expected more than 1 value per channel when training"]),
        (["data.batch_size=100"], [r"data: The training part has 8 samples, fewer than data\.batch_size=100.*\n\Z"]),
        (["trainer.accumulate_grad_batches=3"], [r"data\.batch_size=2 is the global batch.*Use data\.batch_size=3"]),
        (["data.val_fraction=2"], [r"data\.val_fraction is a share of the groups"]),
        (["task.threshold=7"], [r"threshold is a probability.*got 7"]),
        (["task.monitor=val/dce"], [r"task\.monitor=val/dce is no score of this task: use one of .*val/dice",
                                    r"callbacks\.best\.monitor=val/dce is no score"]),
        (["task.monitor=val/loss"],
         [r"task\.mode=max would keep the worst .*: of val/loss the minimum is the best\. Use task\.mode=min\."]),
        (["task.mode=min"], [r"task\.mode=min would .*: of val/dice the maximum is the best\. Use task\.mode=max\."]),
        (["callbacks.best.monitor=train/dice"],
         [r"callbacks\.best\.monitor=train/dice is known at the end of an epoch, .* use one of val/loss.*, val/iou"]),
        ([stopping("train/dice", check_on_train_epoch_end="false")], [r"stop\.monitor=train/dice is known"]),
        ([stopping("train/dice"), "+trainer.val_check_interval=0.5"], [r"stop\.monitor=train/dice is known"]),
        (["scheduler=plateau", "callbacks.plateau.monitor=train/loss"], [r"plateau\.monitor=train/loss is known"]),
        (["trainer.precision=7-bit"], [r"trainer\.precision=7-bit must be one of .*bf16-mixed"]),
        (["trainer.strategy=ddpp"], [r"trainer\.strategy=ddpp is none of auto, ddp, fsdp.* Use trainer\.strategy=ddp"]),
        (["trainer=fsdp"], [r"trainer\.strategy=fsdp shares weights .* GPUs, and there is none\. Use trainer=ddp\."]),
        ([*DDP, "data.batch_size=3"], [r"data\.batch_size=3 is .* devices x accumulation = 2 x 1\. .*batch_size=4"]),
        ([*DDP, "+trainer.sync_batchnorm=true"],
         [r"trainer\.sync_batchnorm=true: torch synchronises batch norm on GPUs only.* Use model\.norm=group"]),
        ([*DDP, "data.length=5"], [r"data: A part of 1 samples cannot .* over 2 devices: .* Use trainer\.devices=1"]),
        (["ranks.timeout=0"], [r"ranks\.timeout=0 is a number of seconds, 1 or more\. Use 300\."]),
        (["ranks.max_restarts=a"], [r"ranks\.max_restarts=a must be a whole number"]),
        (["trainer.limit_train_batches=0.001"], [r"limit_train_batches=0\.001 is less than one batch"]),
        ([f"+callbacks.new._target_={CALLBACKS}.ModelCheckpoint", "+callbacks.new.mode=up"],
         [r"callbacks\.new: `mode` can be .*got up"]),
        (["+callbacks.new._target_=torch.nn.ReLU"], [r"callbacks\.new\._target_=torch\.nn\.ReLU is no Callback\."]),
        ([f"+callbacks.new._target_={CALLBACKS}.LearningRateMonitor", "logger=[]"],
         [r"callbacks\.new has no logger to write to\. Use logger=tensorboard, or remove it: ~callbacks\.new$"]),
        (["+callbacks.best.save_last=true"], [r"callbacks\.best\.save_last writes the best epoch as last\.ckpt, "]),
        (["callbacks.best.filename=last"], [r"callbacks\.best\.filename makes checkpoints/last\.ckpt, which is the "]),
        (["trainer.limit_val_batches=0.01"], [r"limit_val_batches=0\.01 is less than one batch of this data"]),
        (["+trainer.val_check_interval=3"], [r"val_check_interval=3: there are 2 slices\. Use 1\.0"]),
        ([*SLICES, "+trainer.val_check_interval=3"],
         [r"val_check_interval=3 validates after 3 slices, inside a step of 2 .*Use trainer\.val_check_interval=4"]),
        ([*SLICES, "+trainer.val_check_interval=0.2"],
         [r"val_check_interval=0\.2 validates after 1 slices, .*Use trainer\.val_check_interval=2\."]),
        ([*SLICES, "+trainer.val_check_interval=7"], [r"interval=7 .*Use trainer\.val_check_interval=1\.0\."]),
        (["task.activation._target_=torch.nn.MSELoss"], [r"task\.activation: .*forward"]),
        (["task.activation._target_=torch.nn.KLDivLoss"], [r"task\.activation: .*forward"]),
        (["trainer.accelerator=gpuu"], [r"trainer: .*gpuu.* Use trainer\.accelerator=cpu\.$"]),
    ],
)  # fmt: skip
def test_what_cannot_run_is_named(cli: Cli, words: list[str], messages: list[str]) -> None:
    outcome = cli("segfield", "check", *TINY, *words)
    assert outcome.code == 2, outcome.err
    assert "Traceback" not in outcome.err
    for message in messages:
        assert re.search(f"^- .*{message}", outcome.err, re.MULTILINE), outcome.err


@pytest.mark.parametrize(
    "words",
    [
        [stopping("train/dice", mode="max")],
        ["logger=[]"],
        [f"+callbacks.new._target_={CALLBACKS}.LearningRateMonitor"],
        [*SLICES, "+trainer.val_check_interval=4"],
        [*SLICES, "+trainer.val_check_interval=0.5"],
        ["+callbacks.new={_target_: " + CALLBACKS + ".ModelCheckpoint, dirpath: checkpoints, filename: newest}"],
        ["scheduler=plateau"],
        ["model=unet_original", "model.border=none", "data.size=[188,204]"],
        [*COSINE, "+scheduler.T_max=3", "trainer.max_epochs=5000"],
    ],
)
def test_what_can_run_is_not_refused(cli: Cli, words: list[str]) -> None:
    outcome = cli("segfield", "check", *TINY, *words)
    assert outcome.code == 0, outcome.err


@pytest.mark.parametrize("monitor", ["lr", "train/loss_step", "val/dise"])
def test_what_is_no_score_of_an_epoch_is_not_monitored(cli: Cli, monitor: str) -> None:
    outcome = cli("segfield", "check", *TINY, stopping(monitor), f"task.monitor={monitor}")
    assert outcome.code == 2
    assert f"- callbacks.stop.monitor={monitor} is no score of this task: use one of train/loss" in outcome.err
    assert f"- task.monitor={monitor} is no score of this task: use one of train/loss" in outcome.err


def test_a_run_stops_early_on_a_training_score(cli: Cli, outputs: Path) -> None:
    words = [stopping("train/dice", patience=0, min_delta=100), "trainer.max_epochs=5"]
    outcome = cli("train.py", *TINY, *words)
    assert outcome.code == 0, outcome.err
    assert "epoch 2/5" in outcome.err
    assert "epoch 3/5" not in outcome.err


def test_a_gpu_that_is_not_there_is_answered_with_the_processor(cli: Cli) -> None:
    if torch.accelerator.is_available():
        pytest.skip("there is one")
    outcome = cli("segfield", "check", *TINY, "trainer.accelerator=gpu")
    assert "- trainer: No supported gpu backend found! Use trainer.accelerator=cpu.\n" in outcome.err


def test_a_full_disk_is_found_before_the_run(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from segfield.run import rehearsal

    usage = rehearsal.shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr(rehearsal.shutil, "disk_usage", lambda path: usage)
    outcome = cli("segfield", "check", *TINY)
    assert outcome.code == 2
    assert re.search(r"has 0 MB free, the run's checkpoints need up to \d MB\. Make room", outcome.err)


def test_a_class_of_the_environment_that_cannot_be_imported_is_named(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGFIELD_ALLOW", "nowhere.Mine")
    assert "- SEGFIELD_ALLOW names nowhere.Mine, but: " in cli("segfield", "check", *TINY).err
