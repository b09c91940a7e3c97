from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from segfield.augment import Augmentation
from segfield.augment.draws import Draws
from segfield.augment.geometry import Affine, Elastic


def batch_of(target: Tensor, samples: int = 1) -> dict[str, Any]:
    """Make equal samples [H, W] whose image and weight are their target."""
    one = target.float().expand(samples, 1, -1, -1).clone()
    return {
        "image": one.expand(-1, 3, -1, -1).clone(),
        "target": target.expand(samples, -1, -1).clone(),
        "weight": one,
        "valid": one > 0,
        "index": torch.arange(samples),
    }


def block(rows: slice, columns: slice, size: tuple[int, int] = (64, 128)) -> Tensor:
    target = torch.zeros(size, dtype=torch.int64)
    target[rows, columns] = 1
    return target


def box(target: Tensor) -> tuple[int, int, int, int]:
    """Find the first and the last row, the first and the last column of the foreground."""
    rows, columns = target.nonzero(as_tuple=True)
    return int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())


def mapped(target: Tensor, **ranges: float) -> Tensor:
    affine = Affine(1.0, **{name: (value, value) for name, value in ranges.items()})
    moved: Tensor = Augmentation(affine=affine)(batch_of(target), 0, 0)["target"][0]
    return moved


def middle(target: Tensor) -> Tensor:
    """Blank what a turned picture of 64x128 shows of reflections."""
    return torch.cat([target[:, :32] * 0, target[:, 32:96], target[:, 96:] * 0], dim=1)


def test_quarter_turn_makes_a_lying_block_stand_in_a_picture_twice_as_wide() -> None:
    lying, standing = block(slice(27, 37), slice(49, 79)), block(slice(17, 47), slice(59, 69))
    assert torch.equal(middle(mapped(lying, rotation=90)), standing)


def test_square_turned_by_30_degrees_keeps_its_area_and_is_as_high_as_wide() -> None:
    square = block(slice(22, 42), slice(54, 74))
    turned = middle(mapped(square, rotation=30))
    top, bottom, left, right = box(turned)
    assert abs(int(turned.sum()) - 400) < 10
    assert bottom - top == right - left
    assert 26 <= right - left <= 29


def test_positive_rotation_is_anticlockwise() -> None:
    assert box(middle(mapped(block(slice(30, 34), slice(80, 84)), rotation=90))) == (12, 15, 62, 65)


def test_shift_is_a_share_of_each_side_to_the_right_and_down() -> None:
    assert box(mapped(block(slice(30, 34), slice(60, 64)), shift=0.125)) == (38, 41, 76, 79)


def test_scale_above_one_enlarges_about_the_centre() -> None:
    assert box(mapped(block(slice(27, 37), slice(59, 69)), scale=2.0)) == (22, 41, 54, 73)


def test_positive_shear_leans_the_vertical_to_the_left() -> None:
    leaning = mapped(block(slice(12, 52), slice(62, 66)), shear=26.565)  # half a column a row
    assert box(leaning[12:13])[2:] == (52, 55)
    assert box(leaning[51:52])[2:] == (72, 75)


def test_picture_goes_on_as_its_reflection_beyond_the_border() -> None:
    target = torch.arange(64).expand(64, 64)
    moved = mapped(target, shift=0.25)
    assert torch.equal(moved[0], torch.cat([torch.arange(15, -1, -1), torch.arange(48)]))


@pytest.mark.parametrize("points", [2, 3, 5])
def test_elastic_adds_a_bicubic_displacement_between_its_points(points: int) -> None:
    elastic, size = Elastic(1.0, points, 3.0), (48, 96)
    ramps = torch.stack(torch.meshgrid(torch.arange(96.0), torch.arange(48.0), indexing="xy"))
    batch = {"target": ramps[None], "index": torch.tensor([5])}
    came_from = Augmentation(elastic=elastic)(batch, 1, 2)["target"][0]
    drawn = torch.from_numpy(elastic.displacements(Draws(1, 2, [5]), size)).float()
    expected = ramps + F.interpolate(drawn, size, mode="bicubic", align_corners=True)[0]
    inside = (slice(None), slice(16, 32), slice(16, 80))
    assert torch.allclose(came_from[inside], expected[inside], atol=1e-3)


def test_displacements_are_gaussian_with_sigma_pixels() -> None:
    drawn = Elastic(1.0, 3, 10.0).displacements(Draws(0, 0, range(400)), (256, 256))
    assert drawn.shape == (400, 2, 3, 3)
    assert abs(drawn.std() - 10) < 0.3
    assert abs(drawn.mean()) < 0.5


ALL = Augmentation(0.5, 0.5, Affine(0.7, (-30, 30), (0.8, 1.2), (-0.1, 0.1), (-5, 5)), Elastic(0.7, 3, 2.0))


