"""CEDice, the loss of several classes; that of one is in test_losses.py."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from segfield.losses import BCEDice, CEDice


def batch_of(images: int, classes: int = 3) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(images, classes, 12, 10, generator=rng) * 3
    target = torch.randint(0, classes, (images, 12, 10), generator=rng)
    weight = torch.rand(images, 1, 12, 10, generator=rng) * 2
    valid = torch.rand(images, 1, 12, 10, generator=rng) > 0.3
    return logits, target, weight, valid


def test_loss_is_the_cross_entropy_of_torch_plus_the_mean_dice_of_the_foreground_by_hand() -> None:
    logits, target, _, _ = batch_of(1)
    p = logits.softmax(1)
    dice = []
    for number in (1, 2):
        t = (target == number).float()
        dice.append(1 - (2 * (p[:, number] * t).sum() + 1) / (p[:, number].sum() + t.sum() + 1))
    torch.testing.assert_close(CEDice()(logits, target), F.cross_entropy(logits, target) + sum(dice) / 2)


def test_each_term_has_its_factor() -> None:
    arrays = batch_of(3)
    ce, dice = CEDice(dice_weight=0.0)(*arrays), CEDice(ce_weight=0.0)(*arrays)
    torch.testing.assert_close(CEDice(ce_weight=0.5, dice_weight=2.0)(*arrays), 0.5 * ce + 2.0 * dice)


def test_two_classes_cost_what_one_logit_costs() -> None:
    logits, target, weight, valid = batch_of(4, classes=2)
    one = BCEDice()(logits[:, 1:] - logits[:, :1], target, weight, valid)
    torch.testing.assert_close(CEDice()(logits, target, weight, valid), one)


def test_weights_of_pixels_and_classes_are_divided_by_the_number_of_valid_pixels() -> None:
    logits, target, weight, valid = batch_of(1)
    classes = [0.5, 1.0, 4.0]
    terms = F.cross_entropy(logits, target, weight=torch.tensor(classes), reduction="none")[:, None]
    expected = (terms * weight)[valid].sum() / valid.sum()
    loss = CEDice(dice_weight=0.0, class_weights=classes)
    torch.testing.assert_close(loss(logits, target, weight, valid), expected)


def test_weights_of_classes_are_no_part_of_a_checkpoint_and_move_with_the_loss() -> None:
    loss = CEDice(class_weights=[1.0, 2.0])
    assert loss.state_dict() == {}
    assert loss.to("meta").class_weights.device.type == "meta"  # type: ignore[union-attr]


def test_dice_is_counted_over_valid_pixels_alone() -> None:
    logits, target, _, valid = batch_of(1, classes=2)
    p, t = logits.softmax(1)[:, 1:][valid], target[:, None][valid].float()
    expected = 1 - (2 * (p * t).sum() + 5) / (p.sum() + t.sum() + 5)
    torch.testing.assert_close(CEDice(smooth=5.0, ce_weight=0.0)(logits, target, None, valid), expected)


@pytest.mark.parametrize("cut", [[1] * 7, [3, 4], [6, 1]])
def test_mean_over_a_set_does_not_depend_on_how_it_is_cut(cut: list[int]) -> None:
    arrays = batch_of(7)
    arrays[1][2] = 0
    arrays[3][4] = False
    parts = zip(*(torch.split(a, cut) for a in arrays), strict=True)
    summed = sum(CEDice()(*part) * len(part[0]) for part in parts)
    torch.testing.assert_close(summed / 7, CEDice()(*arrays))


def test_perfect_prediction_costs_nothing() -> None:
    _, target, weight, valid = batch_of(4)
    logits = F.one_hot(target, 3).movedim(-1, 1) * 400.0
    assert CEDice()(logits, target, weight, valid) == 0


def test_dice_term_of_false_positives_of_an_absent_class_pushes_its_logits_down() -> None:
    logits = torch.zeros(2, 3, 8, 8, requires_grad=True)
    CEDice(ce_weight=0.0)(logits, torch.zeros(2, 8, 8, dtype=torch.int64)).backward()
    assert logits.grad is not None
    assert (logits.grad[:, 1:] > 0).all()
    assert (logits.grad[:, 0] < 0).all()


def test_image_without_a_valid_pixel_contributes_nothing_and_counts_as_an_image() -> None:
    logits, target, weight, valid = batch_of(2)
    valid[1] = False
    alone = CEDice()(logits[:1], target[:1], weight[:1], valid[:1])
    torch.testing.assert_close(CEDice()(logits, target, weight, valid), alone / 2)


def test_nan_and_classes_beyond_outside_valid_reach_neither_loss_nor_gradient() -> None:
    logits, target, weight, valid = batch_of(2)
    clean, dirty = logits.clone().requires_grad_(), logits.masked_fill(~valid, float("nan")).requires_grad_()
    expected = CEDice()(clean, target, weight, valid)
    found = CEDice()(dirty, target.masked_fill(~valid[:, 0], 255), weight.masked_fill(~valid, float("nan")), valid)
    expected.backward()
    found.backward()
    assert torch.equal(found, expected)
    assert clean.grad is not None
    assert dirty.grad is not None
    assert torch.equal(dirty.grad, clean.grad)
    assert (dirty.grad[(~valid).expand_as(logits)] == 0).all()


def test_bfloat16_logits_are_computed_in_float32_also_under_autocast() -> None:
    logits, *others = batch_of(2)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = CEDice()(logits.bfloat16(), *others)
    assert found.dtype == torch.float32
    assert torch.equal(found, CEDice()(logits.bfloat16().float(), *others))


def test_extreme_logits_give_a_finite_gradient() -> None:
    logits = (torch.eye(3).view(1, 3, 1, 3) * 1e4).requires_grad_()
    CEDice()(logits, torch.zeros(1, 1, 3, dtype=torch.int64)).backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_one_output_channel_is_refused() -> None:
    message = r"\[N, K, H, W\] of K >= 2 classes; got \[2, 1, 8, 8\] .* K names in data\.classes, or task=binary"
    with pytest.raises(ValueError, match=message):
        CEDice()(torch.zeros(2, 1, 8, 8), torch.zeros(2, 8, 8, dtype=torch.int64))


def test_class_weights_of_another_number_of_classes_are_refused() -> None:
    logits, target, _, _ = batch_of(1)
    with pytest.raises(ValueError, match=r"loss\.class_weights has 2 numbers for 3 classes\. Give one per class"):
        CEDice(class_weights=[1.0, 2.0])(logits, target)


@pytest.mark.parametrize("weights", [[], [0.0, 0.0], [1.0, -1.0], [float("nan"), 1.0]])
def test_class_weights_outside_their_range_are_refused(weights: list[float]) -> None:
    with pytest.raises(ValueError, match=r"class_weights of at least 0.*Use loss\.class_weights=null"):
        CEDice(class_weights=weights)


@pytest.mark.parametrize("name", ["target", "weight", "valid"])
def test_arrays_of_another_shape_are_refused(name: str) -> None:
    arrays = {"target": torch.zeros(2, 8, 8).long()} | {name: torch.ones(2, 3, 8, 8) > 0}
    with pytest.raises(ValueError, match=rf"CEDice needs .*got {name} \[2, 3, 8, 8\] for logits \[2, 3, 8, 8\]"):
        CEDice()(torch.zeros(2, 3, 8, 8), **arrays)


def test_settings_outside_their_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"CEDice needs smooth > 0 .* got 0\. Use 1\.0"):
        CEDice(smooth=0)
    with pytest.raises(ValueError, match=r"got ce_weight=-1, dice_weight=2\. Use 1\.0 and 1\.0"):
        CEDice(ce_weight=-1, dice_weight=2)
