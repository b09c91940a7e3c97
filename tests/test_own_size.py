"""From the working size to an image's own size, and what is decided there."""

import numpy as np
import pytest
import torch

from segfield.data.images import nearest
from segfield.run.evaluate import decided
from segfield.spatial import to_own_size


def test_own_size_equal_to_the_working_size_changes_nothing() -> None:
    values = torch.rand(2, 5, 7)
    found, inside = to_own_size(values, (5, 7), (5, 7))
    assert torch.equal(found, values)
    assert inside.all()


def test_a_ramp_stays_where_it_is() -> None:
    """Pixel centres keep their places: a value at (x + 0.5) / W of the width is there at every size."""
    ramp = ((torch.arange(16) + 0.5) / 16).expand(1, 8, 16)
    for width in (48, 40, 8):  # enlarged, by no whole number, and reduced
        found, _ = to_own_size(ramp, (8, 16), (8, width))
        expected = (torch.arange(width) + 0.5) / width
        edge = -(-width // 16) + 1
        torch.testing.assert_close(found[0, 0, edge:-edge], expected[edge:-edge], atol=1e-6, rtol=0)


def test_reducing_averages_instead_of_leaving_pixels_out() -> None:
    chessboard = (torch.arange(32)[:, None] + torch.arange(32)) % 2 * 1.0
    found, _ = to_own_size(chessboard[None], (32, 32), (8, 8))
    assert (found[:, 1:-1, 1:-1] - 0.5).abs().max() < 0.02


@pytest.mark.parametrize("own", [(20, 24), (40, 48), (30, 36), (10, 12), (7, 95)])
def test_the_centre_of_smaller_logits_is_where_a_crop_of_the_image_was(own: tuple[int, int]) -> None:
    image = np.zeros((20, 24), dtype=np.uint8)
    image[5:15, 7:16] = 1  # the centre of 10 x 9: the smaller half is cut off at the left
    found, inside = to_own_size(torch.rand(1, 10, 9), (20, 24), own)
    assert found.shape == (1, *own)
    assert np.array_equal(inside.numpy(), nearest(image, own))


def test_values_beyond_the_centre_are_the_nearest_and_are_decided_as_background() -> None:
    values = torch.ones(1, 2, 2)
    found, inside = to_own_size(values, (4, 4), (8, 8))
    assert (found == 1).all()
    assert inside.sum() == 16
    classes, again = decided(values, (4, 4), (8, 8), 0.5)
    assert torch.equal(classes > 0, inside)
    assert torch.equal(again, inside)


def test_a_probability_at_the_threshold_is_background_and_the_first_of_equal_classes_wins() -> None:
    classes, _ = decided(torch.tensor([[[0.3, 0.5]]]), (1, 2), (1, 2), 0.3)
    assert classes.tolist() == [[0, 1]]
    classes, _ = decided(torch.tensor([[[0.4, 0.1]], [[0.4, 0.1]], [[0.2, 0.8]]]), (1, 2), (1, 2), 0.9)
    assert classes.tolist() == [[0, 2]]
