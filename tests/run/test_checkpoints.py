"""What a run goes on from, and what it says about files that cannot be used."""

import json
import logging
import os
import pickle
import re
import shutil
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from torch import nn
from torchmetrics import MetricCollection

from segfield.losses import BCEDice
from segfield.metrics import Dice
from segfield.models.unet import UNet
from segfield.run.checkpoints import Start, starting_point
from segfield.task import PixelwiseTask

LAST, PREVIOUS, BEST = (Path(f"checkpoints/{name}.ckpt") for name in ("last", "previous", "best"))


ADAMW = partial(torch.optim.AdamW, lr=0.01)
MOMENTUM = partial(torch.optim.SGD, lr=0.01, momentum=0.9)
COSINE = partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=3)


def task_of(width: int = 4, optimizer: Any = ADAMW, scheduler: Any = None) -> PixelwiseTask:
    return PixelwiseTask(
        model=UNet(3, 1, width=width, depth=2),
        loss=BCEDice(),
        metrics=MetricCollection({"dice": Dice()}),
        optimizer=optimizer,
        scheduler=scheduler,
        activation=nn.Sigmoid(),
        monitor="val/dice",
        mode="max",
    )


def content_of(task: PixelwiseTask, step: int, epoch: int = 1, batches: int = 0) -> dict[str, Any]:
    """A checkpoint as Lightning writes it, after one step of the optimiser."""
    configured = task.configure_optimizers()
    optimizer = configured["optimizer"] if isinstance(configured, dict) else configured
    task.model(torch.zeros(1, 3, 32, 32)).sum().backward()
    optimizer.step()
    parts = {"state_dict": task.state_dict(), "optimizer_states": [optimizer.state_dict()], "callbacks": {}}
    schedulers: list[Any] = [{}] if isinstance(configured, dict) else []
    place = {"epoch": epoch, "batches": batches}
    return {**parts, "loops": {"fit_loop": {}}, "lr_schedulers": schedulers, "global_step": step, "position": place}


@pytest.fixture
def task() -> PixelwiseTask:
    return task_of()


@pytest.fixture
def folder(task: PixelwiseTask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> Path:
    """A run killed in step 120: last.ckpt of step 110, previous.ckpt of 100, best.ckpt of 90, an end of an epoch."""
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.INFO)
    LAST.parent.mkdir()
    torch.save(content_of(task, 110, 3, 20), LAST)
    torch.save(content_of(task, 100, 3, 10), PREVIOUS)
    torch.save(content_of(task, 90, 3, 0), BEST)
    Path("status.json").write_text(json.dumps({"state": "running", "step": 90}))
    Path("trace.csv").write_text("epoch,step,loss\n3,118,0.5\n3,119,0.4\n3,12")
    Path("metrics.csv").write_text("epoch,step,val/dice\n0,29,0.1\n1,59,0.2\n2,89,0.3\n")
    return tmp_path


def flip(path: Path) -> None:
    """Turn one bit in the middle of the weights."""
    with zipfile.ZipFile(path) as file:
        entry = max(file.infolist(), key=lambda info: info.file_size)
    data = bytearray(path.read_bytes())
    data[entry.header_offset + 200] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1000)


class Hostile:
    def __reduce__(self) -> Any:
        return os.system, ("touch evidence",)


def writes(**other: Any) -> Callable[[Path], None]:
    return lambda path: torch.save(content_of(task_of(**other), 110), path)


def change(**entries: Any) -> Callable[[Path], None]:
    def call(path: Path) -> None:
        content = torch.load(path, weights_only=True) | entries
        torch.save({name: value for name, value in content.items() if value is not None}, path)

    return call


def halve(path: Path) -> None:
    content = torch.load(path, weights_only=True)
    content["state_dict"] = {name: value.half() for name, value in content["state_dict"].items()}
    torch.save(content, path)


