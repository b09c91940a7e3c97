import numpy as np
import pytest
import torch
import torch.nn.functional as F

from segfield.spatial import (
    centre_crop,
    mirror_extend,
    nearest_valid_sides,
    pad_to_multiple,
    valid_input_side,
    valid_output_side,
    warp,
    warp_grid,
)


def output_by_walking(side: int, depth: int) -> int | None:
    """Side that leaves an unpadded U-Net, by its layers; None where a pooling meets an odd side or nothing is left."""
    side -= 4
    if depth > 0:
        below = output_by_walking(side // 2, depth - 1) if side > 0 and side % 2 == 0 else None
        if below is None:
            return None
        side = 2 * below - 4
    return side if side > 0 else None


def centred_border(inner: int, outer: int) -> tuple[int, int]:
    before = (outer - inner) // 2
    return before, outer - inner - before


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
def test_valid_sides_are_those_that_walk_through_the_network(depth: int) -> None:
    valid = [side for side in range(1, 900) if output_by_walking(side, depth) is not None]
    for side in range(1, valid[-1] + 1):
        below = max((v for v in valid if v <= side), default=None)
        assert nearest_valid_sides(side, depth) == (below, min(v for v in valid if v >= side))


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
def test_output_side_is_what_walking_through_the_network_leaves(depth: int) -> None:
    sides = [side for side in range(1, 900) if output_by_walking(side, depth) is not None]
    assert [valid_output_side(side, depth) for side in sides] == [output_by_walking(side, depth) for side in sides]


def test_four_poolings_take_sides_16k_plus_12_from_188_and_lose_184_pixels() -> None:
    assert [s for s in range(1, 300) if nearest_valid_sides(s, 4)[1] == s] == [188, 204, 220, 236, 252, 268, 284]
    assert nearest_valid_sides(500, 4) == (492, 508)
    assert nearest_valid_sides(187, 4) == (None, 188)
    assert valid_output_side(572, 4) == 388


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5])
def test_input_side_is_the_smallest_whose_output_covers_the_image(depth: int) -> None:
    for output in range(1, 300):
        side = valid_input_side(output, depth)
        below = nearest_valid_sides(side - 1, depth)[0]
        assert nearest_valid_sides(side, depth)[0] == side
        assert valid_output_side(side, depth) >= output
        assert below is None or valid_output_side(below, depth) < output


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (2, 5), (5, 2), (3, 40), (33, 8)])
@pytest.mark.parametrize("to", [(40, 40), (57, 101), (300, 40)])
def test_mirror_extension_equals_numpys_repeated_reflection(size: tuple[int, int], to: tuple[int, int]) -> None:
    x = np.random.default_rng(0).normal(size=(2, 3, *size))
    border = [(0, 0), (0, 0), centred_border(size[0], to[0]), centred_border(size[1], to[1])]
    np.testing.assert_array_equal(mirror_extend(torch.from_numpy(x), to), np.pad(x, border, mode="reflect"))


def test_mirror_extension_does_not_double_the_edge_pixel() -> None:
    row = mirror_extend(torch.tensor([[0, 1, 2]]), (1, 11))
    assert row.tolist() == [[0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2]]


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int64, torch.bfloat16, torch.float64])
def test_mirror_extension_keeps_every_dtype(dtype: torch.dtype) -> None:
    extended = mirror_extend(torch.tensor([[0, 1, 1]]).to(dtype), (3, 5))
    assert extended.dtype == dtype
    assert extended.tolist() == [[1, 0, 1, 1, 1]] * 3


def test_mirror_extension_to_a_smaller_side_is_refused() -> None:
    with pytest.raises(AssertionError, match="cannot extend a side of 5 to 4"):
        mirror_extend(torch.zeros(4, 5), (4, 4))


def test_crop_takes_the_smaller_half_off_the_top_and_the_left() -> None:
    x = torch.arange(30).reshape(5, 6)
    assert centre_crop(x, (2, 3)).tolist() == [[7, 8, 9], [13, 14, 15]]


def test_crop_to_a_larger_side_is_refused() -> None:
    with pytest.raises(AssertionError, match="cannot crop 4x5 to 4x6"):
        centre_crop(torch.zeros(4, 5), (4, 6))


def test_crop_takes_off_what_the_extension_put_on() -> None:
    for height in range(1, 9):
        for width in range(1, 9):
            x = torch.rand(3, height, width)
            assert torch.equal(centre_crop(mirror_extend(x, (13, 16)), (height, width)), x)


def test_padding_to_a_multiple_gives_the_next_one_in_both_axes() -> None:
    assert pad_to_multiple(torch.zeros(3, 1, 33), 16).shape == (3, 16, 48)


def test_padding_to_a_multiple_leaves_a_fitting_image_alone() -> None:
    x = torch.rand(3, 32, 48)
    assert pad_to_multiple(x, 16) is x


@pytest.mark.parametrize("size", [(60, 100), (33, 64), (5, 4), (1, 7)])
@pytest.mark.parametrize("points", [2, 3, 4, 7])
def test_warp_grid_is_torchs_affine_grid_plus_a_bicubic_displacement(size: tuple[int, int], points: int) -> None:
    generator, (height, width) = torch.Generator().manual_seed(0), size
    displacement = torch.randn(3, 2, points, points, generator=generator)
    matrix = torch.eye(2, 3) + 0.1 * torch.randn(3, 2, 3, generator=generator)
    # torch counts in halves of the side, the grid's matrix in pixels.
    unit = torch.tensor([2 / width, 2 / height])
    theta = matrix * unit[:, None] / torch.cat([unit, torch.ones(1)])
    pixels = F.interpolate(displacement, size, mode="bicubic", align_corners=True)
    expected = F.affine_grid(theta, [3, 1, *size], align_corners=False) + (pixels * unit[:, None, None]).permute(
        0, 2, 3, 1
    )
    assert torch.allclose(warp_grid(matrix, displacement, size), expected, atol=1e-4)


def test_warp_by_the_identity_gives_the_picture() -> None:
    picture = torch.arange(35.0).view(1, 1, 5, 7)
    grid = warp_grid(torch.eye(2, 3)[None], None, (5, 7))
    assert torch.equal(warp(picture, grid, "nearest"), picture)
    assert torch.allclose(warp(picture, grid, "bilinear"), picture, atol=1e-4)
