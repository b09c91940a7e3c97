from collections.abc import Callable
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from segfield.augment import Augmentation
from segfield.losses import BCEDice
from segfield.models.unet import UNet
from segfield.task import PixelwiseTask

pytestmark = [
    # A guess about speed; the data here are drawn in no time.
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    # On purpose: what happens on the device is the task's, see task.py.
    pytest.mark.filterwarnings("ignore:You have overridden `on_after_batch_transfer`"),
    # Lightning 2.6.6 with torch 2.15, in every transfer of a batch.
    pytest.mark.filterwarnings("ignore:.*isinstance\\(treespec, LeafSpec\\)"),
]

TaskOf = Callable[..., PixelwiseTask]
TrainerOf = Callable[..., pl.Trainer]
BatchOf = Callable[..., dict[str, Any]]


class Recorded(nn.Module):
    """A loss that keeps what it was called with."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[Any, ...]] = []

    def forward(self, logits: Tensor, target: Tensor, weight: Tensor | None, valid: Tensor | None) -> Tensor:
        self.calls.append((logits, target, weight, valid))
        return logits.mean()


def test_the_truth_is_cropped_to_smaller_logits_and_never_resized(task_of: TaskOf, batch_of: BatchOf) -> None:
    batch = batch_of()
    logits, cropped = task_of(model=nn.Conv2d(1, 1, 9)).predict_batch({**batch, "image": batch["image"].float()})
    assert logits.shape == (3, 1, 8, 8)
    for name in ("target", "weight", "valid"):
        assert torch.equal(cropped[name], batch[name][..., 4:12, 4:12]), name


def test_the_truth_meets_the_output_of_a_network_without_padding(task_of: TaskOf, batch_of: BatchOf) -> None:
    batch = batch_of(side=32)
    task = task_of(model=UNet(1, 1, width=4, depth=1, padding="valid", border="none"))
    logits, cropped = task.predict_batch(task.prepare(batch))
    assert logits.shape == (3, 1, 16, 16)
    assert torch.equal(cropped["target"], batch["target"][..., 8:24, 8:24])


def test_a_batch_without_weight_and_valid_gets_none(task_of: TaskOf, batch_of: BatchOf) -> None:
    batch = {name: value for name, value in batch_of().items() if name not in ("weight", "valid")}
    task = task_of()
    assert set(task.predict_batch(task.prepare(batch))[1]) == set(batch)


def test_loss_is_called_with_cropped_logits_target_weight_and_valid(
    task_of: TaskOf, trainer_of: TrainerOf, batch_of: BatchOf
) -> None:
    loss, batch = Recorded(), batch_of()
    task = task_of(model=nn.Conv2d(1, 1, 9), loss=loss)
    loader: Any = torch.utils.data.DataLoader([batch], batch_size=None)  # type: ignore[arg-type]  # a list serves
    trainer_of().validate(task, loader, verbose=False)
    ((logits, target, weight, valid),) = loss.calls
    assert logits.shape == (3, 1, 8, 8)
    assert torch.equal(target, batch["target"][..., 4:12, 4:12])
    assert torch.equal(weight, batch["weight"][..., 4:12, 4:12])
    assert torch.equal(valid, batch["valid"][..., 4:12, 4:12])


def test_bytes_become_numbers_in_0_1_and_are_then_standardised(task_of: TaskOf) -> None:
    image = torch.tensor([[0, 51], [102, 255]], dtype=torch.uint8).expand(1, 3, 2, 2)
    task = task_of(mean=[0.0, 0.2, 0.5], std=[1.0, 0.5, 0.25])
    result = task.prepare({"image": image})["image"]
    unit = torch.tensor([[0.0, 0.2], [0.4, 1.0]])
    expected = torch.stack([unit, (unit - 0.2) / 0.5, (unit - 0.5) / 0.25])[None]
    torch.testing.assert_close(result, expected)
    assert result.dtype == torch.float32


def test_float_images_are_standardised_as_they_are(task_of: TaskOf) -> None:
    result = task_of(mean=10.0, std=2.0).prepare({"image": torch.full((1, 1, 2, 2), 300.0, dtype=torch.float64)})
    assert torch.equal(result["image"], torch.full((1, 1, 2, 2), 145.0))


def test_classes_become_int64_on_the_device_and_densities_stay(task_of: TaskOf) -> None:
    batch = {"image": torch.zeros(1, 3, 2, 2), "target": torch.tensor([[[0, 1], [2, 255]]], dtype=torch.uint8)}
    assert torch.equal(task_of().prepare(batch)["target"], torch.tensor([[[0, 1], [2, 255]]]))
    assert task_of().prepare({**batch, "target": torch.zeros(1, 4, 2, 2)})["target"].dtype == torch.float32


def test_preparing_leaves_the_batch_itself_as_it_is(task_of: TaskOf, batch_of: BatchOf) -> None:
    batch = batch_of()
    before = {name: value.clone() if isinstance(value, Tensor) else value for name, value in batch.items()}
    task_of(augmentation=Augmentation(1.0, 1.0)).prepare(batch, augment=True)
    assert set(batch) == set(before)
    assert all(torch.equal(batch[n], before[n]) for n in ("image", "target", "weight", "valid"))


@pytest.mark.parametrize("threshold", [0.0, 1.0, -0.1, float("nan")])
def test_a_threshold_that_is_no_probability_is_refused(threshold: float, task_of: TaskOf) -> None:
    with pytest.raises(ValueError, match=r"task\.threshold is a probability in \(0, 1\); got .* Use task\.threshold"):
        task_of(threshold=threshold)


@pytest.mark.parametrize("std", [0.0, [0.2, -0.1, 0.2], float("nan")])
def test_a_standard_deviation_that_is_not_positive_is_refused(std: float | list[float], task_of: TaskOf) -> None:
    with pytest.raises(ValueError, match=r"data\.std must be positive; got .* Use data\.std=0\.25"):
        task_of(std=std)


def test_the_optimiser_has_every_parameter_of_network_and_loss(task_of: TaskOf) -> None:
    loss = BCEDice()
    loss.temperature = nn.Parameter(torch.ones(()))
    task = task_of(loss=loss)
    optimizer = task.configure_optimizers()
    held = {id(parameter) for group in optimizer.param_groups for parameter in group["params"]}
    assert held == {id(parameter) for parameter in [*task.model.parameters(), loss.temperature]}


def test_mean_and_std_are_part_of_a_checkpoint(task_of: TaskOf) -> None:
    state = task_of(mean=[0.1, 0.2], std=0.3).state_dict()
    torch.testing.assert_close(state["mean"].flatten(), torch.tensor([0.1, 0.2]))
    torch.testing.assert_close(state["std"].flatten(), torch.tensor([0.3]))