def test_without_a_checkpoint_a_run_starts_at_step_0(task: PixelwiseTask, folder: Path, caplog: Any) -> None:
    shutil.rmtree("checkpoints")
    assert starting_point(task) is None
    assert caplog.messages == []


def test_a_good_last_checkpoint_is_taken_and_nothing_is_said(task: PixelwiseTask, folder: Path, caplog: Any) -> None:
    torch.save(content_of(task, 115, 3, 25), BEST)  # of a validation after last.ckpt
    assert starting_point(task) == Start(LAST, 110, 3, 20)
    assert caplog.messages == []


NOT_OURS = "its optimiser's state is not of this run's AdamW"
OTHER = {
    "flipped": (flip, r"damaged: the checksum of \S+ in it is wrong"),
    "cut": (cut, r"damaged, cut short or no checkpoint: \d+ bytes, BadZipFile: File is not a zip file"),
    "pickle": (lambda path: path.write_bytes(pickle.dumps(Hostile())), "no checkpoint: .* File is not a zip file"),
    "hostile": (
        lambda path: torch.save({"state_dict": Hostile()}, path),
        r"it asks for posix\.system, and a checkpoint that brings code is not loaded",
    ),
    "tensor": (lambda path: torch.save(torch.zeros(3), path), "no checkpoint of a run: it holds a Tensor"),
    "only weights": (change(optimizer_states=None, loops=None), "no optimizer_states, loops in it"),
    "no place": (change(position=None), "written inside a step: it holds weights, not the place"),
    "no counters": (change(loops={}), "no checkpoint of a run: no loops of training in it"),
    "odd place": (change(position={"epoch": "1", "batches": -1}), "written inside a step"),
    "model": (
        writes(width=8),
        r"a checkpoint of another model: \d+ of \d+ weights differ, first model\.\S+: \(8, 3, 3, 3\) "
        r"torch\.float32 in the file, \(4, 3, 3, 3\) torch\.float32 in this model",
    ),
    "types": (
        halve,
        r"another model: \d+ of \d+ weights differ, first mean: \(1, 1, 1\) torch\.float16 in the file",
    ),
    "names": (change(state_dict={"x": 1}), r"another model: \d+ of \d+ weights differ, first \S+: absent in the file"),
    "optimiser": (writes(optimizer=MOMENTUM), NOT_OURS),
    "odd optimiser": (change(optimizer_states=[[1, 2]]), NOT_OURS),
    "moments": (change(optimizer_states=content_of(task_of(width=8), 110)["optimizer_states"]), NOT_OURS),
    "scheduler": (writes(scheduler=COSINE), "it holds 1 schedulers, this run has 0"),
}


@pytest.mark.parametrize(("damage", "reason"), OTHER.values(), ids=OTHER)
def test_a_last_checkpoint_that_cannot_be_used_is_put_aside_and_the_run_goes_back_to_the_previous_one(
    task: PixelwiseTask, folder: Path, caplog: Any, damage: Callable[[Path], None], reason: str
) -> None:
    damage(LAST)
    content = LAST.read_bytes()
    assert starting_point(task) == Start(PREVIOUS, 100, 3, 10)
    refused, back = caplog.messages
    assert re.search(
        rf"checkpoints/last\.ckpt cannot be used: .*{reason}.* It is kept as \S+last\.ckpt\.damaged", refused
    )
    assert back == "going back from step 120 to step 100, checkpoints/previous.ckpt: 20 steps are computed again"
    assert not LAST.exists()
    assert Path("checkpoints/last.ckpt.damaged").read_bytes() == content
    assert not Path("evidence").exists()


def test_a_second_damaged_file_does_not_replace_the_first(task: PixelwiseTask, folder: Path) -> None:
    for text in ("one", "two"):
        LAST.write_text(text)
        starting_point(task)
    assert Path("checkpoints/last.ckpt.damaged").read_text() == "one"
    assert Path("checkpoints/last.ckpt.damaged1").read_text() == "two"


