import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, final

import pytest
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from segfield.callbacks.plateau import Plateau

pytestmark = [
    # A guess about speed; the data here are drawn in no time.
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    # On purpose: what happens on the device is the task's, see task.py.
    pytest.mark.filterwarnings("ignore:You have overridden `on_after_batch_transfer`"),
    # Lightning 2.6.6 with torch 2.15, in every transfer of a batch.
    pytest.mark.filterwarnings("ignore:.*isinstance\\(treespec, LeafSpec\\)"),
]

Fit = Callable[..., pl.Trainer]


@final
class Rates(Callback):
    """Keeps the learning rate of each epoch."""

    def __init__(self) -> None:
        self.rates: list[float] = []

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])


def stand_in(lr: float = 1.0) -> Any:
    """A trainer as far as a plateau looks at one."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(()))], lr=lr)
    return SimpleNamespace(optimizers=[optimizer], callback_metrics={}, sanity_checking=False)


def rates_after(plateau: Plateau, trainer: Any, scores: list[float]) -> list[float]:
    """The learning rate after each of some validations."""
    rates = []
    for score in scores:
        trainer.callback_metrics[plateau.monitor] = torch.tensor(score)
        plateau.on_validation_end(trainer, trainer)
        rates.append(trainer.optimizers[0].param_groups[0]["lr"])
    return rates


def test_a_run_lowers_its_rate_after_patience_epochs_without_improvement(fit: Fit, tmp_path: Path) -> None:
    rates = Rates()
    # Nothing is ten times better than the first epoch, so no later one improves.
    fit(tmp_path, lambda: [rates, Plateau("val/dice", "max", patience=1, threshold=10.0)], max_epochs=6)
    assert rates.rates == pytest.approx([0.01, 0.01, 0.01, 0.001, 0.001, 0.0001])


def test_an_improvement_starts_the_patience_anew() -> None:
    plateau, trainer = Plateau("val/dice", "max", factor=0.5, patience=1), stand_in()
    plateau.on_train_start(trainer, trainer)
    assert rates_after(plateau, trainer, [0.5, 0.4, 0.6, 0.5, 0.5]) == [1.0, 1.0, 1.0, 1.0, 0.5]


def test_a_smaller_loss_is_an_improvement() -> None:
    plateau, trainer = Plateau("val/loss", "min", factor=0.5, patience=0), stand_in()
    plateau.on_train_start(trainer, trainer)
    assert rates_after(plateau, trainer, [0.5, 0.4, 0.3, 0.4]) == [1.0, 1.0, 1.0, 0.5]


def test_the_rate_stops_at_its_minimum() -> None:
    plateau, trainer = Plateau("val/dice", "max", factor=0.1, patience=0, min_lr=0.05), stand_in()
    plateau.on_train_start(trainer, trainer)
    assert rates_after(plateau, trainer, [0.5] * 5) == pytest.approx([1.0, 0.1, 0.05, 0.05, 0.05])


def test_a_sanity_check_is_no_validation() -> None:
    plateau, trainer = Plateau("val/dice", "max", patience=0), stand_in()
    plateau.on_train_start(trainer, trainer)
    trainer.sanity_checking = True
    assert rates_after(plateau, trainer, [0.5, 0.5, 0.5]) == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("cut", range(6))
def test_a_plateau_goes_on_from_its_state_as_if_it_had_never_stopped(cut: int) -> None:
    scores = [0.5, 0.6, 0.6, 0.6, 0.7, 0.7]
    first, trainer = Plateau("val/dice", "max", factor=0.5, patience=1), stand_in()
    first.on_train_start(trainer, trainer)
    whole = rates_after(first, trainer, scores)
    assert sorted(set(whole)) == [0.5, 1.0]

    before, trainer = Plateau("val/dice", "max", factor=0.5, patience=1), stand_in()
    before.on_train_start(trainer, trainer)
    rates = rates_after(before, trainer, scores[:cut])
    file = io.BytesIO()
    torch.save(before.state_dict(), file)
    file.seek(0)
    after, trainer = Plateau("val/dice", "max", factor=0.5, patience=1), stand_in(rates[-1] if rates else 1.0)
    after.load_state_dict(torch.load(file, weights_only=True))
    assert after.state_dict() == before.state_dict()  # of a run that has nothing left to do, and never starts
    after.on_train_start(trainer, trainer)
    assert rates + rates_after(after, trainer, scores[cut:]) == whole
    assert after.state_dict() == first.state_dict()


@pytest.mark.parametrize("factor", [0.0, 1.0, 10.0, -0.1])
def test_a_factor_that_does_not_lower_the_rate_is_refused(factor: float) -> None:
    with pytest.raises(ValueError, match=r"callbacks\.plateau\.factor must be in \(0, 1\) .* got .* Use 0\.1"):
        Plateau("val/dice", "max", factor=factor)


def test_a_score_that_a_validation_does_not_give_is_refused(fit: Fit, tmp_path: Path) -> None:
    given = "val/dice, val/dice_group, val/iou, val/loss"
    with pytest.raises(ValueError, match=rf"monitor=val/jaccard is no score of a validation, which gives {given}\. "):
        fit(tmp_path, lambda: [Plateau("val/jaccard", "max")])
