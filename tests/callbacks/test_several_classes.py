"""Scores of several classes over a kill: what was half accumulated goes on."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, final

import pytest
import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from segfield.data.blobs import Blobs
from segfield.models.unet import UNet

pytestmark = [
    # A guess about speed; the data here are drawn in no time.
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    # On purpose: what happens on the device is the task's, see task.py.
    pytest.mark.filterwarnings("ignore:You have overridden `on_after_batch_transfer`"),
    # Lightning 2.6.6 with torch 2.15, in every transfer of a batch.
    pytest.mark.filterwarnings("ignore:.*isinstance\\(treespec, LeafSpec\\)"),
    # A guess too: the sampler starts at the checkpoint's position.
    pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before the epoch"),
    # A run that goes on finds its own files.
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty"),
]
NAMES = ["background", "ellipse", "polygon"]


@final
class Kill(Callback):
    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any) -> None:
        if trainer.global_step == 5:  # the second of an epoch's three steps
            os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_a_run_of_several_classes_killed_inside_an_epoch_is_the_run_that_was_never_killed(
    fit: Callable[..., pl.Trainer],
    all_callbacks: Callable[..., Callable[[], list[Callback]]],
    differences: Callable[[Path, Path], list[str]],
    forked: Callable[[Callable[[], object]], tuple[int, str]],
    tmp_path: Path,
) -> None:
    make = all_callbacks(1)

    def train(folder: str, *more: Callback) -> tuple[int, str]:
        data = Blobs(in_channels=3, out_channels=3, classes=NAMES, length=15, size=[32, 32], batch_size=4, seed=3)
        network = lambda: UNet(3, 3, width=4, depth=2, dropout=0.3)  # noqa: E731
        return forked(
            lambda: fit(
                tmp_path / folder, lambda: [*more, *make()], data=data, network=network, several=NAMES, tensorboard=True
            )
        )

    assert train("whole") == (0, "")
    assert train("killed", Kill())[0] == -signal.SIGKILL
    assert train("killed") == (0, "")
    assert differences(tmp_path / "whole", tmp_path / "killed") == []
    assert "train/dice_polygon" in (tmp_path / "whole/metrics.csv").read_text()
