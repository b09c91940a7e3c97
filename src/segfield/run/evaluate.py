"""evaluate(folder): a run that has ended, scored again from best.ckpt, at the working size and at the images' own.

The trainer's own validation does the work, on the batches of the training's validation, so that the scores at the
working size are the bits that training logged. Images are read again at their own size one at a time.
"""

import contextlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, final

import pytorch_lightning as pl
import torch
from torch import Tensor

from segfield.data.loader import load
from segfield.data.sampler import EpochBatches
from segfield.files import clear_temporaries
from segfield.metrics import cutoff
from segfield.metrics.counts import count_classes
from segfield.metrics.density import DensityScores
from segfield.metrics.multiclass import predicted_class
from segfield.processes import CODES
from segfield.run import ranks, trained
from segfield.run.bar import Tick, bar
from segfield.run.environment import read_environment
from segfield.run.evaluation import Evaluation
from segfield.run.extremes import FOLDER, Scored
from segfield.run.interrupt import terminable
from segfield.run.lock import locked
from segfield.run.log import logged
from segfield.spatial import centre_crop, to_own_size

_log = logging.getLogger(__name__)
PARTS = ("test", "val", "train")


def evaluate(folder: str | Path, part: str | None = None, placement: Sequence[str] = ()) -> dict[str, Any]:
    """Score a part of a run's data and write evaluation/ in its folder.

    Args:
        folder: of a run that has ended.
        part: "test", "val" or "train"; None: test where the split has one, else val.
        placement: key=value of placement keys.

    Returns:
        The part's entry of summary.json.

    Raises:
        FileNotFoundError: if there is no run, no best.ckpt, no data.
        LockedError: if another process works in the folder.
        ValueError: if the run has not ended, a file of its data has changed, or the split has no such part.
        SystemExit: 130 or 143 after SIGINT or SIGTERM; nothing but the log is written then.
    """
    folder = Path(folder).absolute()
    config = trained.as_trained(folder, placement)
    if part is not None and part not in PARTS:
        raise ValueError(f"data.part={part} is no part of a split. Use one of {', '.join(PARTS)}.")
    with locked(folder), contextlib.chdir(folder), logged("log.txt"), terminable():
        clear_temporaries(FOLDER)
        run = trained.restored(config)
        part = _held(run.data, part)
        try:
            if isinstance(run.task.metrics["val/"], DensityScores):  # with a head or without
                return _score_densities(run, part)
            with Evaluation(run, part) as evaluation:
                evaluation.logged = _validated(run, part, _Pixels(run.data, evaluation))
                return evaluation.conclude()
        except (KeyboardInterrupt, SystemExit) as stop:  # Lightning turns Ctrl-C into exit code 1
            _log.info("interrupted: evaluation/ is as it was")
            raise SystemExit(stop.code if isinstance(stop, SystemExit) and stop.code in CODES else 130) from stop


def _held(data: Any, part: str | None) -> str:
    """Hold the data to what the run began with, and choose the part."""
    from segfield.run.data import SPLITS, hold_data

    if not SPLITS.exists():
        raise FileNotFoundError(
            "The run has no splits.csv, so nobody knows which samples it did not see. Restore it from a copy."
        )
    hold_data(data, read_environment(Path.cwd()))
    part = part or ("test" if data.indices("test") else "val")
    if not data.indices(part):
        have = [name for name in PARTS if data.indices(name)]
        raise ValueError(
            f"This split has no part {part!r}, it has {', '.join(have)}. Use one of these; a new run with "
            "data.test_fraction=0.2 has a test part."
        )
    return part


def _validated(run: trained.Trained, part: str, scorer: "_Scorer") -> dict[str, float]:
    """Validate the part, score each batch, and return what is logged, by name."""
    indices = run.data.indices(part)
    _log.info("evaluating best.ckpt of epoch %d on %d samples of %s", run.checkpoint["epoch"] + 1, len(indices), part)
    loader = load(run.data.item, _batches(run, part), workers=run.data.num_workers, seed=run.data.seed)
    with bar(part) as tick:
        trainer = trained.trainer(run.config, [_Watch(scorer, tick, len(indices))])
        trainer.validate(run.task, dataloaders=loader, verbose=False)
    names = {name: value.item() for name, value in trainer.callback_metrics.items() if name.startswith("val/")}
    return {f"{part}/{name.removeprefix('val/')}": value for name, value in names.items()}


def _score_densities(run: trained.Trained, part: str) -> dict[str, Any]:
    from segfield.run.evaluate_density import DensityEvaluation

    evaluation = DensityEvaluation(run, part)
    return evaluation.conclude(_validated(run, part, evaluation))


