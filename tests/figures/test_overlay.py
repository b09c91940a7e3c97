import numpy as np
import pytest

from segfield.figures import PREDICTED, overlay

COLOURS = np.array([(0, 0, 0), (200, 0, 0), (0, 0, 200)], dtype=np.uint8)


def test_a_mask_is_tinted_and_outlined_and_the_rest_is_the_image() -> None:
    image = np.full((20, 30, 3), 100, dtype=np.uint8)
    mask = np.zeros((20, 30), dtype=np.uint8)
    mask[5:15, 5:25] = 255
    drawn = overlay(image, mask)
    assert drawn.shape == (20, 30, 3)
    assert (drawn[0] == 100).all()
    assert tuple(drawn[5, 10]) == PREDICTED
    assert (drawn[10, 15] == np.rint(100 * 0.65 + np.array(PREDICTED) * 0.35)).all()


def test_classes_have_their_colours_and_lines_between_them() -> None:
    image = np.full((10, 12), 50, dtype=np.uint8)
    classes = np.zeros((10, 12), dtype=np.int64)
    classes[:, 2:6], classes[:, 6:] = 1, 2
    drawn = overlay(image, classes, COLOURS)
    assert (drawn[:, :2] == 50).all()
    assert (drawn[:, [2, 5]] == COLOURS[1]).all()
    assert (drawn[:, 6] == COLOURS[2]).all()
    assert (drawn[5, 3] == np.rint(50 * 0.65 + COLOURS[1] * 0.35)).all()
    assert (drawn[5, 9] == np.rint(50 * 0.65 + COLOURS[2] * 0.35)).all()


def test_a_prediction_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="A picture needs prediction in the image's H and W"):
        overlay(np.zeros((4, 4)), np.zeros((4, 5), dtype=np.uint8))
