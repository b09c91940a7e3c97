from typing import Any

import pytest
import torch

from segfield.augment import Augmentation
from segfield.augment.geometry import Affine

SEED, EPOCH = 7, 3
KEYS = ("image", "target", "valid", "weight")


def batch_of(indices: list[int], side: int = 7) -> dict[str, Any]:
    """Make samples of currents and a height, whose values depend on their index alone."""
    index = torch.tensor(indices)
    image = torch.stack([torch.rand(4, side, side, generator=torch.Generator().manual_seed(one)) for one in indices])
    return {
        "image": image,
        "target": (image[:, 3] * 1000).long(),
        "valid": image[:, :1] > 0.2,
        "weight": image[:, 3:] * 2,
        "index": index,
        "rules": ("east", "north", "stream", "scalar"),
        "aspect": index * 0.01 + 0.7,
    }


def turns_of(augmentation: Augmentation, samples: int, seed: int = SEED, epoch: int = EPOCH) -> list[int]:
    """Tell from the pixels how many quarter turns each sample made."""
    batch = batch_of(list(range(samples)))
    moved = augmentation(batch, seed, epoch)["target"]
    kinds = [batch["target"].rot90(number, (1, 2)) for number in range(4)]
    return [next(k for k, kind in enumerate(kinds) if torch.equal(kind[i], moved[i])) for i in range(samples)]


def test_draws_of_this_seed_stay_what_they_are() -> None:
    assert turns_of(Augmentation(quarter_turn=0.5), 8) == [1, 1, 0, 0, 0, 0, 3, 3]


def test_turns_by_90_180_and_270_degrees_come_alike_and_as_often_as_asked() -> None:
    found = turns_of(Augmentation(quarter_turn=0.75), 1200)
    assert all(240 < found.count(number) < 360 for number in range(4))


def test_seed_and_epoch_change_the_turns_and_flips_do_not() -> None:
    first = turns_of(Augmentation(quarter_turn=0.75), 40)
    assert turns_of(Augmentation(quarter_turn=0.75), 40) == first
    assert turns_of(Augmentation(quarter_turn=0.75), 40, epoch=EPOCH + 1) != first
    assert turns_of(Augmentation(quarter_turn=0.75), 40, seed=SEED + 1) != first
    batch = batch_of(list(range(40)))
    both = Augmentation(1.0, quarter_turn=0.75)(batch, SEED, EPOCH)["target"]
    expected = [batch["target"][i].flip(-1).rot90(number) for i, number in enumerate(first)]
    assert torch.equal(both, torch.stack(expected))


def test_pictures_turn_too_with_all_their_entries() -> None:
    batch = {key: value for key, value in batch_of(list(range(8))).items() if key not in ("rules", "aspect")}
    batch["image"] = (batch["image"] * 255).to(torch.uint8)
    result = Augmentation(quarter_turn=1.0)(batch, SEED, EPOCH)
    numbers = turns_of(Augmentation(quarter_turn=1.0), 8)
    assert 0 not in numbers
    for key in KEYS:
        expected = [batch[key][i].rot90(number, (-2, -1)) for i, number in enumerate(numbers)]
        assert torch.equal(result[key], torch.stack(expected)), key


@pytest.mark.parametrize("cut", [[1] * 12, [5, 7], [11, 1]])
def test_sample_does_not_depend_on_its_batch_bit_for_bit(cut: list[int]) -> None:
    augmentation, order = Augmentation(0.5, 0.5, quarter_turn=0.5), [3, 0, 11, 7, 1, 2, 5, 4, 10, 6, 9, 8]
    whole = augmentation(batch_of(order, 61), SEED, EPOCH)
    parts = [augmentation(batch_of(part.tolist(), 61), SEED, EPOCH) for part in torch.split(torch.tensor(order), cut)]
    for key in KEYS:
        assert torch.equal(torch.cat([part[key] for part in parts]), whole[key])


@pytest.mark.parametrize("flips", [(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)])
def test_a_map_that_does_next_to_nothing_gives_what_flip_and_turn_give(flips: tuple[float, float]) -> None:
    batch = {key: value for key, value in batch_of(list(range(8)), 16).items() if key not in ("rules", "aspect")}
    exact = Augmentation(*flips, quarter_turn=1.0)(batch, SEED, EPOCH)["image"]
    nearly = Affine(1.0, rotation=(1e-4, 1e-4))
    warped = Augmentation(*flips, nearly, quarter_turn=1.0)(batch, SEED, EPOCH)["image"]
    assert not torch.equal(exact, warped)
    assert torch.allclose(exact, warped, atol=1e-3)


def test_nothing_turned_keeps_the_tensors() -> None:
    batch = batch_of([0, 1])
    result = Augmentation(quarter_turn=1e-9)(batch, SEED, EPOCH)
    assert all(result[key] is batch[key] for key in batch)


def test_input_batch_is_never_modified() -> None:
    batch, untouched = batch_of(list(range(8))), batch_of(list(range(8)))
    Augmentation(0.5, 0.5, quarter_turn=0.9)(batch, SEED, EPOCH)["image"].zero_()
    assert all(torch.equal(batch[key], untouched[key]) for key in (*KEYS, "aspect"))


@pytest.mark.parametrize(
    ("more", "mend"),
    [({}, r"data\.size=\[6,6\]\."), ({"rules": ("scalar",)}, r"prepare a set with a region=\[S,N,W,E\]")],
)
def test_turns_of_what_is_not_square_are_refused(more: dict[str, Any], mend: str) -> None:
    batch = {"image": torch.zeros(1, 1, 6, 9), "index": torch.tensor([0]), **more}
    message = r"quarter_turn=0\.1 needs as many rows as columns; here are 6x9\. Use augmentation\.quarter_turn=0, or "
    with pytest.raises(ValueError, match=message + mend):
        Augmentation(quarter_turn=0.1)(batch, SEED, EPOCH)


def test_probability_outside_its_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"augmentation\.quarter_turn is a probability in \[0, 1\]; got 2"):
        Augmentation(quarter_turn=2)
