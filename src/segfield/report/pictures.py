"""Small pictures of samples as data: URIs: the image, its mask, the mask over the image.

A picture shows the data and never changes it.
"""

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageColor

from segfield.data.images import picture

# Of classes from 1 on where the data has no colours: pink, which few pictures have, then Okabe and Ito's, told apart
# with any colour vision.
_COLOURS = ("#f0308c", "#56b4e9", "#009e73", "#f0e442", "#e69f00", "#0072b2", "#d55e00", "#999999")
_SIDE = 240  # longest side of a thumbnail in pixels; twice what is shown, for dense screens
_TINT = 0.4  # share of a class's colour over the image


def thumbnail(image: np.ndarray) -> str:
    """Return an image [C, H, W] as JPEG."""
    return _jpeg(_small(picture(image)).convert("RGB"))


def mask(target: np.ndarray, colours: Sequence[str] | None = None) -> str:
    """Return a target [H, W] of classes, or [K, H, W] in floats, as PNG: background black, a class in its colour."""
    return _png(Image.fromarray(_coloured(target, colours)[0]))


def overlay(image: np.ndarray, target: np.ndarray, colours: Sequence[str] | None = None) -> str:
    """Return an image [C, H, W] with its target over it as JPEG."""
    base = _small(picture(image)).convert("RGB")
    drawn, inside = _coloured(target, colours, base.size)
    alpha = (_TINT * inside)[..., None]
    if target.dtype.kind != "f":
        alpha[_edges(drawn)] = 1
    mixed = np.asarray(base) * (1 - alpha) + drawn * alpha
    return _jpeg(Image.fromarray(np.rint(mixed).astype(np.uint8)))


def _edges(drawn: np.ndarray) -> np.ndarray:
    """Return [h, w] bool: coloured pixels with a neighbour of another colour."""
    padded = np.pad(drawn, ((1, 1), (1, 1), (0, 0)), mode="edge")
    neighbours = padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]
    differ = np.logical_or.reduce([(other != drawn).any(axis=2) for other in neighbours])
    return np.asarray(differ & drawn.any(axis=2))


def sheet(pixels: np.ndarray) -> str:
    """Return a picture [H, W, 3] uint8 as JPEG, as large as it is."""
    return _jpeg(Image.fromarray(pixels))


def class_colours(colours: Sequence[str] | None, count: int) -> list[str]:
    """Return the colours of so many classes as CSS."""
    return ["#{:02x}{:02x}{:02x}".format(*row) for row in _palette(colours)[:count]]


def _coloured(
    target: np.ndarray, colours: Sequence[str] | None, size: tuple[int, int] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Colour a target, reduced to size (W, H), else to a thumbnail's.

    Returns:
        [h, w, 3] uint8, and how much of it is no background, [h, w] in [0, 1].
    """
    if target.dtype.kind == "f":
        values = np.nan_to_num(target.reshape(-1, *target.shape[-2:])[0]).astype(np.float32)
        values = np.clip(values / max(float(values.max()), 1e-12), 0, 1)
        small = np.asarray(_small(Image.fromarray(np.rint(255 * values).astype(np.uint8)), size))
        return np.repeat(small[..., None], 3, axis=2), small / 255
    small = np.asarray(_small(Image.fromarray(target.astype(np.uint8)), size, Image.Resampling.NEAREST))
    return _palette(colours)[small], (small > 0).astype(np.float64)


def _palette(colours: Sequence[str] | None) -> np.ndarray:
    """Return 256 colours: black for the background."""
    own = list(colours)[1:] if colours else []
    named = own or _COLOURS
    rows = [ImageColor.getrgb(named[index % len(named)])[:3] for index in range(255)]
    return np.array([(0, 0, 0), *rows], dtype=np.uint8)


def _small(
    one: Image.Image, size: tuple[int, int] | None = None, how: Image.Resampling = Image.Resampling.BOX
) -> Image.Image:
    if size is None:
        scale = _SIDE / max(one.size)
        size = max(1, round(one.width * scale)), max(1, round(one.height * scale))
    enlarged = size[0] > one.width
    return one.resize(size, Image.Resampling.NEAREST if enlarged else how)


def _jpeg(one: Image.Image) -> str:
    buffer = io.BytesIO()
    one.save(buffer, format="JPEG", quality=80)
    return f"data:image/jpeg;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _png(one: Image.Image) -> str:
    buffer = io.BytesIO()
    one.save(buffer, format="PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"
