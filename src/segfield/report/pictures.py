"""Small pictures of samples as data: URIs: the image, its mask, the mask over the image. Drawn by figures."""

import base64
import io

import numpy as np
from PIL import Image

from segfield.figures import Pixels, resize, tint, to_rgb
from segfield.figures.sheet import outlined

_SIDE = 240  # longest side of a thumbnail in pixels; twice what is shown, for dense screens


def thumbnail(image: np.ndarray) -> str:
    """Return an image [C, H, W] as JPEG."""
    return _jpeg(resize(to_rgb(image.transpose(1, 2, 0)), _size(image), Image.Resampling.BOX))


def mask(target: np.ndarray, colours: Pixels) -> str:
    """Return a target [H, W] of classes, or [K, H, W] in floats, as PNG: background black, a class in its colour.

    Args:
        target: of floats the first channel is shown, in grey up to its largest value.
        colours: [K, 3] of the classes.
    """
    drawn = np.repeat(_grey(target)[:, :, None], 3, axis=2) if target.dtype.kind == "f" else colours[target]
    return _uri(resize(drawn, _size(target), Image.Resampling.NEAREST), "png", optimize=True)


def overlay(image: np.ndarray, target: np.ndarray, colours: Pixels) -> str:
    """Return an image [C, H, W] with its target over it as JPEG, see mask()."""
    shown, size = image.transpose(1, 2, 0), _size(image)
    if target.dtype.kind != "f":
        return _jpeg(outlined(shown, target, colours, size))
    small = resize(to_rgb(shown), size, Image.Resampling.BOX)
    return _jpeg(tint(small, resize(_grey(target), size, Image.Resampling.BOX)))


def sheet(pixels: np.ndarray) -> str:
    """Return a picture [H, W, 3] uint8 as JPEG, as large as it is."""
    return _jpeg(pixels)


def css(colours: Pixels) -> list[str]:
    """Return colours [K, 3] as CSS, "#rrggbb" each."""
    return ["#{:02x}{:02x}{:02x}".format(*row) for row in colours.tolist()]


def _grey(target: np.ndarray) -> Pixels:
    """Return the first channel of a target in floats as 0 to 255."""
    values = np.nan_to_num(target.reshape(-1, *target.shape[-2:])[0]).astype(np.float32)
    return np.asarray(np.rint(255 * np.clip(values / max(float(values.max()), 1e-12), 0, 1)).astype(np.uint8))


def _size(array: np.ndarray) -> tuple[int, int]:
    """Return rows and columns of a thumbnail of [..., H, W]."""
    rows, columns = array.shape[-2:]
    scale = _SIDE / max(rows, columns)
    return max(1, round(rows * scale)), max(1, round(columns * scale))


def _jpeg(pixels: np.ndarray) -> str:
    return _uri(pixels, "jpeg", quality=80)


def _uri(pixels: np.ndarray, kind: str, **options: int) -> str:
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, format=kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
