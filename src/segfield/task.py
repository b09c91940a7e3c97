"""PixelwiseTask: forward, loss and metrics of one value per pixel, for every task.

What differs between segmentation and regression is injected: head, loss, metrics, activation. The order of work on the
device: uint8 -> float in [0, 1] -> augmentation -> standardisation -> network -> centre crop of the truth -> head.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, Protocol, final

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torchmetrics import Metric, MetricCollection

from segfield.metrics import MeanLoss, states
from segfield.seeds import seed_generators, step_seed
from segfield.spatial import centre_crop

Batch = dict[str, Any]
STAGES = ("train", "val", "test")


class Augmentation(Protocol):
    """Changes image, target, valid and weight of a batch; each sample's draw depends on (seed, epoch, index)."""

    def __call__(self, batch: Batch, seed: int, epoch: int) -> Batch:
        """Return the changed batch."""


def is_logged(trainer: pl.Trainer, batch_idx: int) -> bool:
    """Tell in on_train_batch_end whether a step of the optimiser is over that the loggers write, every n-th."""
    over = trainer.is_last_batch or (batch_idx + 1) % trainer.accumulate_grad_batches == 0
    every: int = trainer.log_every_n_steps  # type: ignore[attr-defined]  # set by Lightning's logger connector
    return over and every > 0 and trainer.global_step % every == 0


def log_step(trainer: pl.Trainer, batch_idx: int, scalars: Mapping[str, Tensor | float]) -> None:
    """Give every n-th optimiser's step to the loggers, an epoch's last one to callbacks too, as callback_metrics.

    Call it in on_train_batch_end. Lightning's self.log takes 100 microseconds for each value, also at the steps that no
    logger writes, and for the progress bar it waits for the device.
    """
    if is_logged(trainer, batch_idx):
        for logger in trainer.loggers:
            logger.log_metrics({name: float(value) for name, value in scalars.items()}, trainer.global_step - 1)
    if trainer.is_last_batch:
        trainer.lightning_module.log_dict(dict(scalars), logger=False, on_step=True, on_epoch=False)


