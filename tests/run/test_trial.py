import os
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from segfield.data.blobs import Blobs
from segfield.data.sample import Sample
from segfield.run import trial
from segfield.run.trial import Errors, try_data, try_devices, try_network, try_schedule

IMAGE = torch.zeros(3, 8, 8)


class Network(nn.Module):
    def __init__(self, result: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.result = result

    def forward(self, image: Tensor) -> Any:
        return self.result(image)


class Counting:
    def __init__(self, optimizer: Any, fails_at: int) -> None:
        self.last_epoch, self.calls, self.fails_at = 0, 0, fails_at

    def step(self) -> None:
        self.last_epoch += 1
        self.calls += 1
        assert self.calls < 2000, "takes too long"
        if self.last_epoch >= self.fails_at:
            raise ValueError(f"step {self.last_epoch}")


def tried(result: Callable[[Tensor], Any], slices: int = 2) -> tuple[Tensor | None, Errors]:
    errors, data = Errors(), Blobs(in_channels=3, out_channels=1, batch_size=2)
    return try_network(Network(result), data, IMAGE, slices, errors), errors


def test_logits_have_the_networks_size_and_one_image() -> None:
    logits, errors = tried(lambda image: image[:, :1, 2:-2, 2:-2])
    assert logits is not None
    assert logits.shape == (1, 1, 4, 4)
    assert logits.device.type == "cpu"
    assert not errors


@pytest.mark.parametrize(
    "result", [lambda image: image[:, :1] * image.sum().item(), lambda image: torch.from_numpy(image.numpy())]
)
def test_a_network_that_the_meta_device_cannot_run_is_not_refused(result: Callable[[Tensor], Any]) -> None:
    assert tried(result) == (None, [])


def test_another_failure_of_the_network_is_named() -> None:
    assert tried(lambda image: image @ torch.zeros(3, 3, device="meta"))[1][0].startswith("model: ")


@pytest.mark.parametrize("result", [lambda image: image, lambda image: image[:, 0]])
def test_logits_of_other_channels_are_refused(result: Callable[[Tensor], Any]) -> None:
    logits, errors = tried(result)
    assert logits is None
    assert "data.out_channels=1 wants [N, 1, H, W]. Use one number" in errors[0]


@pytest.mark.parametrize(("steps", "fails_at"), [(5, 5), (10**6, 10**6), (10**6, 900)])
def test_the_scheduler_is_stepped_to_the_last_step_of_the_run(steps: int, fails_at: int) -> None:
    errors = Errors()
    try_schedule(partial(torch.optim.SGD, lr=1.0), partial(Counting, fails_at=fails_at), steps, errors)
    assert errors == [f"scheduler: step {fails_at}"]


@pytest.mark.parametrize("steps", [5, 10**6])
def test_the_scheduler_is_not_stepped_beyond_the_run(steps: int) -> None:
    errors = Errors()
    try_schedule(partial(torch.optim.SGD, lr=1.0), partial(Counting, fails_at=steps + 1), steps, errors)
    assert errors == []


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_a_sample_of_each_part_is_read(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data, errors, read = Blobs(in_channels=3, batch_size=2, length=9, test_fraction=0.3), Errors(), Blobs.read

    def broken(self: Blobs, sample: Sample, size: Any) -> Any:
        if (sample.id, sample.group, part) in self.split_table():
            raise ValueError(f"{part} is broken")
        return read(self, sample, size)

    monkeypatch.setattr(Blobs, "read", broken)
    try_data(data, 1, 1, errors)
    assert len(errors) == 1
    assert errors[0].startswith(f"data: {part} is broken")


def test_what_goes_wrong_is_told_with_its_kind_where_the_text_alone_says_little() -> None:
    errors = Errors()
    for error in (ZeroDivisionError("by zero"), ValueError("no"), ValueError(), OSError("data.root is gone")):
        with errors.trying("thing"):
            raise error
    assert errors == ["thing: by zero (ZeroDivisionError)", "thing: no", "thing: ValueError", "data.root is gone"]


@pytest.mark.parametrize(
    ("gpus", "devices", "message"),
    [
        (4, 4, ""),
        (4, 8, "trainer.devices=8, and 4 GPUs are here (CUDA_VISIBLE_DEVICES counts). Use trainer.devices=4."),
        (0, 4, ""),
        (
            0,
            5,
            "trainer.devices=5 processes on 2 processor cores .*: at most 4 are started. Use trainer.devices=2, .*",
        ),
    ],
)
def test_more_devices_than_there_are_are_refused(
    monkeypatch: pytest.MonkeyPatch, gpus: int, devices: int, message: str
) -> None:
    monkeypatch.setattr(trial, "gpus", lambda _: gpus)
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    found = list(try_devices({"devices": devices, "accelerator": "auto"}, None))
    assert len(found) == bool(message)
    assert all(re.fullmatch(message.replace("(", r"\(").replace(")", r"\)"), one) for one in found)


def test_batch_norm_that_ranks_on_a_cpu_cannot_synchronise_is_refused_where_it_is_asked_for() -> None:
    trainer = {"devices": 2, "accelerator": "cpu", "sync_batchnorm": True}
    (message,) = try_devices(trainer, nn.BatchNorm2d(2))
    assert message.endswith("or ~trainer.sync_batchnorm.")
    assert list(try_devices(trainer, nn.GroupNorm(1, 2))) == []
    assert list(try_devices({**trainer, "sync_batchnorm": False}, nn.BatchNorm2d(2))) == []
    assert list(try_devices({**trainer, "devices": 1}, nn.BatchNorm2d(2))) == []
