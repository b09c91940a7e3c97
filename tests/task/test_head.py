"""A head in the task: what loss, scores, predictions and checkpoints have of it."""

from collections.abc import Callable
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from segfield.densities import CURRENT, EAST, MEAN, NEXT, NORTH, TARGETS
from segfield.heads import Conserving, Residual
from segfield.losses.density import RMSE
from segfield.metrics.density import DensityScores
from segfield.models.unet import UNet
from segfield.task import PixelwiseTask

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    pytest.mark.filterwarnings("ignore:You have overridden `on_after_batch_transfer`"),
    pytest.mark.filterwarnings("ignore:.*isinstance\\(treespec, LeafSpec\\)"),
]
TaskOf = Callable[..., PixelwiseTask]
TrainerOf = Callable[..., pl.Trainer]
SCALE = 20.0


def batch_of(samples: int = 4, side: int = 16) -> dict[str, Any]:
    """A density that moves one cell to the east at each step, and is half of what the network sees."""
    rng = torch.Generator().manual_seed(0)
    target = torch.zeros(samples, TARGETS, side, side)
    target[:, CURRENT] = torch.rand(samples, side, side, generator=rng) ** 8
    target[:, CURRENT] /= target[:, CURRENT].sum((1, 2), keepdim=True)
    target[:, NEXT], target[:, MEAN] = target[:, CURRENT].roll(1, 2), 1 / side**2
    target[:, EAST], target[:, NORTH] = torch.arange(side), torch.arange(side)[:, None]
    current = target[:, CURRENT : CURRENT + 1] * SCALE
    valid = torch.rand(samples, 1, side, side, generator=rng) > 0.1
    valid[1] = False
    names = [str(i) for i in range(samples)]
    image = torch.cat((torch.ones_like(current), current), 1)
    return {"image": image, "target": target, "valid": valid, "id": names, "group": names}


def density_task(task_of: TaskOf, **changes: Any) -> PixelwiseTask:
    arguments: dict[str, Any] = {
        "model": UNet(2, 1, width=4, depth=1),
        "head": Residual(SCALE),
        "loss": RMSE(SCALE),
        "metrics": DensityScores(),
        "activation": nn.Identity(),
        "monitor": "val/iou_50",
        "mean": 0.0,
        "std": 1.0,
    }
    return task_of(**{**arguments, **changes})


@pytest.mark.parametrize("kind", [Residual, Conserving])
def test_the_head_is_applied_to_image_and_valid_cropped_to_the_logits(kind: type[nn.Module], task_of: TaskOf) -> None:
    batch, head = batch_of(), kind(SCALE)
    task = density_task(task_of, model=nn.Conv2d(2, 1, 9), head=head)
    density, cropped = task.predict_batch(task.prepare(batch))
    centre = (slice(None), slice(None), slice(4, 12), slice(4, 12))
    assert torch.equal(density, head(task(batch["image"]), batch["valid"][centre], batch["image"][centre]))
    assert all(torch.equal(cropped[name], batch[name][centre]) for name in ("image", "target", "valid"))


def test_a_task_without_a_head_gives_the_logits_themselves(task_of: TaskOf) -> None:
    task, batch = density_task(task_of, head=None), batch_of()
    assert torch.equal(task.predict_batch(task.prepare(batch))[0], task(batch["image"]))


def test_loss_scores_and_predictions_are_of_densities(task_of: TaskOf, trainer_of: TrainerOf) -> None:
    batch = batch_of()
    loader: Any = torch.utils.data.DataLoader([batch], batch_size=None)  # type: ignore[arg-type]  # a list serves
    task, trainer = density_task(task_of), trainer_of(max_epochs=3)
    trainer.fit(task, loader, loader)
    (found,) = trainer.validate(task, loader, verbose=False)
    (predicted,) = trainer.predict(task, loader) or []
    density = predicted["prediction"]  # type: ignore[call-overload,index]
    metrics = DensityScores().clone(prefix="val/")
    metrics.update(density, batch["target"], batch["valid"], batch["group"])
    scores = {name: float(value) for name, value in metrics.compute().items()}
    # The sample without a valid cell costs 0, and has no part in the mean.
    loss = float(RMSE(SCALE)(density, batch["target"], None, batch["valid"])) * 4 / 3
    assert {name: found[name] for name in ("val/loss", *scores)} == pytest.approx({"val/loss": loss, **scores})
    assert found["val/loss"] == pytest.approx(found["val/rmse"] * SCALE)
    assert (density[~batch["valid"]] == 0).all()


def test_a_checkpoint_has_nothing_of_a_head(task_of: TaskOf) -> None:
    with_head, without = density_task(task_of), density_task(task_of, head=None)
    assert with_head.state_dict().keys() == without.state_dict().keys()
