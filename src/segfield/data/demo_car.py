"""Car-like solids for demo.py, photographed on a turntable.

Lengths in metres; x forward, y to the left, z up; the car stands at the origin. Bodies are extruded profiles whose
visible faces are painted from back to front, on the photograph and on the mask alike: the mask is exact.
The shadow is no car. The room and the camera are in demo_studio.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from PIL import Image, ImageFilter

from segfield.data.demo_studio import View

_PAINTS = ((32, 34, 38), (142, 24, 26), (28, 54, 112), (236, 236, 234), (96, 100, 104), (30, 78, 58), (168, 140, 92))
_LIKE_STUDIO = ((196, 196, 194), (178, 179, 181), (208, 206, 202))  # a grey car on grey: where masks are hard
_GLASS, _TYRE, _RIM, _DARK = (46, 54, 60), (26, 26, 27), (150, 152, 156), (24, 24, 26)


@final
@dataclass(frozen=True, kw_only=True)
class Car:
    """What makes one car: sizes in metres, its paint in RGB."""

    length: float
    width: float
    belt: float
    roof: float
    cowl: float
    screen: float
    back: float
    boot: float
    wheel: float
    paint: tuple[int, int, int]

    @staticmethod
    def draw(rng: np.random.Generator, *, like_studio: bool) -> "Car":
        """Draw a saloon, an estate or a hatchback, flat or tall.

        Args:
            rng: of the shape and the paint.
            like_studio: give it nearly the background's colour.
        """
        length, tall = rng.uniform(4.0, 4.9), rng.uniform(0.0, 1.0)
        paints = _LIKE_STUDIO if like_studio else _PAINTS
        cowl = length * rng.uniform(0.17, 0.24)
        boot = -length * (rng.uniform(0.30, 0.36) if rng.random() < 0.5 else rng.uniform(0.44, 0.47))
        return Car(
            length=length,
            width=0.88 + 0.08 * tall,
            belt=0.90 + 0.15 * tall,
            roof=1.36 + 0.36 * tall,
            cowl=cowl,
            screen=cowl - rng.uniform(0.55, 0.85),
            back=boot + rng.uniform(0.25, 0.6),
            boot=boot,
            wheel=0.31 + 0.06 * tall,
            paint=paints[int(rng.integers(len(paints)))],
        )


def photograph(car: Car, turn: float, background: Image.Image) -> tuple[Image.Image, np.ndarray]:
    """Photograph a car on the turntable.

    Args:
        car: what stands on the table.
        turn: of the table, radians; 0 shows the front.
        background: of studio(); it stays as it is.

    Returns:
        RGB picture of the background's size, and its mask [H, W] uint8 of {0, 1}.
    """
    width, height = background.size
    canvas = _with_shadow(car, turn, background)
    mask = Image.new("L", background.size)
    view = View((height, width), turn, canvas, mask)
    for x in _axles(car):
        for side in (-1, 1):
            _paint_tyre(view, x, side * (car.width - 0.28), side * (car.width - 0.02), car.wheel)
    _paint_body(car, view)
    _paint_cabin(car, view)
    box = mask.getbbox()
    assert box is not None, "a car is in the picture"
    canvas.paste(canvas.crop(box).filter(ImageFilter.SMOOTH), box)
    return canvas, np.array(mask)


def _with_shadow(car: Car, turn: float, background: Image.Image) -> Image.Image:
    small = (max(background.width // 8, 1), max(background.height // 8, 1))
    shadow = Image.new("L", small)
    view = View((small[1], small[0]), turn, shadow.convert("RGB"), shadow)
    corners = np.array([[x, y, 0] for x, y in ((1, 1), (-1, 1), (-1, -1), (1, -1))], dtype=np.float64)
    view.fill(corners * [car.length * 0.52, car.width * 1.12, 0], (0, 0, 0))
    strength = shadow.point([0] + [170] * 255).filter(ImageFilter.GaussianBlur(small[0] / 70))
    canvas = background.copy()
    canvas.paste((38, 38, 40), mask=strength.resize(background.size, Image.Resampling.BILINEAR))
    return canvas


def _axles(car: Car) -> tuple[float, float]:
    return car.length * 0.31, -car.length * 0.29


def _disc(x: float, y: float, z: float, radius: float) -> np.ndarray:
    """Return a circle [32, 3] in the plane of the car's side."""
    ring = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    return np.stack([x + radius * np.cos(ring), np.full(32, y), z + radius * np.sin(ring)], axis=1)


