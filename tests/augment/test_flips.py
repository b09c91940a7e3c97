from typing import Any

import pytest
import torch

from segfield.augment import Augmentation

SEED, EPOCH = 7, 3


def batch_of(indices: list[int]) -> dict[str, Any]:
    """Make samples whose pixels depend on their index alone, all pixels different."""
    index = torch.tensor(indices)
    ramp = torch.arange(6 * 5).view(6, 5)
    target = index[:, None, None] * 1000 + ramp
    return {
        "image": torch.stack([target, target + 0.5, target + 0.25], 1).float(),
        "target": target,
        "valid": target[:, None] % 2 == 0,
        "weight": target[:, None].float() / 7,
        "id": [f"sample {i}" for i in indices],
        "group": ["g" for _ in indices],
        "index": index,
    }


def flips_of(augmentation: Augmentation, samples: int, seed: int = SEED, epoch: int = EPOCH) -> list[str]:
    """Tell from the pixels what happened to each sample: '', 'h', 'v' or 'hv'."""
    batch = batch_of(list(range(samples)))
    moved = augmentation(batch, seed, epoch)["target"]
    kinds = {"": [], "h": [-1], "v": [-2], "hv": [-1, -2]}
    return [
        next(name for name, dims in kinds.items() if torch.equal(moved[i], batch["target"][i].flip(dims)))
        for i in range(samples)
    ]


def test_draws_of_this_seed_stay_what_they_are() -> None:
    assert flips_of(Augmentation(0.5, 0.5), 8) == ["", "v", "h", "hv", "hv", "v", "v", ""]


def test_image_target_valid_and_weight_move_together() -> None:
    batch = batch_of(list(range(8)))
    result = Augmentation(0.5, 0.5)(batch, SEED, EPOCH)
    assert not torch.equal(result["target"], batch["target"])
    assert torch.equal(result["image"][:, 0], result["target"].float())
    assert torch.equal(result["image"][:, 2], result["target"] + 0.25)
    assert torch.equal(result["valid"][:, 0], result["target"] % 2 == 0)
    assert torch.equal(result["weight"][:, 0], result["target"].float() / 7)


def test_horizontal_flip_exchanges_left_and_right() -> None:
    batch = batch_of([4, 2])
    result = Augmentation(horizontal_flip=1.0)(batch, SEED, EPOCH)
    assert torch.equal(result["image"], batch["image"].flip(-1))


def test_vertical_flip_exchanges_top_and_bottom() -> None:
    batch = batch_of([4, 2])
    result = Augmentation(vertical_flip=1.0)(batch, SEED, EPOCH)
    assert torch.equal(result["target"], batch["target"].flip(-2))


@pytest.mark.parametrize("cut", [[1] * 12, [5, 7], [11, 1]])
def test_sample_does_not_depend_on_its_batch_bit_for_bit(cut: list[int]) -> None:
    augmentation, order = Augmentation(0.5, 0.5), [3, 0, 11, 7, 1, 2, 5, 4, 10, 6, 9, 8]
    whole = augmentation(batch_of(order), SEED, EPOCH)
    parts = [augmentation(batch_of(part.tolist()), SEED, EPOCH) for part in torch.split(torch.tensor(order), cut)]
    for key in ("image", "target", "valid", "weight"):
        assert torch.equal(torch.cat([part[key] for part in parts]), whole[key])


def test_same_seed_epoch_and_index_repeat_whatever_torch_drew_before() -> None:
    augmentation = Augmentation(0.5, 0.5)
    first = flips_of(augmentation, 30)
    torch.rand(17)
    assert flips_of(augmentation, 30) == first


def test_seed_and_epoch_change_the_draws() -> None:
    augmentation = Augmentation(0.5, 0.5)
    first = flips_of(augmentation, 60)
    assert flips_of(augmentation, 60, epoch=EPOCH + 1) != first
    assert flips_of(augmentation, 60, seed=SEED + 1) != first
    assert flips_of(augmentation, 60, seed=EPOCH, epoch=SEED) != first


def test_probability_of_one_flip_does_not_change_the_other() -> None:
    both, alone = flips_of(Augmentation(0.5, 0.5), 60), flips_of(Augmentation(0.0, 0.5), 60)
    assert ["v" in kind for kind in both] == ["v" in kind for kind in alone]


def test_flips_come_as_often_as_asked_and_independently() -> None:
    found = flips_of(Augmentation(0.5, 0.25), 2000)
    horizontal, vertical = sum("h" in kind for kind in found), sum("v" in kind for kind in found)
    assert 900 < horizontal < 1100
    assert 400 < vertical < 600
    assert 180 < found.count("hv") < 320


def test_probability_zero_gives_an_equal_batch_in_a_new_dict() -> None:
    batch = batch_of([0, 1])
    result = Augmentation()(batch, SEED, EPOCH)
    assert result is not batch
    assert all(result[key] is batch[key] for key in batch)


def test_input_batch_is_never_modified() -> None:
    batch, untouched = batch_of(list(range(8))), batch_of(list(range(8)))
    Augmentation(0.5, 0.5)(batch, SEED, EPOCH)["image"].zero_()
    assert batch.keys() == untouched.keys()
    assert all(torch.equal(batch[k], untouched[k]) for k in ("image", "target", "valid", "weight", "index"))
    assert batch["id"] == untouched["id"]


def test_absent_and_none_entries_stay_so() -> None:
    batch = batch_of([0, 1, 2, 3])
    del batch["weight"]
    batch["valid"] = None
    result = Augmentation(1.0, 1.0)(batch, SEED, EPOCH)
    assert "weight" not in result
    assert result["valid"] is None
    assert result["id"] == batch["id"]


def test_uint8_images_and_several_target_channels_keep_type_and_shape() -> None:
    batch = batch_of([0, 1])
    batch["image"] = batch["image"].to(torch.uint8)
    batch["target"] = torch.rand(2, 4, 6, 5)
    result = Augmentation(1.0, 0.0)(batch, SEED, EPOCH)
    assert result["image"].dtype == torch.uint8
    assert torch.equal(result["target"], batch["target"].flip(-1))


def test_large_seeds_and_indices_are_accepted() -> None:
    batch = batch_of([0, 1])
    batch["index"] = torch.tensor([0, 2**62])
    assert Augmentation(1.0, 1.0)(batch, 2**63, EPOCH)["target"].shape == batch["target"].shape


@pytest.mark.parametrize("name", ["horizontal_flip", "vertical_flip"])
@pytest.mark.parametrize("probability", [-0.1, 1.5, float("nan")])
def test_probability_outside_its_range_is_refused(name: str, probability: float) -> None:
    with pytest.raises(ValueError, match=rf"augmentation\.{name} is a probability in \[0, 1\]; got .* Use 0\.5"):
        Augmentation(**{name: probability})


def test_negative_seed_is_refused() -> None:
    with pytest.raises(ValueError, match=r"seed of at least 0; got -1\. Use seed=0"):
        Augmentation(0.5)(batch_of([0]), -1, EPOCH)
