"""Pictures of several classes: each class in its colour, and where a prediction is wrong.

Colours of the project's own: Okabe and Ito, Color Universal Design (2008), which the colour-blind can tell apart too.
"""

import colorsys
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from segfield.figures import (
    FALSE_ALARM,
    GAP,
    HIT,
    MISSED,
    PREDICTED,
    Mask,
    Pixels,
    grey,
    resize,
    shade,
    tile_size,
    to_mask,
    to_rgb,
)

CONFUSED = (255, 0, 0)  # one foreground class in place of another
_OWN = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")
_TURN = 0.61803  # of the circle of hues, from class to class: the golden ratio comes near no hue twice for long
_FIRST = 0.16  # hue; the first 12 then keep furthest from the others and from those above
_LINE = 16  # pixels of the legend's lines


def palette(classes: int, colours: Sequence[str] | None = None) -> Pixels:
    """Give the colour of each class.

    Args:
        classes: K.
        colours: K of "#rrggbb"; None: black for the background, then the project's own.

    Returns:
        [K, 3], red, green, blue.
    """
    if colours is None:
        colours = ["#000000", *_OWN, *map(_further, range(classes))][:classes]
    assert len(colours) == classes, "the data module compares them"
    return np.array([[int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in colours], dtype=np.uint8)


def region_colours(classes: int, colours: Sequence[str] | None = None) -> Pixels:
    """Give the colour of each class where regions are drawn on an image: palette()'s, of one foreground class yellow.

    Args:
        classes: K.
        colours: K of "#rrggbb"; None: the project's own.

    Returns:
        [K, 3], red, green, blue.
    """
    found = palette(classes, colours)
    if colours is None and classes <= 2:
        found[1:] = PREDICTED
    return found


def _further(number: int) -> str:
    hue, saturation, brightness = (_FIRST + number * _TURN) % 1, (0.5, 0.9)[number % 2], (1.0, 0.7, 0.85)[number % 3]
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, brightness)
    return f"#{round(255 * red):02x}{round(255 * green):02x}{round(255 * blue):02x}"


def class_panel(
    image: npt.ArrayLike,
    truth: npt.ArrayLike,
    prediction: npt.ArrayLike,
    colours: Pixels,
    names: Sequence[str] = (),
    height: int = 256,
    valid: npt.ArrayLike | None = None,
) -> Pixels:
    """Draw four tiles side by side: the image, the truth, the prediction, truth against prediction.

    The comparison is grey where the right foreground class is predicted, red where another one is, blue where the
    prediction missed the foreground, green where it is a false alarm, black where both are background. Pixels outside
    `valid` are not compared; they are dim and hatched. Below, a legend names the foreground classes.

    Args:
        image: as panel() takes it.
        truth: [H, W] integers, 0 to K - 1; anything where not valid.
        prediction: the same, everywhere.
        colours: [K, 3], see palette().
        names: of the K classes; none: no legend.
        height: the most rows of a tile, see panel().
        valid: [H, W] bool; None: all.

    Returns:
        [h + legend, 4 w + 12, 3], h <= height; the legend has 16 rows a line.

    Raises:
        ValueError: if shapes do not fit one another, a class is beyond the colours, or height is below 1.
    """
    if height < 1:
        raise ValueError(f"class_panel needs a height of at least 1 pixel; got {height}. Use height=256.")
    picture = to_rgb(image)
    shape = picture.shape[:2]
    inside: Mask = np.ones(shape, dtype=np.bool_) if valid is None else to_mask("valid", valid, shape)
    true, predicted = (
        _numbers(name, values, inside, len(colours)) for name, values in (("truth", truth), ("prediction", prediction))
    )
    compared = np.zeros((*shape, 3), dtype=np.uint8)
    both, right = (true > 0) & (predicted > 0), true == predicted
    kinds = ((HIT, both & right), (CONFUSED, both & ~right), (MISSED, ~right & (predicted == 0)))
    for colour, where in (*kinds, (FALSE_ALARM, ~right & (true == 0))):
        compared[where & inside] = colour

    size = tile_size(shape, height)
    outside = resize(grey(~inside), size, Image.Resampling.BOX) > 127
    small = resize(picture, size, Image.Resampling.LANCZOS)
    tiles = [
        small,
        *(resize(drawn, size, Image.Resampling.BOX) for drawn in (colours[true], colours[predicted], compared)),
    ]
    gap = np.full((size[0], GAP, 3), 255, dtype=np.uint8)
    row = np.concatenate([part for tile in tiles for part in (gap, shade(tile, outside))][1:], axis=1)
    return np.concatenate([row, *_legend(colours, names, row.shape[1])]) if names else row


def _numbers(name: str, values: npt.ArrayLike, inside: Mask, classes: int) -> npt.NDArray[Any]:
    """Check a map of classes; 0 where it does not count."""
    numbers: npt.NDArray[Any] = np.asarray(values)
    if numbers.shape != inside.shape:
        raise ValueError(
            f"class_panel needs {name} in the image's H and W; got {name} {list(numbers.shape)} for an image "
            f"{list(inside.shape)}. Crop the image to the output of the network; channels stand last."
        )
    if numbers.dtype.kind not in "bui":
        raise ValueError(f"class_panel needs {name} as integers; got {numbers.dtype}. Use probabilities.argmax(0).")
    numbers = np.where(inside, numbers, 0)
    if numbers.size and not 0 <= numbers.min() <= numbers.max() < classes:
        wrong = numbers.max() if numbers.max() >= classes else numbers.min()
        raise ValueError(f"{name} holds the class {wrong}, colours are for 0 to {classes - 1}. Give one per class.")
    return numbers


def _legend(colours: Pixels, names: Sequence[str], width: int) -> list[Pixels]:
    """Draw lines of [16, width, 3] with the foreground's names, each behind a square of its colour."""
    lines: list[Pixels] = []
    drawing = ImageDraw.Draw(line := Image.new("RGB", (width, _LINE), "white"))
    x = GAP
    for colour, name in zip(colours[1:].tolist(), names[1:], strict=True):
        length = _LINE + round(drawing.textlength(name)) + GAP
        if x > GAP and x + length > width:
            lines.append(np.array(line))
            drawing = ImageDraw.Draw(line := Image.new("RGB", (width, _LINE), "white"))
            x = GAP
        drawing.rectangle((x, 3, x + _LINE - 7, _LINE - 4), fill=tuple(colour), outline="black")
        drawing.text((x + _LINE - 3, 2), name, fill="black")
        x += length + GAP
    return [*lines, np.array(line)]