def test_without_others_a_run_goes_back_to_its_best(task: PixelwiseTask, folder: Path, caplog: Any) -> None:
    cut(LAST)
    PREVIOUS.unlink()
    assert starting_point(task) == Start(BEST, 90, 3, 0)
    assert (
        caplog.messages[-1] == "going back from step 120 to step 90, checkpoints/best.ckpt: 30 steps are computed again"
    )


@pytest.mark.parametrize(("step", "batches"), [(90, 0), (105, 15)], ids=["an epoch's end", "inside an epoch"])
def test_a_best_checkpoint_newer_than_the_previous_one_is_taken(
    task: PixelwiseTask, folder: Path, step: int, batches: int
) -> None:
    flip(LAST)
    torch.save(content_of(task, 80, 2, 20), PREVIOUS)
    torch.save(content_of(task, step, 3, batches), BEST)
    assert starting_point(task) == Start(BEST, step, 3, batches)


def test_a_best_checkpoint_without_its_epochs_row_comes_last(task: PixelwiseTask, folder: Path, caplog: Any) -> None:
    flip(LAST)
    torch.save(content_of(task, 120, 4, 0), BEST)
    assert starting_point(task) == Start(PREVIOUS, 100, 3, 10)
    PREVIOUS.unlink()
    assert starting_point(task) == Start(BEST, 120, 4, 0)
    assert "metrics.csv and TensorBoard may lack the scores of epoch 4" in caplog.messages[-1]


def test_a_run_killed_in_its_first_epochs_end_starts_again(task: PixelwiseTask, folder: Path, caplog: Any) -> None:
    LAST.unlink()
    PREVIOUS.unlink()
    torch.save(content_of(task, 120, 1, 0), BEST)
    assert starting_point(task) is None
    assert caplog.messages == [
        "starting again from step 0: there is no last.ckpt, and checkpoints/best.ckpt is no start: "
        "its epoch did not come to an end"
    ]
    change(optimizer_states=None)(BEST)  # ModelCheckpoint(save_weights_only=True)
    assert starting_point(task) is None
    assert caplog.messages[-1].endswith("is no start: it holds weights, but no optimizer_states")


def test_a_best_checkpoint_that_is_no_start_is_left_where_it_is(task: PixelwiseTask, folder: Path) -> None:
    change(position=None)(BEST)
    assert starting_point(task) == Start(LAST, 110, 3, 20)
    assert BEST.exists()


def test_a_damaged_best_checkpoint_is_put_aside(task: PixelwiseTask, folder: Path, caplog: Any) -> None:
    flip(BEST)
    assert starting_point(task) == Start(LAST, 110, 3, 20)
    assert "the best epoch so far is lost" in caplog.messages[-1]
    assert Path("checkpoints/best.ckpt.damaged").exists()
    assert not BEST.exists()


def test_where_no_checkpoint_is_good_all_are_named_and_none_is_touched(task: PixelwiseTask, folder: Path) -> None:
    flip(LAST)
    cut(PREVIOUS)
    change(position=None)(BEST)
    before = {path: path.read_bytes() for path in LAST.parent.iterdir()}
    with pytest.raises(ValueError, match="none of its checkpoints can be used") as error:
        starting_point(task)
    lines = str(error.value).splitlines()
    assert [line.split(":")[0].strip() for line in lines[1:4]] == [str(path) for path in (LAST, PREVIOUS, BEST)]
    assert lines[4].endswith("or delete the folder checkpoints to start over from step 0.")
    assert {path: path.read_bytes() for path in LAST.parent.iterdir()} == before


def test_a_checkpoint_that_may_not_be_read_stops_the_run(
    task: PixelwiseTask, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zipfile, "ZipFile", Mock(side_effect=PermissionError(13, "Permission denied", str(LAST))))
    with pytest.raises(PermissionError, match=r"Permission denied: 'checkpoints/last\.ckpt'"):
        starting_point(task)
    assert LAST.exists()
