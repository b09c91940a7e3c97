"""Pictures of predictions: arrays in, uint8 images out; numpy and Pillow only.

A picture shows the data and never changes it: scaling happens on copies. Writing pictures is not done here. Colours of
the comparison: EKami's Carvana callback, github.com/EKami/carvana-challenge.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]

HIT = (64, 64, 64)  # grey, so that the two errors stand out
MISSED = (0, 0, 255)
FALSE_ALARM = (0, 255, 0)
PREDICTED = (255, 220, 0)  # yellow: not a colour of the comparison
GAP = 4  # pixels between tiles, white
_TINT = 0.35  # share of the colour inside a region
_DIM = 0.35  # brightness that is left outside `valid`
_HATCH = (110, 110, 110)
_TINY = 64  # an image with both sides below this is shown larger, with sides of about twice this


def panel(
    image: npt.ArrayLike,
    truth: npt.ArrayLike,
    prediction: npt.ArrayLike,
    height: int = 256,
    valid: npt.ArrayLike | None = None,
) -> Pixels:
    """Draw three tiles side by side: the image, truth against prediction, the prediction on the image.

    The comparison is grey where both are foreground, blue where the prediction missed the truth, green where it is a
    false alarm, black where both are background. Pixels outside `valid` are not compared; they are dim and hatched.

    Args:
        image: [H, W] or [H, W, C]. uint8 is shown as it is, anything else is stretched from its smallest to its largest
            finite value, all channels alike; NaN and infinite pixels are black, a constant image is mid-grey. Of one or
            two channels the first is shown in grey, of three or more the first three as red, green, blue.
        truth: [H, W], bool or integer; foreground is what is not 0.
        prediction: the same, after the threshold.
        height: the most rows to draw. A higher image is reduced, its masks by area. One with both sides below 64 is
            enlarged, each pixel to a square, to about 128.
        valid: [H, W] bool; None: all.

    Returns:
        [h, 3 w + 8, 3], h <= height, with h / w as H / W; three times the tile's width and two gaps.

    Raises:
        ValueError: if shapes do not fit one another, a mask holds floats, or height is below 1.
    """
    if height < 1:
        raise ValueError(f"panel needs a height of at least 1 pixel; got {height}. Use height=256.")
    picture = to_rgb(image)
    shape = picture.shape[:2]
    true, predicted = to_mask("truth", truth, shape), to_mask("prediction", prediction, shape)
    inside = np.ones(shape, dtype=np.bool_) if valid is None else to_mask("valid", valid, shape)
    errors = np.zeros((*shape, 3), dtype=np.uint8)
    for colour, where in ((HIT, true & predicted), (MISSED, true & ~predicted), (FALSE_ALARM, ~true & predicted)):
        errors[where & inside] = colour

    size = tile_size(shape, height)
    small = resize(picture, size, Image.Resampling.LANCZOS)
    outside = resize(grey(~inside), size, Image.Resampling.BOX) > 127
    tiles = (
        shade(small, outside),
        shade(resize(errors, size, Image.Resampling.BOX), outside),
        shade(tint(small, resize(grey(predicted), size, Image.Resampling.BOX)), outside),
    )
    gap = np.full((size[0], GAP, 3), 255, dtype=np.uint8)
    return np.concatenate([tiles[0], gap, tiles[1], gap, tiles[2]], axis=1)


def overlay(image: npt.ArrayLike, prediction: npt.ArrayLike, colours: Pixels | None = None) -> Pixels:
    """Draw a prediction on its image, at the size of both.

    Args:
        image: [H, W] or [H, W, C], as panel() takes it.
        prediction: [H, W], bool or class numbers; what is not 0 is tinted and outlined.
        colours: [K, 3] of the classes, see classes.palette(); None: yellow.

    Returns:
        [H, W, 3].

    Raises:
        ValueError: if the shapes do not fit one another, or the prediction holds floats.
    """
    picture = to_rgb(image)
    foreground = to_mask("prediction", prediction, picture.shape[:2])
    if colours is None:
        return tint(picture, grey(foreground))
    own = colours[np.asarray(prediction)]
    drawn = np.where(foreground[:, :, None], np.rint(picture * (1 - _TINT) + own * _TINT), picture)
    return np.where((foreground & _is_edge(np.asarray(prediction)))[:, :, None], own, drawn).astype(np.uint8)


def _is_edge(labels: npt.NDArray[Any]) -> Mask:
    """Tell which pixels have a neighbour of another class; the frame is none."""
    padded = np.pad(labels, 1, mode="edge")
    neighbours = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    edge: Mask = np.logical_or.reduce([one != labels for one in neighbours])
    return edge


def to_rgb(image: npt.ArrayLike) -> Pixels:
    """Turn any image into [H, W, 3] uint8."""
    values: npt.NDArray[Any] = np.asarray(image)
    if values.ndim == 2:
        values = values[:, :, None]
    if values.ndim != 3 or values.size == 0:
        raise ValueError(
            f"A picture is drawn of an image [H, W] or [H, W, C]; got {list(np.shape(image))}. "
            "Give one image; move the channels of a tensor last: image.permute(1, 2, 0)."
        )
    values = values[:, :, :3] if values.shape[2] >= 3 else values[:, :, :1]
    shown: Pixels = values if values.dtype == np.uint8 else _stretch(values)
    return np.broadcast_to(shown, (*shown.shape[:2], 3))


def _stretch(values: npt.NDArray[Any]) -> Pixels:
    """Map the range of the finite values to 0..255, on a copy."""
    copy = values.astype(np.float64)
    finite = np.isfinite(copy)
    copy[~finite] = np.nan
    if not finite.any():
        return np.zeros(values.shape, dtype=np.uint8)
    low, high = np.nanmin(copy), np.nanmax(copy)
    # Halves: the difference of the largest floats would overflow.
    copy = np.full_like(copy, 0.5) if high == low else (copy / 2 - low / 2) / (high / 2 - low / 2)
    return np.where(finite, np.rint(255 * np.where(finite, copy, 0)), 0).astype(np.uint8)


def to_mask(name: str, values: npt.ArrayLike, shape: tuple[int, ...]) -> Mask:
    """Check a mask and turn it into bool [H, W]."""
    mask: npt.NDArray[Any] = np.asarray(values)
    if mask.shape != shape:
        raise ValueError(
            f"A picture needs {name} in the image's H and W; got {name} {list(mask.shape)} for an image {list(shape)}. "
            "Crop the image to the output of the network; channels stand last."
        )
    if mask.dtype.kind not in "bui":
        raise ValueError(f"A picture needs {name} as bool or integer; got {mask.dtype}. Use {name} > 0.5.")
    foreground: Mask = mask != 0
    return foreground


def tile_size(shape: tuple[int, ...], height: int) -> tuple[int, int]:
    """Choose rows and columns of a tile."""
    rows, columns = shape
    if rows > height:
        return height, max(1, round(columns * height / rows))
    if max(rows, columns) < _TINY:
        factor = max(1, min(2 * _TINY // max(rows, columns), height // rows))
        return rows * factor, columns * factor
    return rows, columns


def resize(values: Pixels, size: tuple[int, int], how: Image.Resampling) -> Pixels:
    """Resize [H, W] or [H, W, 3] to `size` rows and columns; enlarging repeats pixels."""
    if values.shape[:2] == size:
        return values
    if size[0] > values.shape[0]:
        how = Image.Resampling.NEAREST
    return np.asarray(Image.fromarray(np.ascontiguousarray(values)).resize((size[1], size[0]), how))


def grey(mask: Mask) -> Pixels:
    """Turn a mask into 0 and 255."""
    return mask.astype(np.uint8) * np.uint8(255)


def tint(picture: Pixels, share: Pixels, colour: tuple[int, ...] = PREDICTED) -> Pixels:
    """Tint the picture by a region's share of each pixel (0..255), and draw the outline of the region."""
    alpha = _TINT * (share / 255.0)[:, :, None]
    result = np.rint(picture * (1 - alpha) + np.array(colour) * alpha).astype(np.uint8)
    region = share > 127
    # At the frame a region goes on, as far as anyone can see: no outline there.
    padded = np.pad(region, 1, mode="edge")
    neighbours = (padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:])
    # A bright line just inside and a dark one just outside: one of the two is visible on any picture.
    result[np.logical_or.reduce(neighbours) & ~region] //= 3
    result[~np.logical_and.reduce(neighbours) & region] = colour
    return result


def shade(tile: Pixels, outside: Mask) -> Pixels:
    """Dim and hatch a tile outside the valid pixels."""
    rows, columns = np.indices(outside.shape)
    result = np.where(outside[:, :, None], np.rint(tile * _DIM), tile).astype(np.uint8)
    result[outside & ((rows + columns) % 8 == 0)] = _HATCH
    return result
