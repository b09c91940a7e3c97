"""Blobs: textured ellipses and polygons, some touching, on a textured background; drawn on demand, no files.

What makes a blob is its fine stripes and its outline, not its brightness: blob and background colours come from the
same range, the background has blotches as strong as the blobs' contrast, and a light falls across both.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import final

import numpy as np
from PIL import Image, ImageDraw

from segfield.data.images import read_image
from segfield.data.module import PixelwiseData
from segfield.data.sample import Sample


@final
@dataclass(kw_only=True, eq=False, repr=False)
class Blobs(PixelwiseData):
    """Drawn images [3, H, W] and masks. Sample i is a pure function of (content_seed, i, size).

    The mask is binary; with out_channels of 3 its classes are 1 for ellipses and 2 for polygons, of the same image.

    Args:
        length: number of samples; each is a group of its own.
        content_seed: of what is drawn; another number gives another data set.
    """

    length: int = 400
    size: Sequence[int] | None = (128, 128)
    content_seed: int = 0

    def samples(self) -> list[Sample]:
        """List the samples; nothing is drawn yet."""
        if self.size is None:
            raise ValueError("data=blobs is drawn at data.size, which is null. Use data.size=[128,128].")
        if self.length < 2:
            raise ValueError(f"data.length={self.length} leaves nothing to split in two parts. Use data.length=400.")
        if self.out_channels not in (1, 2, 3):
            raise ValueError(
                f"data=blobs draws blobs, or ellipses and polygons; data.out_channels={self.out_channels} wants more. "
                "Use data=blobs, or data=blobs_shapes with its 3 classes."
            )
        return [Sample(f"{i:06d}", f"{i:06d}", {"index": i}) for i in range(self.length)]

    def read(self, sample: Sample, size: Sequence[int] | None) -> dict[str, np.ndarray]:
        """Draw one sample at data.size, which is its own: image [3, H, W] uint8, target [H, W] uint8."""
        size = size or self.size
        assert size is not None, "samples() refuses it"
        height, width = size
        rng = np.random.default_rng([self.content_seed, sample.attributes["index"], height, width])
        image = _smooth_noise(rng, height, width, cells=5, channels=3) * 0.18 + rng.uniform(0.3, 0.7, (3, 1, 1))
        target = np.zeros((height, width), dtype=np.uint8)
        for top, left, inside, kind in _outlines(rng, height, width):
            window = (..., slice(top, top + inside.shape[0]), slice(left, left + inside.shape[1]))
            image[window] = np.where(inside, _striped(rng, image[window]), image[window])
            target[window][inside] = kind if self.out_channels == 3 else 1
        light = _smooth_noise(rng, height, width, cells=2, channels=1) * 0.25 + 1.0
        noise = rng.standard_normal((3, height, width), dtype=np.float32) * 0.02
        return {"image": (np.clip(image * light + noise, 0, 1) * 255).astype(np.uint8), "target": target}

    def read_picture(self, path: Path, size: Sequence[int] | None) -> np.ndarray:
        """Read a file in place of a drawn image: [C, H, W] uint8."""
        return read_image(path, self.in_channels, size)


def _outlines(rng: np.random.Generator, height: int, width: int) -> Iterator[tuple[int, int, np.ndarray, int]]:
    """Yield 3 to 6 ellipses and polygons: first row, first column, [h, w] bool, 1 for an ellipse or 2."""
    side = min(height, width)
    x, y, reach = 0.0, 0.0, 0.0
    for number in range(int(rng.integers(3, 7))):
        radius = side * rng.uniform(0.12, 0.24)
        angle, beside = rng.uniform(0, 2 * np.pi), rng.random() < 0.35
        if number and beside:  # the last one, so that they touch
            x, y = x + np.cos(angle) * (reach + radius) * 0.9, y + np.sin(angle) * (reach + radius) * 0.9
        else:
            x, y = rng.uniform(0.1, 0.9) * width, rng.uniform(0.1, 0.9) * height
        reach = radius
        top, bottom = (int(np.clip(y + way * radius, 0, height)) for way in (-1, 1))
        left, right = (int(np.clip(x + way * radius, 0, width)) for way in (-1, 1))
        if top < bottom and left < right:
            canvas = Image.new("1", (right - left, bottom - top))
            corners, kind = _corners(rng, radius)
            points = corners + np.array([x - left, y - top])
            ImageDraw.Draw(canvas).polygon([tuple(point) for point in points.tolist()], fill=1)
            yield top, left, np.asarray(canvas), kind


def _corners(rng: np.random.Generator, radius: float) -> tuple[np.ndarray, int]:
    """Return corners [n, 2] as (x, y) around 0 of an ellipse, and 1; or of an irregular polygon, and 2. Tilted."""
    is_ellipse = rng.random() < 0.5
    if is_ellipse:
        angles = np.arange(40) * (2 * np.pi / 40)
    else:
        count = int(rng.integers(3, 8))
        angles = (np.arange(count) + rng.uniform(-0.3, 0.3, count)) * (2 * np.pi / count)
    flat, tilt = rng.uniform(0.55, 1.0), rng.uniform(0, np.pi)
    upright = np.stack([np.cos(angles), np.sin(angles) * flat], axis=1) * radius
    corners = np.asarray(upright @ [[np.cos(tilt), np.sin(tilt)], [-np.sin(tilt), np.cos(tilt)]])
    return corners, 1 if is_ellipse else 2


def _striped(rng: np.random.Generator, behind: np.ndarray) -> np.ndarray:
    """Return [3, h, w] of fine stripes in a colour of its own that lets some of what is behind through."""
    height, width = behind.shape[1:]
    colour = rng.uniform(0.2, 0.8, (3, 1, 1)).astype(np.float32)
    angle, period, strength = rng.uniform(0, np.pi), rng.uniform(4.0, 7.0), rng.uniform(0.15, 0.25)
    turn = 2 * np.pi / period
    phase = (np.arange(height) * (turn * np.sin(angle)))[:, None] + np.arange(width) * (turn * np.cos(angle))
    return np.asarray(0.2 * behind + 0.8 * colour + np.sin(phase) * strength)


def _smooth_noise(rng: np.random.Generator, height: int, width: int, *, cells: int, channels: int) -> np.ndarray:
    """Return [channels, H, W] float32 in about [-1, 1], smooth over 1 / cells of the side."""
    coarse = rng.uniform(-1, 1, (channels, cells + 1, cells + 1)).astype(np.float32)
    rows, columns = (_weights(size, cells) for size in (height, width))
    return np.asarray(rows @ coarse @ columns.T)


def _weights(size: int, cells: int) -> np.ndarray:
    """Return [size, cells + 1]: linear interpolation from cells + 1 points."""
    at = (np.arange(size, dtype=np.float32) + 0.5) * (cells / size)
    distance = np.abs(at[:, None] - np.arange(cells + 1, dtype=np.float32))
    return np.asarray(np.clip(1 - distance, 0, None))
