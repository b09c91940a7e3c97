import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from segfield.losses import BCEDice


def batch_of(images: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(seed)
    logits = torch.randn(images, 1, 12, 10, generator=rng) * 3
    target = (torch.rand(images, 12, 10, generator=rng) > 0.6).long()
    weight = torch.rand(images, 1, 12, 10, generator=rng) * 2
    valid = torch.rand(images, 1, 12, 10, generator=rng) > 0.3
    return logits, target, weight, valid


def test_loss_is_the_cross_entropy_of_torch_plus_dice_by_hand() -> None:
    logits, target, _, _ = batch_of(1)
    p, t = torch.sigmoid(logits).flatten(), target.flatten().float()
    dice = 1 - (2 * (p * t).sum() + 1) / (p.sum() + t.sum() + 1)
    expected = F.binary_cross_entropy(p, t) + dice
    torch.testing.assert_close(BCEDice()(logits, target), expected)


def test_each_term_has_its_factor() -> None:
    logits, target, weight, valid = batch_of(3)
    bce = BCEDice(dice_weight=0.0)(logits, target, weight, valid)
    dice = BCEDice(bce_weight=0.0)(logits, target, weight, valid)
    both = BCEDice(bce_weight=0.5, dice_weight=2.0)(logits, target, weight, valid)
    torch.testing.assert_close(both, 0.5 * bce + 2.0 * dice)


def test_weighted_cross_entropy_is_divided_by_the_number_of_valid_pixels() -> None:
    logits, target, weight, valid = batch_of(1)
    terms = F.binary_cross_entropy_with_logits(logits, target[:, None].float(), reduction="none")
    expected = (terms * weight)[valid].sum() / valid.sum()
    torch.testing.assert_close(BCEDice(dice_weight=0.0)(logits, target, weight, valid), expected)


def test_foreground_may_weigh_more_in_the_cross_entropy_as_torch_weighs_it() -> None:
    logits, target, _, _ = batch_of(2)
    of_torch = F.binary_cross_entropy_with_logits(logits, target[:, None].float(), pos_weight=torch.tensor(3.5))
    torch.testing.assert_close(BCEDice(dice_weight=0.0, pos_weight=3.5)(logits, target), of_torch)


@pytest.mark.parametrize("pos_weight", [0.0, -1.0, float("inf"), float("nan")])
def test_a_foreground_weight_that_is_none_is_refused(pos_weight: float) -> None:
    with pytest.raises(ValueError, match=r"pos_weight > 0; got .*Use loss\.pos_weight=1\.0"):
        BCEDice(pos_weight=pos_weight)


def test_dice_is_counted_over_valid_pixels_alone() -> None:
    logits, target, _, valid = batch_of(1)
    p, t = torch.sigmoid(logits)[valid], target[:, None][valid].float()
    expected = 1 - (2 * (p * t).sum() + 5) / (p.sum() + t.sum() + 5)
    torch.testing.assert_close(BCEDice(smooth=5.0, bce_weight=0.0)(logits, target, None, valid), expected)


@pytest.mark.parametrize("cut", [[1] * 7, [3, 4], [5, 2], [6, 1]])
def test_mean_over_a_set_does_not_depend_on_how_it_is_cut(cut: list[int]) -> None:
    arrays = batch_of(7)
    arrays[1][2] = 0
    arrays[3][4] = False
    loss = BCEDice()
    parts = zip(*(torch.split(a, cut) for a in arrays), strict=True)
    summed = sum(loss(*part) * len(part[0]) for part in parts)
    torch.testing.assert_close(summed / 7, loss(*arrays))


def test_perfect_prediction_costs_nothing() -> None:
    _, target, weight, valid = batch_of(4)
    logits = (target[:, None].float() * 2 - 1) * 200  # float32 probabilities are 0 and 1
    assert BCEDice()(logits, target, weight, valid) == 0


def test_dice_term_of_false_positives_on_an_empty_batch_pushes_logits_down() -> None:
    logits = torch.zeros(2, 1, 8, 8, requires_grad=True)
    loss = BCEDice(bce_weight=0.0)(logits, torch.zeros(2, 8, 8, dtype=torch.int64))
    loss.backward()
    assert loss > 0.5
    assert logits.grad is not None
    assert (logits.grad > 0).all()


def test_image_without_a_valid_pixel_contributes_nothing_and_counts_as_an_image() -> None:
    logits, target, weight, valid = batch_of(2)
    valid[1] = False
    loss = BCEDice()
    alone = loss(logits[:1], target[:1], weight[:1], valid[:1])
    torch.testing.assert_close(loss(logits, target, weight, valid), alone / 2)
    assert loss(logits[1:], target[1:], weight[1:], valid[1:]) == 0


def test_nan_outside_valid_reaches_neither_loss_nor_gradient() -> None:
    logits, target, weight, valid = batch_of(2)
    clean, dirty = logits.clone().requires_grad_(), logits.masked_fill(~valid, float("nan")).requires_grad_()
    loss = BCEDice()
    expected = loss(clean, target, weight, valid)
    found = loss(dirty, target.masked_fill(~valid[:, 0], 255), weight.masked_fill(~valid, float("nan")), valid)
    expected.backward()
    found.backward()
    assert torch.equal(found, expected)
    assert clean.grad is not None
    assert dirty.grad is not None
    assert torch.equal(dirty.grad, clean.grad)
    assert (dirty.grad[~valid] == 0).all()


def test_absent_weight_and_valid_mean_one_and_all() -> None:
    logits, target, weight, valid = batch_of(2)
    loss = BCEDice()
    torch.testing.assert_close(
        loss(logits, target, None, None), loss(logits, target, torch.ones_like(weight), torch.ones_like(valid))
    )


def test_bfloat16_logits_are_computed_in_float32_also_under_autocast() -> None:
    logits, target, weight, valid = batch_of(2)
    logits = logits.bfloat16()
    loss = BCEDice()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = loss(logits, target, weight, valid)
    assert found.dtype == torch.float32
    assert torch.equal(found, loss(logits.float(), target, weight, valid))


def test_extreme_logits_give_a_finite_gradient() -> None:
    logits = torch.full((1, 1, 4, 4), 1e4, requires_grad=True)
    BCEDice()(logits, torch.zeros(1, 4, 4, dtype=torch.int64)).backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_two_output_channels_are_refused() -> None:
    with pytest.raises(
        ValueError,
        match=r"logits \[N, 1, H, W\]; got \[2, 2, 8, 8\] for a target \[2, 8, 8\].*task=binary.*task=multiclass",
    ):
        BCEDice()(torch.zeros(2, 2, 8, 8), torch.zeros(2, 8, 8, dtype=torch.int64))


@pytest.mark.parametrize("shape", [(2, 8, 6), (1, 8, 8), (2, 1, 8, 8)])
def test_target_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"got target .* for logits \[2, 1, 8, 8\]\. Crop or pad the target"):
        BCEDice()(torch.zeros(2, 1, 8, 8), torch.zeros(shape, dtype=torch.int64))


