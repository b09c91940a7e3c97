"""The roll-out: the network predicts from the truth at the release, then from its own density, map after map.

Scores by lead time go to rollout.csv, curves of them and the maps of one ensemble to TensorBoard. The task knows
nothing of it.
"""

import logging
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, final

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from torch import Tensor
from torchmetrics import MetricCollection

from segfield.callbacks.rolled_out import BASELINES, RolledOut, Story
from segfield.callbacks.shown import outputs_of, shown_step, writers
from segfield.densities import CURRENT, EAST, NEXT, NORTH
from segfield.files import append_lines, cut_rows

_KEYS = ("epoch", "step", "lead_hours")
_log = logging.getLogger(__name__)


class NoRolloutError(ValueError):
    """A network gives no density for the border of a window, or no ensemble is there whole."""


class _Map(NamedTuple):
    group: str
    prediction: np.ndarray
    target: np.ndarray
    valid: np.ndarray


def roll_out(task: Any, data: Any, sequences: Sequence[Sequence[int]], scores: MetricCollection) -> RolledOut:
    """Roll ensembles out, as many at once as a batch of the data has samples.

    The persistence of a roll-out is the density at the release, held.

    Args:
        task: in eval mode; its `predict_batch` gives densities.
        data: module of data=ocean_density.
        sequences: indices of the windows of each ensemble, from the release on.
        scores: of one window; they are copied, a copy for each lead time.

    Raises:
        NoRolloutError: if the network gives no density for the border of a window, so that it cannot go on from it; or
            if there are no sequences.
    """
    if not sequences:
        raise NoRolloutError(
            "A roll-out needs ensembles that have all their windows in this part; none has. Give whole ensembles a "
            "part in data.split_file."
        )
    collections: dict[float, MetricCollection] = {}
    first: list[_Map] = []
    for place in range(0, len(sequences), data.batch_size):
        for hours, densities, batch in _steps(task, data, sequences[place : place + data.batch_size]):
            if hours not in collections:
                collections[hours] = _alone(scores)
            collections[hours].update(densities, batch["target"], batch["valid"], batch["group"])
            if place == 0:
                arrays = (densities[0, 0], batch["target"][0], batch["valid"][0, 0])
                first.append(_Map(batch["group"][0], *(one.cpu().numpy() for one in arrays)))
    leads = sorted(collections)
    found = [{name: float(value) for name, value in collections[one].compute().items()} for one in leads]
    by_name = {plain: [one[name] for one in found] for name, plain in _names(scores).items()}
    return RolledOut(leads, by_name, len(sequences), _story(first))


def _names(scores: MetricCollection) -> dict[str, str]:
    """Return each score's name in a collection, and the one without its stage; each is followed by its baselines."""
    plain = {str(name): str(name).rpartition("/")[2] for name in scores.keys(keep_base=False)}
    ends = ["", *(f"_{one}" for one in BASELINES)]
    first = [name for name in plain.values() if not name.endswith(BASELINES)]
    order = [f"{name}{end}" for name in first for end in ends]
    return dict(sorted(plain.items(), key=lambda item: order.index(item[1])))


def _steps(task: Any, data: Any, chunk: Sequence[Sequence[int]]) -> Iterator[tuple[float, Tensor, dict[str, Any]]]:
    """Yield hours since the release, densities [N, 1, H, W] and batch of each step of some ensembles.

    All have all their windows. One of which a window cannot be read, or has no cell with all variables, does not count
    from there on: there is no density to go on from.
    """
    released: Tensor | None = None
    densities: Tensor | None = None
    ended: set[int] = set()  # places of ensembles that do not count any more
    for windows in zip(*chunk, strict=True):
        items = [data.item(index) for index in windows]
        ended |= {place for place, item in enumerate(items) if "skipped" in item or not item["valid"].any()}
        for place in ended:
            items[place]["valid"] = torch.zeros_like(items[place]["valid"])
        if densities is not None:
            for item, density in zip(items, densities.cpu(), strict=True):
                item["image"] = torch.cat([item["image"][:-1], density.to(item["image"].dtype) * data.density_scale])
        densities, batch = outputs_of(task, items)
        densities = densities.float()
        refuse_cropped(densities, items[0]["image"])
        target = batch["target"].clone()
        released = target[:, CURRENT].clone() if released is None else released
        target[:, CURRENT] = released
        yield data.lead_hours(windows[0]), densities, {**batch, "target": target}


