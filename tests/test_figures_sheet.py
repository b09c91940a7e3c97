from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from segfield.figures import PREDICTED, sheet

Array = npt.NDArray[Any]


def pictures(number: int, rows: int = 64, columns: int = 80) -> tuple[list[Array], list[Array]]:
    """Make grey images, each with a foreground of rows 10..20, columns 10..30."""
    masks = [np.zeros((rows, columns), dtype=np.int64) for _ in range(number)]
    for mask in masks:
        mask[10:20, 10:30] = 1
    return [np.full((rows, columns, 3), 100, dtype=np.uint8) for _ in range(number)], masks


def test_sheet_has_columns_and_rows_with_white_gaps() -> None:
    drawn = sheet(*pictures(16))
    assert drawn.dtype == np.uint8
    assert drawn.shape == (4 * 64 + 3 * 4, 4 * 80 + 3 * 4, 3)
    assert (drawn[64:68] == 255).all()
    assert sheet(*pictures(5), columns=3).shape == (2 * 64 + 4, 3 * 80 + 8, 3)
    assert sheet(*pictures(2)).shape == (64, 2 * 80 + 4, 3)


def test_places_without_an_image_are_white() -> None:
    assert (sheet(*pictures(3), columns=2)[68:, 84:] == 255).all()


def test_foreground_is_outlined_and_tinted_and_the_rest_stays() -> None:
    drawn = sheet(*pictures(1))
    assert (drawn[10, 10:30] == PREDICTED).all()
    assert (drawn[15, 20] != 100).all()
    assert (drawn[30:] == 100).all()


def test_each_class_has_a_colour_of_its_own() -> None:
    images, masks = pictures(1)
    masks[0][40:50, 40:60] = 2
    drawn, chosen = sheet(images, masks), sheet(images, masks, colours=["#000000", "#ff0000", "#0000ff"])
    assert (drawn[10, 15] == PREDICTED).all()
    assert (drawn[40, 45] != PREDICTED).any()
    assert chosen[10, 15].tolist() == [255, 0, 0]
    assert chosen[40, 45].tolist() == [0, 0, 255]


def test_large_images_are_reduced() -> None:
    assert sheet(*pictures(1, 512, 1024)).shape == (256, 512, 3)


@pytest.mark.parametrize(("images", "masks", "columns"), [(0, 0, 4), (2, 1, 4), (2, 2, 0)])
def test_sheet_without_a_mask_for_each_image_is_refused(images: int, masks: int, columns: int) -> None:
    message = rf"sheet needs images, a mask for each.*got {images} images, {masks} masks and columns={columns}\. Give"
    with pytest.raises(ValueError, match=message):
        sheet(pictures(images)[0], pictures(masks)[1], columns)