def _rounded(profile: np.ndarray) -> np.ndarray:
    """Cut the corners of a closed profile [n, 2] twice (Chaikin)."""
    for _ in range(2):
        after = np.roll(profile, -1, axis=0)
        profile = np.stack([0.8 * profile + 0.2 * after, 0.2 * profile + 0.8 * after], axis=1).reshape(-1, 2)
    return profile


def _solid(view: View, profile: np.ndarray, half: np.ndarray, colour: Sequence[int]) -> tuple[bool, bool]:
    """Paint the solid between y = -half and +half over a convex profile [n, 2] of (x, z), from the back over the top.

    Returns:
        Whether its left (+y) and its right side are seen.
    """
    left, right = (np.stack([profile[:, 0], side * half, profile[:, 1]], axis=1) for side in (1, -1))
    for i in range(len(profile)):
        j = (i + 1) % len(profile)
        strip = np.stack([left[j], left[i], right[i], right[j]])
        if view.faces(strip):
            view.fill(strip, view.shade(strip, colour))
    seen = view.faces(left), view.faces(right[::-1])
    for side, visible in ((left, seen[0]), (right[::-1], seen[1])):
        if visible:
            view.fill(side, view.shade(side, colour))
    return seen


def _paint_tyre(view: View, x: float, inner: float, outer: float, radius: float) -> None:
    near, far = _disc(x, inner, radius, radius), _disc(x, outer, radius, radius)
    for i in range(len(near)):
        view.fill(np.stack([near[i - 1], far[i - 1], far[i], near[i]]), _TYRE)
    view.fill(near, _TYRE)
    view.fill(far, _TYRE)


def _paint_body(car: Car, view: View) -> None:
    end, belt = car.length / 2, car.belt
    points = [
        (-end + 0.12, 0.24),
        (-end, 0.42),
        (-end + 0.03, belt - 0.2),
        (-end + 0.12, belt - 0.03),
        (car.boot, belt),
    ]
    points += [(car.cowl, belt), (end - 0.22, belt - 0.19), (end - 0.03, belt - 0.33), (end, 0.42), (end - 0.1, 0.24)]
    profile = _rounded(np.array(points))
    half = car.width * (1 - 0.12 * np.abs(profile[:, 0] / end) ** 3) * (1 - 0.10 * np.maximum(profile[:, 1] - 0.6, 0))
    seen = _solid(view, profile, half, car.paint)
    for side, visible in zip((1, -1), seen, strict=True):
        _paint_mirror(car, view, side) if not visible else _paint_side(car, view, side)
    for way in (1, -1):
        _paint_end(car, view, way)