def _batches(run: trained.Trained, part: str) -> list[list[int]]:
    """Return the batches of the part: those of the training's validation, of all its ranks one after the other.

    In batches of another length the last bits of logits may differ. Other parts have batches of one image.
    """
    indices, trainer = run.data.indices(part), run.config["trainer"]
    if part != "val":
        return [[index] for index in indices]
    world = min(ranks.world_size(trainer), len(indices))
    share: dict[str, Any] = {
        "train": False,
        "accumulate": int(trainer.get("accumulate_grad_batches") or 1),
        "world": world,
    }
    batches = [EpochBatches(indices, run.data.batch_size, rank=rank, **share) for rank in range(world)]
    return [batch for of_rank in batches for batch in of_rank]


class _Scorer(Protocol):
    """Scores the batches of a validation."""

    def add(self, task: Any, logits: Tensor, batch: dict[str, Any]) -> None:
        """Score a prepared batch and what the network gives for it."""

    def end(self, trainer: pl.Trainer, task: Any) -> None:
        """Do what is left, before the network leaves its device."""


@final
class _Watch(pl.Callback):
    """Gives the logits of every batch to a scorer: they come out of nowhere else."""

    def __init__(self, scorer: _Scorer, tick: Tick, samples: int) -> None:
        self._scorer, self._tick, self._samples = scorer, tick, samples
        self._done = 0
        self._logits = torch.empty(0)

    def on_validation_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Keep what the network gives for a batch."""
        self._hook = pl_module.register_forward_hook(self._keep)

    def _keep(self, module: Any, arguments: Any, logits: Tensor) -> None:
        self._logits = logits

    def on_validation_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Score the batch."""
        self._scorer.add(pl_module, self._logits.detach(), batch)
        self._done += len(batch["id"])
        self._tick(self._done, self._samples)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Let the scorer end."""
        self._hook.remove()
        self._scorer.end(trainer, pl_module)


@final
class _Pixels:
    """Counts the pixels of every validated image, at both sizes."""

    def __init__(self, data: Any, evaluation: Evaluation) -> None:
        self._data, self._evaluation = data, evaluation

    def end(self, trainer: pl.Trainer, task: Any) -> None:
        """Do nothing: all is counted."""

    def add(self, task: Any, logits: Tensor, batch: dict[str, Any]) -> None:
        """Count the images of the batch one after the other: those at their own size are large."""
        logits = logits.float()
        size = (logits.shape[-2], logits.shape[-1])
        target = centre_crop(batch["target"], size)
        valid = centre_crop(batch["valid"], size)[:, 0] if "valid" in batch else None
        classes = max(2, self._data.out_channels)
        predicted = (logits[:, 0] > cutoff(task.threshold)).long() if logits.shape[1] == 1 else predicted_class(logits)
        counts = count_classes(predicted, target, valid, classes)
        working = (batch["image"].shape[-2], batch["image"].shape[-1])
        skipped = batch.get("skipped", {})
        for place, (name, index) in enumerate(zip(batch["id"], batch["index"].tolist(), strict=True)):
            if name in skipped:
                self._evaluation.skip(name, skipped[name])
            else:
                probabilities = task.activation(logits[place : place + 1])[0]
                inside = None if valid is None else valid[place]
                pixels = int(target[place].numel() if inside is None else inside.sum())
                scored = self._own(index, probabilities, working, task.threshold)
                self._evaluation.add(scored, counts[:, place].cpu() if pixels else None, working, size)

    def _own(self, index: int, probabilities: Tensor, working: tuple[int, int], threshold: float) -> Scored:
        """Count one image at its own size."""
        sample = self._data.sample(index)
        read = self._data.read(sample, None)
        target = torch.from_numpy(read["target"]).long()
        own = (target.shape[-2], target.shape[-1])
        predicted, inside = decided(probabilities, working, own, threshold)
        if "valid" in read:
            inside = inside & torch.from_numpy(read["valid"])[0].to(inside.device)
        counts = count_classes(
            predicted[None], target[None].to(predicted.device), inside[None], max(2, self._data.out_channels)
        )
        return Scored(
            sample=sample,
            image=read["image"],
            truth=target.numpy(),
            predicted=predicted.cpu().numpy(),
            inside=inside.cpu().numpy(),
            counts=counts[:, 0].cpu(),
        )


def decided(
    probabilities: Tensor, working: tuple[int, int], own: tuple[int, int], threshold: float
) -> tuple[Tensor, Tensor]:
    """Turn probabilities at the working size into classes at an image's own size: resized first, decided then.

    Args:
        probabilities: [K, h, w], the centre of the image at its working size.
        working: (H, W).
        own: (rows, columns).
        threshold: of one channel's probability; of several the largest counts.

    Returns:
        [rows, columns] int64, 0 outside the centre; which pixels are in it, [rows, columns] bool.
    """
    resized, inside = to_own_size(probabilities, working, own)
    classes = (resized[0] > threshold).long() if len(resized) == 1 else predicted_class(resized[None])[0].long()
    return classes * inside, inside
