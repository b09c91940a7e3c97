"""The studio in which demo_car.py is photographed: room, light and camera.

Lengths in metres; x forward, y to the left, z up, the turntable's axis at the origin.
"""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

_DISTANCE, _EYE, _AIM = 7.6, 1.75, 0.62  # of the camera: from the turntable's axis, above the floor, what it looks at
_FOCUS = 1.25  # of the picture's width
_LIGHT = np.array([0.35, -0.5, 0.79])  # towards it, in the room


def studio(size: Sequence[int], rng: np.random.Generator) -> Image.Image:
    """Paint the empty studio: wall, lamps, floor, turntable; RGB of size [H, W]."""
    height, width = size
    rows = np.linspace(0, 1, height)[:, None]
    columns = np.linspace(-1, 1, width)[None]
    wall = 214 - 34 * columns**2 - 30 * (rows - 0.2) ** 2 + 3 * np.sin(columns * 40)
    grey = Image.fromarray(np.clip(wall, 0, 255).astype(np.uint8))
    canvas = Image.merge("RGB", (grey, grey, grey.point([max(level - 3, 0) for level in range(256)])))
    view = View(size, 0.0, canvas, None)
    ring = np.linspace(0, 2 * np.pi, 180, endpoint=False)
    for radius, shade in ((5.6, 168), (5.2, 176), (3.1, 150), (3.05, 188), (2.2, 183), (0.5, 178)):
        view.fill(np.stack([radius * np.cos(ring), radius * np.sin(ring), 0 * ring], axis=1), (shade, shade, shade - 2))
    draw = ImageDraw.Draw(canvas)
    for left in np.arange(0.04, 1.0, 0.16):
        box = (left * width, 0.015 * height, (left + 0.11) * width, 0.05 * height)
        draw.rectangle(box, fill=(252, 252, 250))
    canvas = canvas.filter(ImageFilter.GaussianBlur(width / 600))
    grain = rng.integers(-4, 5, (height, width), dtype=np.int8).astype(np.int16) + 128
    texture = Image.fromarray(grain.astype(np.uint8))
    return ImageChops.add(canvas, Image.merge("RGB", (texture,) * 3), 1.0, -128)


class View:
    """Pencil for shapes in the car's coordinates, on a picture and, where there is one, on its mask."""

    def __init__(self, size: Sequence[int], turn: float, canvas: Image.Image, mask: Image.Image | None) -> None:
        self._height, self._width = size
        self._turn = np.array([[np.cos(turn), np.sin(turn), 0], [-np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
        self._picture = ImageDraw.Draw(canvas)
        self._mask = None if mask is None else ImageDraw.Draw(mask)

    def project(self, points: np.ndarray) -> list[tuple[float, float]]:
        """Map [n, 3] to pixels (x, y)."""
        pitch = np.arctan2(_EYE - _AIM, _DISTANCE)
        room = points @ self._turn
        away, up = _DISTANCE - room[:, 0], room[:, 2] - _EYE
        depth = np.maximum(away * np.cos(pitch) - up * np.sin(pitch), 0.1)
        across = room[:, 1] / depth
        upward = (up * np.cos(pitch) + away * np.sin(pitch)) / depth
        scale = _FOCUS * min(self._width, self._height * 1.5)
        columns, rows = self._width / 2 + scale * across, self._height / 2 - scale * upward
        return list(zip(columns.tolist(), rows.tolist(), strict=True))

    def fill(self, points: np.ndarray, colour: Sequence[float]) -> None:
        """Paint a polygon [n, 3], whichever way it looks."""
        corners = self.project(points)
        self._picture.polygon(corners, fill=tuple(int(min(max(c, 0), 255)) for c in colour))
        if self._mask is not None:
            self._mask.polygon(corners, fill=1)

    def line(self, points: np.ndarray, colour: tuple[int, int, int]) -> None:
        """Draw on the picture only."""
        self._picture.line(self.project(points), fill=colour, width=max(1, self._width // 640))

    def faces(self, points: np.ndarray) -> bool:
        """Tell whether a face [n, 3], counter-clockwise from outside, looks at the camera."""
        corners = np.array(self.project(points))
        after = np.roll(corners, -1, axis=0)
        return float(np.sum(corners[:, 0] * after[:, 1] - corners[:, 1] * after[:, 0])) < 0

    def shade(self, points: np.ndarray, colour: Sequence[int]) -> list[float]:
        """Return the colour of a lit face."""
        second, third = points[len(points) // 3], points[2 * len(points) // 3]
        normal = np.cross(second - points[0], third - points[0]) @ self._turn
        lit = float(normal @ _LIGHT) / max(float(np.linalg.norm(normal)), 1e-9)
        return [channel * (0.62 + 0.40 * max(lit, 0.0)) + 14 * max(lit, 0.0) ** 4 for channel in colour]