def _paint_side(car: Car, view: View, side: int) -> None:
    """Paint wheels, doors and handles."""
    y = side * car.width * 0.995
    for x in _axles(car):
        arch = _disc(x, y, car.wheel, car.wheel * 1.15)
        view.fill(np.maximum(arch, [-np.inf, -np.inf, 0.24]), _DARK)
        view.fill(_disc(x, y, car.wheel, car.wheel), _TYRE)
        view.fill(_disc(x, y, car.wheel, car.wheel * 0.68), _RIM)
        for angle in np.arange(5) * (2 * np.pi / 5):
            spoke = [
                [x, y, car.wheel],
                [x + 0.66 * car.wheel * np.cos(angle), y, car.wheel * (1 + 0.66 * np.sin(angle))],
            ]
            view.line(np.array(spoke), _DARK)
    seam = tuple(channel // 2 for channel in car.paint)
    middle = (car.cowl + car.boot) / 2
    for x in (car.cowl - 0.1, middle, max(car.boot + 0.25, _axles(car)[1] + 0.35)):
        view.line(np.array([[x, y, 0.34], [x, y, car.belt - 0.03]]), (seam[0], seam[1], seam[2]))
    for x in (middle + 0.08, middle - 0.85):
        view.line(np.array([[x, y, car.belt - 0.17], [x + 0.18, y, car.belt - 0.17]]), (seam[0], seam[1], seam[2]))


def _paint_end(car: Car, view: View, way: int) -> None:
    """Paint lamps, grille and number plate: of the front (way = 1) or the back (-1)."""
    x, low = way * (car.length / 2 - 0.02), car.belt - 0.36
    lamp = (238, 240, 236) if way > 0 else (150, 18, 20)
    plates = [(-0.82, -0.5, low, low + 0.13, lamp), (0.5, 0.82, low, low + 0.13, lamp)]
    if way > 0:
        plates.append((-0.42, 0.42, low - 0.12, low + 0.1, _DARK))
    plates.append((-0.28, 0.28, low - 0.16, low - 0.05, (226, 226, 220)))
    for left, right, bottom, top, colour in plates:
        corners = np.array([[x, y, z] for y, z in ((left, bottom), (right, bottom), (right, top), (left, top))])
        corners = corners * [1, way * car.width, 1]
        if view.faces(corners):
            view.fill(corners, colour)


def _paint_cabin(car: Car, view: View) -> None:
    low, high = (car.boot, car.cowl, 0.92), (car.back, car.screen, 0.76)  # back, front, share of the width

    def at(along: float, height: float, side: float) -> list[float]:
        """Return the point at shares of the cabin's length, height and width."""
        back, front, wide = (a + (b - a) * height for a, b in zip(low, high, strict=True))
        return [
            back + (front - back) * along,
            side * wide * car.width,
            car.belt - 0.05 + (car.roof - car.belt + 0.05) * height,
        ]

    corners = np.array([at(0, 0, 1), at(0, 1, 1), at(1, 1, 1), at(1, 0, 1)])
    profile = _rounded(corners[:, ::2])
    height = (profile[:, 1] - car.belt + 0.05) / (car.roof - car.belt + 0.05)
    half = car.width * (low[2] + (high[2] - low[2]) * height)
    seen = _solid(view, profile, half, car.paint)
    for along in (0, 1):  # rear window, windscreen
        glass = np.array([at(along, h, s) for h, s in ((0.2, -0.84), (0.2, 0.84), (0.9, 0.84), (0.9, -0.84))])
        glass = glass if along else glass[::-1]
        if view.faces(glass):
            view.fill(glass, view.shade(glass, _GLASS))
    for side, visible in zip((1, -1), seen, strict=True):
        for back, front in ((0.1, 0.46), (0.5, 0.92)) if visible else ():
            spots = ((back, 0.24), (back, 0.88), (front, 0.88), (front, 0.24))
            glass = np.array([at(along, h, side) for along, h in spots])
            view.fill(glass, view.shade(glass[::side], _GLASS))
        if visible:
            _paint_mirror(car, view, side)


def _paint_mirror(car: Car, view: View, side: int) -> None:
    inner, outer, x = side * car.width * 0.92, side * (car.width + 0.15), car.cowl - 0.22
    spots = ((inner, 0.02), (outer, 0.05), (outer, 0.17), (inner, 0.15))
    for back in (0.1, 0.0):
        view.fill(np.array([[x - back, y, car.belt + z] for y, z in spots]), [channel * 0.8 for channel in car.paint])