def test_image_target_valid_and_weight_move_together() -> None:
    # Columns and rows are one another's neighbours: where the nearest pixel is p, the bilinear value is near p.
    ramp = torch.arange(32 * 32).view(32, 32) % 7
    batch = batch_of(ramp, 12)
    result = ALL(batch, 3, 1)
    assert not torch.equal(result["target"], batch["target"])
    assert torch.equal(result["image"][:, :1], result["weight"])
    assert torch.equal(result["image"][:, 2:], result["weight"])
    assert torch.equal(result["valid"][:, 0], result["target"] > 0)
    plain = batch_of(torch.arange(32).expand(32, 32), 12)
    moved = ALL(plain, 3, 1)
    assert (moved["weight"][:, 0] - moved["target"]).abs().max() <= 0.501 * 1.6  # half a pixel, enlarged


def test_targets_stay_class_indices_and_types_stay() -> None:
    target = torch.randint(0, 4, (33, 47), generator=torch.Generator().manual_seed(0)) * 1000
    result = ALL(batch_of(target, 8), 0, 0)
    assert set(result["target"].unique().tolist()) == {0, 1000, 2000, 3000}
    types = {key: result[key].dtype for key in ("image", "target", "weight", "valid")}
    assert types == {"image": torch.float32, "target": torch.int64, "weight": torch.float32, "valid": torch.bool}


def test_densities_are_bilinear_like_the_image() -> None:
    batch = batch_of(torch.arange(32).expand(32, 32), 4)
    batch["target"] = batch["image"].clone()
    result = ALL(batch, 0, 0)
    assert torch.equal(result["target"], result["image"])


def test_samples_that_are_not_warped_keep_their_bits() -> None:
    image = torch.rand(40, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    batch = {"image": image, "index": torch.arange(40)}
    result = Augmentation(affine=Affine(0.5, rotation=(-30, 30)), elastic=Elastic(0.1, sigma=1.0))(batch, 0, 0)
    kept = [torch.equal(a, b) for a, b in zip(result["image"], image, strict=True)]
    assert 8 < sum(kept) < 28


def test_ranges_that_change_nothing_keep_the_tensors() -> None:
    batch = batch_of(torch.eye(8).long(), 3)
    result = Augmentation(affine=Affine(1.0), elastic=Elastic(1.0, sigma=0.0))(batch, 0, 0)
    assert all(result[key] is batch[key] for key in batch)


def test_input_batch_is_never_modified() -> None:
    batch, untouched = batch_of(torch.eye(32).long(), 4), batch_of(torch.eye(32).long(), 4)
    ALL(batch, 0, 0)["image"].zero_()
    assert all(torch.equal(batch[key], untouched[key]) for key in batch)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Affine(2.0), r"augmentation\.affine\.probability is a probability in \[0, 1\]; got 2\.0\. Use 0\.5"),
        (
            lambda: Affine(rotation=(15, -15)),
            r"affine\.rotation is \[low, high\], in degrees.*got \[15, -15\]\. Use \[",
        ),
        (lambda: Affine(rotation=(0, 270)), r"rotation .* within \[-180, 180\]; got \[0, 270\]\. Use \[-15, 15\]"),
        (lambda: Affine(scale=(0, 1)), r"affine\.scale .*within \[0\.1, 10\]; got \[0, 1\]\. Use \[0\.9, 1\.1\]"),
        (lambda: Affine(shift=(-4, 4)), r"affine\.shift .*a share of the side, within \[-1, 1\]; got \[-4, 4\]"),
        (lambda: Affine(shear=(5,)), r"affine\.shear .* got \[5\]\. Use \[-5, 5\]"),
        (lambda: Affine(shear=(float("nan"), 5)), r"affine\.shear .* got \[nan, 5\]"),
        (lambda: Elastic(-1), r"augmentation\.elastic\.probability is a probability"),
        (lambda: Elastic(points=1), r"augmentation\.elastic\.points=1: a side has 2 to 32 points\. Use 3"),
        (lambda: Elastic(sigma=-1), r"augmentation\.elastic\.sigma=-1 is a deviation in pixels, 0 or more\. Use 10"),
        (lambda: Augmentation(affine=Elastic()), r"augmentation\.affine is a Elastic.*_target_=.*geometry\.Affine"),  # type: ignore[arg-type]
    ],
)
def test_settings_that_make_no_sense_are_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()


def test_displacements_beyond_the_next_point_are_refused() -> None:
    message = r"sigma=10 is more than the 7\.5 pixels between two of the 3 points .* 16x40.* Use .*sigma=1\.5, or ~"
    with pytest.raises(ValueError, match=message):
        Augmentation(elastic=Elastic())(batch_of(torch.zeros(16, 40).long()), 0, 0)
