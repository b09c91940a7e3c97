"""Sheets of samples: images in rows, each with the outlines of what its mask holds."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from segfield.figures import GAP, Pixels, grey, resize, tile_size, tint, to_mask, to_rgb
from segfield.figures.classes import region_colours

_HEIGHT = 256  # the most rows of a tile


def sheet(
    images: Sequence[npt.ArrayLike],
    masks: Sequence[npt.ArrayLike],
    columns: int = 4,
    colours: Sequence[str] | None = None,
) -> Pixels:
    """Draw images in rows, each with the outline and a tint of every class of its mask but the background.

    Args:
        images: each [H, W] or [H, W, C], shown as panel() shows them.
        masks: of each image [H, W], bool or class indices; 0 is background.
        columns: the most images in a row.
        colours: "#rrggbb" of each class, the background's first; None: panel()'s yellow, of several classes palette().

    Returns:
        [h, w, 3]; every tile is as large as the largest image at most 256 rows high, on white.

    Raises:
        ValueError: if there is no image or not one mask for each, shapes do not fit, a mask holds floats, or a class
            has no colour.
    """
    if not images or len(images) != len(masks) or columns < 1:
        raise ValueError(
            f"sheet needs images, a mask for each, and columns; got {len(images)} images, {len(masks)} masks and "
            f"columns={columns}. Give as many masks as images, and columns=4."
        )
    numbers = [np.asarray(mask) for mask in masks]
    classes = 1 + max(int(mask.max(initial=0)) for mask in numbers)
    if colours is not None and len(colours) < classes:
        raise ValueError(f"sheet has {len(colours)} colours, a mask holds class {classes - 1}. Give one per class.")
    chosen = region_colours(classes, None if colours is None else colours[:classes])
    tiles = [
        outlined(image, mask, chosen, tile_size(np.shape(image)[:2], _HEIGHT))
        for image, mask in zip(images, numbers, strict=True)
    ]
    rows, width = (max(tile.shape[axis] for tile in tiles) + GAP for axis in (0, 1))
    columns = min(columns, len(tiles))
    result = np.full((-(-len(tiles) // columns) * rows, columns * width, 3), 255, dtype=np.uint8)
    for place, tile in enumerate(tiles):
        top, left = place // columns * rows, place % columns * width
        result[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return result[:-GAP, :-GAP]


def outlined(image: npt.ArrayLike, mask: npt.NDArray[Any], colours: Pixels, size: tuple[int, int]) -> Pixels:
    """Draw an image with the outline and a tint of every class of its mask but the background.

    Args:
        image: [H, W] or [H, W, C], shown as panel() shows it.
        mask: [H, W], bool or class indices.
        colours: [K, 3] of the classes.
        size: (rows, columns) of what is drawn.
    """
    picture = to_rgb(image)
    to_mask("mask", mask, picture.shape[:2])
    tile = resize(picture, size, Image.Resampling.LANCZOS)
    for number in np.unique(mask[mask != 0]).tolist():
        share = resize(grey(mask == number), size, Image.Resampling.BOX)
        tile = tint(tile, share, tuple(colours[number].tolist()))
    return tile
