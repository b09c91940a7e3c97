"""Heads of densities: from logits, valid cells and the image that the network saw."""

import math

import pytest
import torch
from torch import Tensor, nn

from segfield.heads import Conserving, Plain, Residual

SCALE = 50.0
HEADS = (Plain, Residual, Conserving)


def batch_of(samples: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    rng = torch.Generator().manual_seed(0)
    logits = torch.randn(samples, 1, 6, 8, generator=rng)
    valid = torch.rand(samples, 1, 6, 8, generator=rng) > 0.3
    image = torch.rand(samples, 3, 6, 8, generator=rng)
    return logits, valid, image


def test_a_plain_head_divides_the_logits_by_the_scale() -> None:
    logits, valid, image = batch_of()
    assert torch.equal(Plain(SCALE)(logits, None, image), logits / SCALE)
    assert torch.equal(Plain(SCALE)(logits, valid, image)[valid], (logits / SCALE)[valid])


def test_a_residual_head_adds_the_logits_to_the_last_channel_of_the_image() -> None:
    logits, _, image = batch_of()
    torch.testing.assert_close(Residual(SCALE)(logits, None, image), (image[:, 2:] + logits) / SCALE)


def test_a_residual_head_of_a_network_that_gives_nothing_is_persistence() -> None:
    density = torch.rand(2, 1, 6, 8) / 48
    image = torch.cat((torch.randn(2, 2, 6, 8), density * SCALE), 1)
    torch.testing.assert_close(Residual(SCALE)(torch.zeros(2, 1, 6, 8), None, image), density)


def test_a_conserving_head_keeps_the_mass_that_is_inside() -> None:
    logits, valid, image = batch_of()
    density = Conserving(SCALE)(logits * 10, valid, image)
    inside = (image[:, 2:] * valid).sum((1, 2, 3)) / SCALE
    torch.testing.assert_close(density.sum((1, 2, 3)), inside)
    assert density.min() >= 0


def test_a_conserving_head_shares_the_mass_out_as_a_softmax_over_the_valid_cells() -> None:
    logits, valid, image = batch_of(1)
    density = Conserving(SCALE)(logits, valid, image)
    expected = torch.softmax(logits[valid], 0) * image[:, 2:][valid].sum() / SCALE
    torch.testing.assert_close(density[valid], expected)


@pytest.mark.parametrize("kind", HEADS)
def test_the_density_is_0_outside_and_neither_it_nor_a_gradient_knows_what_stands_there(kind: type[nn.Module]) -> None:
    found = []
    for other in (1.0, math.nan, math.inf):
        logits, valid, image = batch_of()
        logits[~valid] = image[:, 2:][~valid] = other
        density = kind(SCALE)(logits.requires_grad_(), valid, image)
        assert (density[~valid] == 0).all()
        (gradient,) = torch.autograd.grad((density**2).sum(), logits)
        found.append((density.detach(), gradient))
    for density, gradient in found[1:]:
        assert torch.equal(density, found[0][0])
        assert torch.equal(gradient, found[0][1])
    assert found[0][1].isfinite().all()


@pytest.mark.parametrize("kind", HEADS)
def test_a_sample_without_a_valid_cell_is_0_and_the_others_stay_as_they_are(kind: type[nn.Module]) -> None:
    logits, valid, image = batch_of()
    whole = kind(SCALE)(logits, valid, image)
    valid = valid.clone()
    valid[1] = False
    density = kind(SCALE)(logits.requires_grad_(), valid, image)
    assert (density[1] == 0).all()
    assert torch.equal(density[[0, 2]], whole[[0, 2]])
    (gradient,) = torch.autograd.grad((density**2).sum(), logits)
    assert gradient.isfinite().all()


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("given", [torch.float64, torch.bfloat16])
def test_densities_are_float32_whatever_the_logits_come_in(kind: type[nn.Module], given: torch.dtype) -> None:
    logits, valid, image = batch_of()
    with torch.autocast("cpu", torch.bfloat16):
        density = kind(SCALE)(logits.to(given), valid, image)
    assert density.dtype == torch.float32
    assert torch.equal(density, kind(SCALE)(logits.to(given).float(), valid, image))


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan, math.inf])
def test_a_scale_that_is_not_positive_is_refused(kind: type[nn.Module], scale: float) -> None:
    with pytest.raises(ValueError, match=r"head=\w+ needs scale > 0; got .*Use head\.scale=\$\{data\.density_scale\}"):
        kind(scale)


@pytest.mark.parametrize("kind", HEADS)
def test_shapes_that_do_not_fit_are_refused_with_the_fix(kind: type[nn.Module]) -> None:
    logits, valid, image = batch_of()
    name, head = kind.__name__, kind(SCALE)
    with pytest.raises(ValueError, match=rf"{name} needs logits .*got \[3, 2, 6, 8\]\. Use data\.out_channels=1"):
        head(logits.expand(-1, 2, -1, -1), valid, image)
    with pytest.raises(ValueError, match=rf"{name} needs valid .*got valid \[3, 1, 4, 8\] .*Crop it to them"):
        head(logits, valid[:, :, 2:], image)
    with pytest.raises(ValueError, match=rf"{name} needs image .*got image \[1, 3, 6, 8\] .*Crop it to them"):
        head(logits, valid, image[:1])