@pytest.mark.parametrize("name", ["weight", "valid"])
def test_weight_or_valid_of_another_shape_is_refused(name: str) -> None:
    wrong = {name: torch.ones(2, 8, 8, dtype=torch.bool if name == "valid" else torch.float32)}
    with pytest.raises(ValueError, match=rf"got {name} \[2, 8, 8\] for logits \[2, 1, 8, 8\]\. Crop or pad it"):
        BCEDice()(torch.zeros(2, 1, 8, 8), torch.zeros(2, 8, 8, dtype=torch.int64), **wrong)


@pytest.mark.parametrize("smooth", [0.0, -1.0, float("nan")])
def test_smooth_must_be_above_zero(smooth: float) -> None:
    with pytest.raises(ValueError, match=r"smooth > 0 .* got .* Use 1\.0"):
        BCEDice(smooth=smooth)


@pytest.mark.parametrize(("bce", "dice"), [(0.0, 0.0), (-1.0, 2.0), (1.0, -0.5)])
def test_negative_factors_or_none_at_all_are_refused(bce: float, dice: float) -> None:
    with pytest.raises(ValueError, match=rf"got bce_weight={bce}, dice_weight={dice}. Use 1.0 and 1.0"):
        BCEDice(bce_weight=bce, dice_weight=dice)


def test_a_density_is_sent_to_its_own_task() -> None:
    with pytest.raises(ValueError, match=r"target \[2, 5, 8, 8\] is of densities\. Use task=density"):
        BCEDice()(torch.zeros(2, 1, 8, 8), torch.zeros(2, 5, 8, 8))
