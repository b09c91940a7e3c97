"""ReduceLROnPlateau, stepped after every validation.

Lightning does not step it at the end of a resumed epoch; here its state travels with the checkpoint.
"""

from typing import Any, Literal, final

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from torch.optim.lr_scheduler import ReduceLROnPlateau


@final
class Plateau(Callback):
    """Lower the learning rate when the monitored score stops improving.

    Args:
        monitor: name of the score.
        mode: "max" where larger is better.
        factor: of the learning rate at each reduction.
        patience: epochs without improvement before a reduction.
        min_lr: the learning rate never goes below.
        threshold: relative change that counts as an improvement.

    Raises:
        ValueError: if the factor is not in (0, 1), or a validation does not give the monitored score.
    """

    def __init__(
        self,
        monitor: str,
        mode: Literal["max", "min"],
        factor: float = 0.1,
        patience: int = 2,
        min_lr: float = 1e-7,
        threshold: float = 1e-4,
    ) -> None:
        if not 0 < factor < 1:
            raise ValueError(f"callbacks.plateau.factor must be in (0, 1) to lower the rate; got {factor}. Use 0.1.")
        self.monitor = monitor
        self._arguments: dict[str, Any] = {
            "mode": mode,
            "factor": factor,
            "patience": patience,
            "min_lr": min_lr,
            "threshold": threshold,
        }
        self._scheduler: ReduceLROnPlateau | None = None
        self._state: dict[str, Any] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Attach to the optimiser, with the state of the checkpoint if there is one."""
        self._scheduler = ReduceLROnPlateau(trainer.optimizers[0], **self._arguments)
        if self._state:
            self._scheduler.load_state_dict(self._state)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Step with the score of this validation."""
        if trainer.sanity_checking or self._scheduler is None:
            return
        if self.monitor not in trainer.callback_metrics:
            given = ", ".join(sorted(name for name in trainer.callback_metrics if name.startswith("val/")))
            raise ValueError(
                f"callbacks.plateau.monitor={self.monitor} is no score of a validation, which gives {given}. "
                "Use callbacks.plateau.monitor=val/loss with callbacks.plateau.mode=min."
            )
        self._scheduler.step(float(trainer.callback_metrics[self.monitor]))

    def state_dict(self) -> dict[str, Any]:
        """Return the scheduler's state, numbers only."""
        return self._state if self._scheduler is None else self._scheduler.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Keep the state until training starts."""
        self._state = state_dict
