"""PixelwiseTask: forward, loss and metrics of one value per pixel, for every task.

What differs between segmentation and regression is injected: loss, metrics, activation. The order of work on the
device: uint8 -> float in [0, 1] -> augmentation -> standardisation -> network -> centre crop of the truth.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, Protocol, final

import pytorch_lightning as pl
import torch
from torch import Tensor, nn
from torchmetrics import MeanMetric, Metric, MetricCollection

from segfield.spatial import centre_crop

Batch = dict[str, Any]
STAGES = ("train", "val", "test")


class Augmentation(Protocol):
    """Changes image, target, valid and weight of a batch; each sample's draw depends on (seed, epoch, index)."""

    def __call__(self, batch: Batch, seed: int, epoch: int) -> Batch:
        """Return the changed batch."""


def step_seed(*key: int) -> int:
    """Derive the seed of torch's generators from numbers such as (seed, epoch, step, rank)."""
    return int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:8], "little") >> 1


@final
class PixelwiseTask(pl.LightningModule):
    """Train and score a network that gives one value, or K logits, per pixel.

    Args:
        model: maps [N, C, H, W] to logits [N, K, H', W'], H' <= H.
        loss: called as loss(logits, target, weight, valid).
        metrics: updated as metrics(logits, target, valid, group); sum states only.
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
        self.loss, self.activation = loss, activation
        # Not "train": a module has a method of that name, which a ModuleDict refuses.
        self.metrics = nn.ModuleDict({f"{stage}/": metrics.clone(prefix=f"{stage}/") for stage in STAGES})
        self.mean_loss = nn.ModuleDict({f"{stage}/": MeanMetric() for stage in STAGES})
        self.monitor, self.mode, self.threshold = monitor, mode, threshold
        self.scheduler_interval, self.seed = scheduler_interval, seed
        self._optimizer, self._scheduler, self._augmentation = optimizer, scheduler, augmentation
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
            torch.manual_seed(step_seed(self.seed, self.current_epoch, step, self.global_rank))
        return self.prepare(batch, augment=training)

    def prepare(self, batch: Batch, *, augment: bool = False) -> Batch:
        """Return the batch with its image as float32, augmented if asked for, standardised."""
        image = batch["image"]
        batch = {**batch, "image": image.float() / 255 if image.dtype == torch.uint8 else image.float()}
        if augment and self._augmentation is not None:
            batch = self._augmentation(batch, self.seed, self.current_epoch)
        return {**batch, "image": (batch["image"] - self.mean) / self.std}

    def predict_batch(self, batch: Batch) -> tuple[Tensor, Batch]:
        """Return logits and the prepared batch with target, weight and valid cropped to the logits' centre."""
        logits = self(batch["image"])
        size = logits.shape[-2:]
        cropped: Batch = {n: centre_crop(batch[n], size) for n in ("target", "weight", "valid") if n in batch}
        return logits, {**batch, **cropped}

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the loss of a batch."""
        loss = self._step(batch, "train")
        self.log("train/loss_step", loss, on_step=True, on_epoch=False, prog_bar=True)
        self.log("lr", self.trainer.optimizers[0].param_groups[0]["lr"], on_step=True, on_epoch=False)
        return loss

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Add a batch to the validation scores."""
        self._step(batch, "val")

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Add a batch to the test scores."""
        self._step(batch, "test")

    def _step(self, batch: Batch, stage: str) -> Tensor:
        logits, batch = self.predict_batch(batch)
        target, valid = batch["target"], batch.get("valid")
        loss: Tensor = self.loss(logits, target, batch.get("weight"), valid)
        scores = self._scores(stage)
        scores[f"{stage}/loss"].update(loss.detach(), len(target))
        self._collection(stage).update(logits.detach(), target, valid, batch["group"])
        for name, score in scores.items():
            self.log(name, score, on_step=False, on_epoch=True, prog_bar=name == self.monitor, batch_size=len(target))
        return loss

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
        checkpoint["train_metrics"] = {
            name: {state: getattr(metric, state).detach().clone() for state in metric._defaults}
            for name, metric in self._scores("train").items()
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take up the scores where the checkpoint left them."""
        for name, metric in self._scores("train").items():
            for state, value in checkpoint.get("train_metrics", {}).get(name, {}).items():
                setattr(metric, state, value.to(self.device))
                metric._update_count = 1  # else compute() warns that nothing was added yet

    def _scores(self, stage: str) -> dict[str, Metric]:
        """Return the mean loss and the metrics of a stage by the names under which they are logged."""
        mean_loss = self.mean_loss[f"{stage}/"]
        assert isinstance(mean_loss, Metric)
        return {f"{stage}/loss": mean_loss, **{str(n): m for n, m in self._collection(stage).items()}}