def refuse_cropped(densities: Tensor, image: Tensor) -> None:
    """Refuse densities that are smaller than the image that they were predicted from: nothing goes on from them.

    Raises:
        NoRolloutError: if they are.
    """
    if densities.shape[-2:] != image.shape[-2:]:
        raise NoRolloutError(
            f"A roll-out needs densities of a whole window, {list(image.shape[-2:])}; the network gives "
            f"{list(densities.shape[-2:])}. Use model.border=mirror or model.padding=same for one."
        )


def _alone(scores: MetricCollection) -> MetricCollection:
    """Copy scores, empty, for one process: others take no part in what it computes."""
    copy = scores.clone()
    copy.reset()
    for metric in copy.values(copy_state=False):
        metric.distributed_available_fn = lambda: False
    return copy


def _story(maps: Sequence[_Map]) -> Story:
    return Story(
        group=maps[0].group,
        truths=np.stack([one.target[NEXT] for one in maps]),
        predictions=np.stack([one.prediction for one in maps]),
        valid=maps[0].valid,
        east=maps[0].target[EAST],
        north=maps[0].target[NORTH],
    )


@final
class Rollout(Callback):
    """Roll validation ensembles out after some validations, at rank 0; needs data=ocean_density.

    Nothing else depends on it: neither batches nor random numbers nor the task's own scores.

    Args:
        ensembles: how many, spread evenly over the validation part; None: all.
        every_n_epochs: the last epoch is always rolled out too.
        pictures: draw rollout/curves and rollout/maps where there is a TensorBoard.
        path: of the table, inside the run folder.
    """

    def __init__(
        self, ensembles: int | None = None, every_n_epochs: int = 1, pictures: bool = True, path: str = "rollout.csv"
    ) -> None:
        for name, value in (("ensembles", 1 if ensembles is None else ensembles), ("every_n_epochs", every_n_epochs)):
            if value < 1:
                raise ValueError(f"callbacks.rollout.{name} must be 1 or more; got {value}. Use 1.")
        self.ensembles, self.every_n_epochs, self.pictures, self.path = ensembles, every_n_epochs, pictures, path
        self._names: list[str] = []
        self._done = -1

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write the header, or cut what lies beyond the checkpoint that the run goes on from."""
        self._names = list(_names(_scores_of(pl_module)).values())
        if trainer.is_global_zero:
            self._done = max(
                cut_rows(self.path, [*_KEYS, *self._names], trainer.global_step, apart=("step", "lead_hours")),
                default=-1,
            )

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Roll out, append the rows, and draw."""
        due = (trainer.current_epoch + 1) % self.every_n_epochs == 0 or trainer.current_epoch + 1 == trainer.max_epochs
        step = trainer.global_step - 1
        # Inside an accumulated step the weights are those of the roll-out before.
        if trainer.sanity_checking or not trainer.is_global_zero or not due or step <= self._done:
            return
        data: Any = trainer.datamodule  # type: ignore[attr-defined]  # OceanDensity
        sequences = data.sequences("val")
        number = len(sequences) if self.ensembles is None else min(self.ensembles, len(sequences))
        chosen = np.linspace(0, len(sequences) - 1, number).round().astype(int)
        try:
            found = rolled_out(trainer, pl_module, data, [sequences[place] for place in chosen])
        except NoRolloutError as error:
            _log.warning("no roll-out: %s", error)
            self._done = sys.maxsize  # said once
            return
        append_lines(self.path, [",".join([str(trainer.current_epoch), str(step), *row]) for row in found.rows()])
        self._done = step
        self._show(trainer, found)

    def _show(self, trainer: pl.Trainer, found: RolledOut) -> None:
        title, step = f"epoch {trainer.current_epoch + 1}", shown_step(trainer)
        for logger in writers(trainer):
            for name in self._names:
                logger.experiment.add_scalar(f"rollout/{name}", found.scores[name][-1], step)
            if self.pictures:
                for name, picture in (("curves", found.curves(title)), ("maps", found.strip(title))):
                    logger.experiment.add_image(f"rollout/{name}", picture, step, dataformats="HWC")


def rolled_out(trainer: pl.Trainer, task: Any, data: Any, sequences: Sequence[Sequence[int]]) -> RolledOut:
    """Roll out in the trainer's precision, with the scores of the task's validation."""
    with torch.no_grad(), trainer.precision_plugin.forward_context():
        return roll_out(task, data, sequences, _scores_of(task))


def _scores_of(task: Any) -> MetricCollection:
    scores = task.metrics["val/"]
    assert isinstance(scores, MetricCollection)
    return scores
