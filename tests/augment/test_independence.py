"""A sample becomes the same, bit for bit, in any batch, on any rank, whatever other changes there are."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from segfield.augment import Augmentation
from segfield.augment.colour import Brightness, Contrast, Gamma, HueSaturationValue
from segfield.augment.draws import Draws
from segfield.augment.geometry import Affine, Elastic

SIZE = (61, 83)  # odd, so that torch's blocks end inside of samples
KEYS = ("image", "target", "valid", "weight")


def whole(probability: float = 0.7) -> Augmentation:
    return Augmentation(
        0.5,
        0.5,
        Affine(probability, (-90, 90), (0.8, 1.2), (-0.1, 0.1), (-5, 5)),
        Elastic(probability, 4, 3.0),
        {
            "hsv": HueSaturationValue(probability, (-90, 90), (-0.2, 0.2), (-0.2, 0.2)),
            "brightness": Brightness(probability),
            "contrast": Contrast(probability),
            "gamma": Gamma(probability),
            "again": Brightness(probability),
        },
    )


Ranks = Callable[..., list[Any]]


def batch_of(indices: list[int]) -> dict[str, Any]:
    """Make samples that are functions of their index."""
    samples = [torch.Generator().manual_seed(index) for index in indices]
    rand = [torch.rand(4, *SIZE, generator=one) for one in samples]
    return {
        "image": torch.stack([values[:3] for values in rand]),
        "target": torch.stack([(values[0] * 4).long() for values in rand]),
        "valid": torch.stack([values[1:2] > 0.1 for values in rand]),
        "weight": torch.stack([values[3:] for values in rand]),
        "index": torch.tensor(indices),
    }


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("cut", [[1] * 8, [4, 4], [5, 3], [1, 7]], ids=["alone", "two ranks", "5 and 3", "1 and 7"])
@pytest.mark.parametrize("probability", [0.7, 1.0])
def test_sample_does_not_depend_on_its_batch_bit_for_bit(
    ranks: Ranks, cut: list[int], probability: float, threads: int
) -> None:
    def work() -> dict[str, bool]:
        torch.set_num_threads(threads)
        augmentation, order = whole(probability), [3, 0, 11, 7, 1, 2, 5, 4]
        together = augmentation(batch_of(order), 5, 2)
        parts = [augmentation(batch_of(part.tolist()), 5, 2) for part in torch.split(torch.tensor(order), cut)]
        return {key: torch.equal(torch.cat([part[key] for part in parts]), together[key]) for key in KEYS}

    # In a process of its own: after two threads in this one, a fork of it would wait for ever (libgomp).
    assert ranks(1, work) == [dict.fromkeys(KEYS, True)]


def test_same_seed_epoch_and_index_repeat_whatever_torch_drew_before() -> None:
    first = whole()(batch_of([0, 1, 2]), 5, 2)
    torch.rand(17)
    assert all(torch.equal(whole()(batch_of([0, 1, 2]), 5, 2)[key], first[key]) for key in KEYS)


@pytest.mark.parametrize(("seed", "epoch"), [(6, 2), (5, 3), (2, 5)])
def test_seed_and_epoch_change_every_sample(seed: int, epoch: int) -> None:
    first, second = whole(1.0)(batch_of([0, 1, 2]), 5, 2), whole(1.0)(batch_of([0, 1, 2]), seed, epoch)
    assert not any(torch.equal(a, b) for a, b in zip(first["image"], second["image"], strict=True))


def test_two_samples_of_a_batch_are_changed_differently() -> None:
    batch = batch_of([0, 0])
    batch["index"] = torch.tensor([0, 1])
    image = whole(1.0)(batch, 5, 2)["image"]
    assert not torch.equal(image[0], image[1])


def test_probability_of_one_change_does_not_move_the_draws_of_another() -> None:
    def moved(*, affine: float, elastic: float) -> list[bool]:
        augmentation = Augmentation(affine=Affine(affine, (5, 30)), elastic=Elastic(elastic, sigma=3.0))
        batch = batch_of(list(range(12)))
        return [not torch.equal(a, b) for a, b in zip(augmentation(batch, 5, 2)["image"], batch["image"], strict=True)]

    only_affine, only_elastic = moved(affine=0.4, elastic=0), moved(affine=0, elastic=0.4)
    both = moved(affine=0.4, elastic=0.4)
    assert both == [a or b for a, b in zip(only_affine, only_elastic, strict=True)]
    assert only_affine != only_elastic


def test_second_change_of_a_kind_has_draws_of_its_own() -> None:
    grey = {"image": torch.full((1, 1, 4, 4), 0.5), "index": torch.tensor([0])}
    once = Augmentation(colour={"a": Brightness(1.0)})(grey, 0, 0)["image"]
    twice = Augmentation(colour={"a": Brightness(1.0), "b": Brightness(1.0)})(grey, 0, 0)["image"]
    assert abs((twice - once) - (once - 0.5)).max() > 1e-3


def test_draws_of_this_seed_stay_what_they_are() -> None:
    draws = Draws(7, 3, [0, 5])
    matrices = Affine(1.0, (-90, 90), (0.5, 2.0), (-0.5, 0.5), (-9, 9)).sources(draws, (10, 20))
    assert matrices[:, :, 0].round(4).tolist() == [[0.6693, -0.549], [0.1386, 0.6975]]
    assert Elastic(1.0, 2, 1.0).displacements(draws, (10, 20))[1, 0].round(4).tolist() == [
        [-0.1689, -0.8209],
        [-0.779, 1.002],
    ]
    grey = {"image": torch.full((1, 3, 1, 1), 0.5), "index": torch.tensor([4])}
    changes = (Brightness(1.0), Gamma(1.0), HueSaturationValue(1.0, value=(-0.1, 0.1)))
    shown = [float(Augmentation(colour={"x": one})(grey, 7, 3)["image"][0, 0]) for one in changes]
    assert shown == pytest.approx([0.4087, 0.4183, 0.46], abs=1e-4)
