from collections.abc import Callable
from pathlib import Path
from typing import Any, final

import numpy as np
import pytest
import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from segfield.callbacks.last_checkpoint import LastCheckpoint
from segfield.callbacks.trace import Trace
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
]

Fit = Callable[..., pl.Trainer]


@final
class Watch(Callback):
    """Keeps the loss of each batch and the number of rows in trace.csv then; fails at a step if asked to."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.fail_at = fail_at
        self.losses: list[Any] = []
        self.rows: list[int] = []
        self.rows_when_saving: list[tuple[int, int]] = []

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.losses.append(outputs["loss"].numpy())
        self.rows.append(len(rows_of(Path())))
        if trainer.global_step == self.fail_at:
            raise ZeroDivisionError

    def on_save_checkpoint(self, trainer: pl.Trainer, *_: Any) -> None:
        self.rows_when_saving.append((trainer.global_step, len(rows_of(Path()))))


def rows_of(folder: Path) -> list[list[str]]:
    header, *rows = (folder / "trace.csv").read_text().splitlines()
    assert header == "epoch,step,loss"
    return [row.split(",") for row in rows]


def test_each_step_has_a_row_with_its_loss_to_the_last_bit(fit: Fit, tmp_path: Path) -> None:
    watch = Watch()
    fit(tmp_path, lambda: [Trace(), watch])
    expected = [[str(step // 3), str(step), str(loss)] for step, loss in enumerate(watch.losses)]
    assert rows_of(tmp_path) == expected
    assert all(np.float32(loss) == loss.item() for loss in watch.losses)


def test_accumulated_batches_share_a_row_with_their_mean_loss(fit: Fit, tmp_path: Path) -> None:
    watch = Watch()
    fit(tmp_path, lambda: [Trace(), watch], accumulate_grad_batches=2)
    parts = np.array(watch.losses).reshape(6, 2)  # Lightning has halved them
    expected = [[str(step // 3), str(step), str(part.sum())] for step, part in enumerate(parts)]
    assert rows_of(tmp_path) == expected


def test_accumulation_does_not_change_the_loss_of_the_global_batch(fit: Fit, tmp_path: Path) -> None:
    def network() -> UNet:
        return UNet(3, 1, width=4, depth=2, norm="group")

    first = []
    for accumulate in (1, 2, 4):
        folder = tmp_path / str(accumulate)
        fit(folder, lambda: [Trace()], network=network, accumulate_grad_batches=accumulate, limit_val_batches=0)
        first.append(float(rows_of(folder)[0][2]))
    assert first == pytest.approx([first[0]] * 3, rel=1e-5)


def test_an_epoch_cut_inside_a_global_batch_still_has_a_row_per_step(fit: Fit, tmp_path: Path) -> None:
    watch = Watch()
    trainer = fit(tmp_path, lambda: [Trace(), watch], accumulate_grad_batches=2, limit_train_batches=3)
    rows = rows_of(tmp_path)
    assert [(int(epoch), int(step)) for epoch, step, _ in rows] == [(0, 0), (0, 1), (1, 2), (1, 3)]
    assert trainer.global_step == 4
    assert rows[1][2] == str(2 * watch.losses[2]), "the mean of the one batch there was"


def test_rows_are_written_in_blocks_and_at_the_end_of_an_epoch(fit: Fit, tmp_path: Path) -> None:
    watch = Watch()
    fit(tmp_path, lambda: [Trace(block=2), watch])
    assert watch.rows == [0, 2, 2, 3, 5, 5]
    assert len(rows_of(tmp_path)) == 6


def test_the_file_is_never_behind_a_checkpoint(fit: Fit, tmp_path: Path) -> None:
    watch = Watch()
    fit(tmp_path, lambda: [Trace(), watch, LastCheckpoint(every_n_steps=1)])
    assert watch.rows_when_saving == [(step, step) for step in range(1, 6)]


def test_an_error_leaves_the_rows_of_the_steps_before_it(fit: Fit, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        fit(tmp_path, lambda: [Trace(), Watch(fail_at=5)])
    assert [step for _, step, _ in rows_of(tmp_path)] == list("01234")


def test_a_run_that_starts_again_without_a_checkpoint_begins_a_new_file(fit: Fit, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        fit(tmp_path, lambda: [Trace(), Watch(fail_at=5)])
    fit(tmp_path, lambda: [Trace()])
    assert [step for _, step, _ in rows_of(tmp_path)] == list("012345")


def test_what_is_missing_before_the_checkpoint_is_told(
    fit: Fit, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(ZeroDivisionError):
        fit(tmp_path, lambda: [Trace(), Watch(fail_at=5), LastCheckpoint(every_n_steps=2)])
    lines = (tmp_path / "trace.csv").read_text().splitlines(keepends=True)
    (tmp_path / "trace.csv").write_text("".join(lines[:2] + lines[3:]))
    fit(tmp_path, lambda: [Trace(), LastCheckpoint()])
    assert "trace.csv lacks 1 of 4 steps, the first of them 1" in caplog.messages
    assert [step for _, step, _ in rows_of(tmp_path)] == list("02345")