@final
class PixelwiseTask(pl.LightningModule):
    """Train and score a network that gives one value, or K logits, per pixel.

    A sample whose `valid` is false everywhere has no part in loss and scores: a loss gives it 0, which no mean counts.

    Args:
        model: maps [N, C, H, W] to logits [N, K, H', W'], H' <= H.
        head: called as head(logits, valid, image) after the crop; what it returns stands in the place of the logits
            for loss, metrics and activation. None: the logits themselves.
        loss: called as loss(logits, target, weight, valid).
        metrics: updated as metrics(logits, target, valid, group); states that ranks can add up or join.
        optimizer: makes an optimiser of parameters.
        scheduler: makes a learning-rate scheduler of an optimiser. A plateau is a callback instead.
        augmentation: applied to training batches only.
        activation: turns logits into what is shown and written: a probability, a density.
        monitor: name of the score that decides which checkpoint is best.
        mode: "max" where a larger score is better.
        threshold: probability above which a pixel is foreground.
        scheduler_interval: step the scheduler every "epoch" or every "step".
        mean: of the image in [0, 1], one number or one per channel.
        std: the same.
        seed: of augmentation and of randomness inside the network.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        *,
        model: nn.Module,
        head: nn.Module | None = None,
        loss: nn.Module,
        metrics: MetricCollection,
        optimizer: Callable[[Iterable[nn.Parameter]], torch.optim.Optimizer],
        scheduler: Callable[[torch.optim.Optimizer], Any] | None = None,
        augmentation: Augmentation | None = None,
        activation: nn.Module,
        monitor: str,
        mode: Literal["max", "min"],
        threshold: float = 0.5,
        scheduler_interval: Literal["epoch", "step"] = "epoch",
        mean: float | Sequence[float] = 0.0,
        std: float | Sequence[float] = 1.0,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not 0 < threshold < 1:
            raise ValueError(f"task.threshold is a probability in (0, 1); got {threshold}. Use task.threshold=0.5.")
        # Convolutions run 1.3 times as fast with channels last on a CPU (docs/measurements.md).
        self.model: nn.Module = model.to(memory_format=torch.channels_last)
        self.head, self.loss, self.activation = head, loss, activation
        # Not "train": a module has a method of that name, which a ModuleDict refuses.
        self.metrics = nn.ModuleDict({f"{stage}/": metrics.clone(prefix=f"{stage}/") for stage in STAGES})
        self.mean_loss = nn.ModuleDict({f"{stage}/": MeanLoss() for stage in STAGES})
        self.monitor, self.mode, self.threshold = monitor, mode, threshold
        self.scheduler_interval, self.seed = scheduler_interval, seed
        self._optimizer, self._scheduler, self._augmentation = optimizer, scheduler, augmentation
        self._train_scores_logged = False
        self._step_values: dict[str, Tensor | float] = {}
        self.register_buffer("mean", torch.as_tensor(mean, dtype=torch.float32).reshape(-1, 1, 1))
        self.register_buffer("std", torch.as_tensor(std, dtype=torch.float32).reshape(-1, 1, 1))
        if not (self.std > 0).all():
            raise ValueError(f"data.std must be positive; got {std}. Use data.std=0.25.")

    def logged_names(self) -> list[str]:
        """Return the names of the scores of an epoch, known before training."""
        return [name for stage in ("train", "val") for name in self._scores(stage)]

    def forward(self, image: Tensor) -> Tensor:
        """Map a standardised image [N, C, H, W] to logits."""
        logits: Tensor = self.model(image)
        return logits

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Seed the step, then turn the batch's image into what the network sees."""
        training = self.trainer.training and not self.trainer.sanity_checking
        if training:
            step = self.trainer.fit_loop.epoch_loop.batch_progress.current.ready
            seed_generators(step_seed(self.seed, self.current_epoch, step, self.global_rank), self.device)
        return self.prepare(batch, augment=training)

    def prepare(self, batch: Batch, *, augment: bool = False) -> Batch:
        """Return the batch with its image as float32, augmented if asked for, standardised, and classes as int64."""
        image = batch["image"]
        batch = {**batch, "image": image.float() / 255 if image.dtype == torch.uint8 else image.float()}
        if "target" in batch and not batch["target"].is_floating_point():
            batch["target"] = batch["target"].long()  # on the device: a loader would move eight times as much
        if augment and self._augmentation is not None:
            batch = self._augmentation(batch, self.seed, self.current_epoch)
        return {**batch, "image": (batch["image"] - self.mean) / self.std}

    def predict_batch(self, batch: Batch) -> tuple[Tensor, Batch]:
        """Return what the head makes of the logits of a prepared batch, and the batch cropped to their centre."""
        return self.finish(self(batch["image"]), batch)

    def finish(self, logits: Tensor, batch: Batch) -> tuple[Tensor, Batch]:
        """Crop image, target, weight and valid of a prepared batch to the logits' centre, and apply the head."""
        size = (logits.shape[-2], logits.shape[-1])
        cropped: Batch = {n: centre_crop(batch[n], size) for n in ("image", "target", "weight", "valid") if n in batch}
        if self.head is not None:
            logits = self.head(logits, cropped.get("valid"), cropped["image"])
        return logits, {**batch, **cropped}

    def on_train_start(self) -> None:
        """Log the scores anew, also where a run goes on inside an epoch, which has no start then."""
        self._train_scores_logged = False

    def on_train_epoch_start(self) -> None:
        """Log the scores anew: Lightning forgets them at an epoch's end."""
        self._train_scores_logged = False

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Free the gradients before the forward pass: Lightning does it after, when activations need the memory too."""
        if batch_idx % self.trainer.accumulate_grad_batches == 0:
            self.zero_grad()

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: torch.optim.Optimizer) -> None:
        """Do nothing: on_train_batch_start has done it."""

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of a batch."""
        loss = self._step(batch, "train", first=not self._train_scores_logged)
        self._train_scores_logged = True
        self._step_values = {"train/loss_step": loss.detach(), "lr": self.trainer.optimizers[0].param_groups[0]["lr"]}
        return loss

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_idx: int) -> None:
        """Write the loss, of the whole batch of all ranks, and the learning rate of every n-th step."""
        if self.trainer.world_size > 1 and (is_logged(self.trainer, batch_idx) or self.trainer.is_last_batch):
            loss = self.trainer.strategy.reduce(self._step_values["train/loss_step"], reduce_op="mean")
            self._step_values["train/loss_step"] = loss
            if self.trainer.is_last_batch:
                # Here the ranks' scores meet, and are kept: whoever asks for them later, even alone, waits for nobody.
                for score in self._scores("train").values():
                    score.compute()
        log_step(self.trainer, batch_idx, self._step_values)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add a batch to the validation scores."""
        self._step(batch, "val", first=batch_idx == 0)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Add a batch to the test scores."""
        self._step(batch, "test", first=batch_idx == 0)

    def predict_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """Return id and group of the batch, and `prediction`: the activation of the logits, float32 [N, K, H', W']."""
        logits, batch = self.predict_batch(batch)
        return {"id": batch["id"], "group": batch["group"], "prediction": self.activation(logits.float())}

    def _step(self, batch: Batch, stage: str, *, first: bool) -> Tensor:
        logits, batch = self.predict_batch(batch)
        target, valid = batch["target"], batch.get("valid")
        loss: Tensor = self.loss(logits, target, batch.get("weight"), valid)
        self._mean_loss(stage).update(loss.detach(), len(target), valid)
        self._collection(stage).update(logits.detach(), target, valid, batch["group"])
        if first:  # from then on Lightning has the metrics; it computes them at the end of the epoch
            for name, score in self._scores(stage).items():
                self.log(name, score, on_step=False, on_epoch=True, prog_bar=name == self.monitor, batch_size=1)
        return loss

    def _mean_loss(self, stage: str) -> MeanLoss:
        mean_loss = self.mean_loss[f"{stage}/"]
        assert isinstance(mean_loss, MeanLoss)
        return mean_loss

    def _collection(self, stage: str) -> MetricCollection:
        collection = self.metrics[f"{stage}/"]
        assert isinstance(collection, MetricCollection)
        return collection

    def configure_optimizers(self) -> Any:
        """Make the optimiser and, if there is one, its scheduler."""
        optimizer = self._optimizer(self.parameters())
        if self._scheduler is None:
            return optimizer
        schedule = {"scheduler": self._scheduler(optimizer), "interval": self.scheduler_interval}
        return {"optimizer": optimizer, "lr_scheduler": schedule}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the half-accumulated scores of a training epoch, which are no part of the weights."""
        checkpoint["train_metrics"] = states.gather(self._scores("train"))

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the scores where the checkpoint left them."""
        saved = checkpoint.get("train_metrics", [])
        states.take_up(self._scores("train"), [saved] if isinstance(saved, dict) else saved)  # before there were ranks

    def _scores(self, stage: str) -> dict[str, Metric]:
        """Return the mean loss and the metrics of a stage by the names under which they are logged."""
        scores = self._collection(stage).items(copy_state=False)
        return {f"{stage}/loss": self._mean_loss(stage), **{str(name): score for name, score in scores}}
