"""Losses of densities against NumPy, at their limits, and with cells that are not valid."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from segfield.densities import NEXT, TARGETS
from segfield.losses.density import KL, MAE, RMSE

SCALE, FLOOR = 40.0, 1e-4
LOSSES: list[nn.Module] = [RMSE(SCALE), MAE(SCALE), KL(FLOOR)]
Rule = Callable[[Any, Any, Any], Any]


def batch_of(samples: int = 3) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return densities, some negative, target, weight and valid."""
    rng = torch.Generator().manual_seed(1)
    density = (torch.rand(samples, 1, 7, 9, generator=rng) - 0.2) / 40
    target = torch.rand(samples, TARGETS, 7, 9, generator=rng).clamp(min=0.5) / 50 - 0.01
    weight = torch.rand(samples, 1, 7, 9, generator=rng) * 2
    valid = torch.rand(samples, 1, 7, 9, generator=rng) > 0.3
    return density, target, weight, valid


def kl_of(p: Any, t: Any, w: Any) -> float:
    q = np.maximum(p, FLOOR)
    q, t = q / q.sum(), t / t.sum()
    return float(sum(t[i] * math.log(t[i] / q[i]) for i in range(len(t)) if t[i] > 0))


@pytest.mark.parametrize(
    ("loss", "rule"),
    [
        (RMSE(SCALE), lambda p, t, w: math.sqrt((w * (SCALE * (p - t)) ** 2).mean())),
        (MAE(SCALE), lambda p, t, w: (w * SCALE * abs(p - t)).mean()),
        (KL(FLOOR), kl_of),
    ],
)
def test_a_loss_is_the_mean_over_samples_of_what_numpy_finds_in_their_valid_cells(loss: nn.Module, rule: Rule) -> None:
    density, target, weight, valid = batch_of()
    each = []
    for i in range(3):
        cells = [array[i, 0][valid[i, 0]].double().numpy() for array in (density, target[:, NEXT:], weight)]
        each.append(rule(*cells))
    assert float(loss(density, target, weight, valid)) == pytest.approx(np.mean(each), rel=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_perfect_prediction_costs_nothing_and_has_a_finite_gradient(loss: nn.Module) -> None:
    _, target, _, valid = batch_of()
    target = target.clamp(min=FLOOR)
    density = target[:, :1].clone().requires_grad_()
    value = loss(density, target, None, valid)
    value.backward()
    assert float(value.detach()) == pytest.approx(0, abs=1e-6)
    assert density.grad is not None
    assert density.grad.isfinite().all()


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_are_those_of_finite_differences(loss: nn.Module) -> None:
    density, target, weight, valid = batch_of(2)
    density = density.abs() + 2 * FLOOR
    (gradient,) = torch.autograd.grad(loss(density.requires_grad_(), target, weight, valid), density)
    rng = torch.Generator().manual_seed(2)
    way = torch.randn(density.shape, generator=rng) * 1e-5
    with torch.no_grad():
        there, back = (loss(density + sign * way, target, weight, valid) for sign in (1, -1))
    assert float(there - back) / 2 == pytest.approx(float((gradient * way).sum()), rel=2e-2)


@pytest.mark.parametrize("loss", LOSSES)
def test_what_stands_outside_reaches_neither_the_loss_nor_a_gradient(loss: nn.Module) -> None:
    found = []
    for other in (0.5, math.nan, math.inf):
        density, target, weight, valid = batch_of()
        density[~valid] = weight[~valid] = target[:, NEXT][~valid[:, 0]] = other
        value = loss(density.requires_grad_(), target, weight, valid)
        (gradient,) = torch.autograd.grad(value, density)
        assert (gradient[~valid] == 0).all()
        found.append((value.detach(), gradient))
    assert all(torch.equal(value, found[0][0]) and torch.equal(gradient, found[0][1]) for value, gradient in found)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_sample_without_a_valid_cell_contributes_0(loss: nn.Module) -> None:
    density, target, weight, valid = batch_of()
    valid[1] = False
    rest = [0, 2]
    value = loss(density.requires_grad_(), target, weight, valid)
    others = loss(density[rest], target[rest], weight[rest], valid[rest])
    torch.testing.assert_close(value, others * 2 / 3)
    (gradient,) = torch.autograd.grad(value, density)
    assert gradient.isfinite().all()


def test_a_sample_without_mass_contributes_0_to_kl() -> None:
    density, target, _, valid = batch_of(1)
    assert float(KL()(density, torch.zeros_like(target), None, valid)) == 0


def test_kl_does_not_depend_on_the_mass_of_the_prediction() -> None:
    density, target, _, valid = batch_of()
    density = density.abs() + 0.01
    torch.testing.assert_close(KL()(density, target, None, valid), KL()(density * 3, target, None, valid))


@pytest.mark.parametrize("loss", LOSSES)
def test_losses_are_float32_under_autocast(loss: nn.Module) -> None:
    density, target, weight, valid = batch_of()
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(density, target, weight, valid)
    assert value.dtype == torch.float32
    assert value == loss(density, target, weight, valid)


@pytest.mark.parametrize("loss", LOSSES)
def test_shapes_that_do_not_fit_are_refused_with_the_fix(loss: nn.Module) -> None:
    density, target, weight, valid = batch_of()
    name = type(loss).__name__
    with pytest.raises(ValueError, match=rf"{name} needs densities .*got \[3, 2, 7, 9\]\. Use data\.out_channels=1"):
        loss(density.expand(-1, 2, -1, -1), target, weight, valid)
    with pytest.raises(ValueError, match=rf"{name} needs a target \[N, 5, H, W\].*got target \[3, 7, 9\].*task=binary"):
        loss(density, target[:, 0], weight, valid)
    with pytest.raises(ValueError, match=rf"{name} needs weight .*got weight \[3, 1, 7, 8\] .* Crop or pad it"):
        loss(density, target, weight[..., 1:], valid)
    with pytest.raises(ValueError, match=rf"{name} needs valid .*got valid \[3, 7, 9\] .* Crop or pad it"):
        loss(density, target, weight, valid[:, 0])


@pytest.mark.parametrize("kind", [RMSE, MAE])
@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf])
def test_a_scale_that_is_not_positive_is_refused(kind: type[nn.Module], scale: float) -> None:
    with pytest.raises(ValueError, match=r"loss=\w+ needs scale > 0; got .*Use loss\.scale=\$\{data\.density_scale\}"):
        kind(scale)


@pytest.mark.parametrize("floor", [0.0, -1.0, 1.0, math.nan])
def test_a_floor_that_is_no_probability_is_refused(floor: float) -> None:
    with pytest.raises(ValueError, match=r"loss=kl needs a floor above 0 and below 1, .*Use loss\.floor=1e-7"):
        KL(floor)
