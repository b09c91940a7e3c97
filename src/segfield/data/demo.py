"""Demo data in the layout and the formats of Carvana, whose photographs may not be passed on.

    train/<car>_<NN>.jpg               RGB
    train_masks/<car>_<NN>_mask.gif    palette [0, 0, 0, 255, 255, 255], index values {0, 1}, one frame
    train_masks.csv                    img,rle_mask: the same masks as run lengths
    test/<car>_<NN>.jpg                without masks
    sample_submission.csv              img,rle_mask of test/, with the dummy "1 1"
    metadata.csv                       id,year,make,model,trim1,trim2,quoted of all cars

Cars are drawn by demo_car.py. Files are written whole, and only into a folder that is new, empty or of this demo.
"""

import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from segfield.data import rle
from segfield.data.demo_car import Car, photograph
from segfield.data.demo_studio import studio
from segfield.files import whole, write_text

_MARKER = ".segfield-demo.json"  # says that the folder is ours, and what was asked for
_QUALITY = 90  # of JPEG
_MODELS = (("Aster", "Meadow", "sedan"), ("Borealis", "Drift", "wagon"), ("Cirrus", "Hopper", "hatchback"))


def prepare_carvana(
    folder: str | Path,
    *,
    cars: int = 8,
    views: int = 16,
    size: Sequence[int] = (1280, 1918),
    test_cars: int = 1,
    seed: int = 0,
) -> None:
    """Draw cars in Carvana's layout; the same arguments give the same bytes.

    The same command on a folder that it left half-done completes it.

    Args:
        folder: new, empty, or of an earlier call with the same arguments.
        cars: in train/; every fourth has nearly the background's colour.
        views: of each car, at equal turns of the table; at most 99.
        size: [H, W] of the photographs in pixels.
        test_cars: further cars, in test/.
        seed: of what is drawn.

    Raises:
        ValueError: if a number is out of range, or the folder holds something else.
    """
    asked: dict[str, Any] = {"cars": cars, "views": views, "test_cars": test_cars, "seed": seed, "size": size}
    _check_numbers(asked)
    asked["size"] = list(size)
    folder = Path(folder)
    _claim(folder, asked)
    background = studio(size, np.random.default_rng(seed))
    names = [hashlib.sha256(f"{seed}:{number}".encode()).hexdigest()[:12] for number in range(cars + test_cars)]
    rows = ["img,rle_mask"]
    for number, name in enumerate(names[:cars]):
        for view, (picture, mask) in enumerate(_turned(number, seed, views, background), start=1):
            stem = f"{name}_{view:02d}"
            _write_jpeg(folder / "train" / f"{stem}.jpg", picture)
            with whole(folder / "train_masks" / f"{stem}_mask.gif") as file:
                file.write(_gif(mask))
            rows.append(f"{stem}.jpg,{rle.encode(mask)}")
    submission = ["img,rle_mask"]
    for number, name in enumerate(names[cars:], start=cars):
        for view, (picture, _) in enumerate(_turned(number, seed, views, background), start=1):
            _write_jpeg(folder / "test" / f"{name}_{view:02d}.jpg", picture)
            submission.append(f"{name}_{view:02d}.jpg,1 1")
    _write_lines(folder / "train_masks.csv", rows)
    _write_lines(folder / "sample_submission.csv", submission)
    _write_lines(folder / "metadata.csv", _metadata(names, seed))


def _check_numbers(asked: dict[str, Any]) -> None:
    for name, (least, most) in {"cars": (1, 10_000), "views": (1, 99), "test_cars": (0, 10_000)}.items():
        value = asked[name]
        if type(value) is not int or not least <= value <= most:
            raise ValueError(f"{name}={value} must be a whole number from {least} to {most}.")
    if type(asked["seed"]) is not int or asked["seed"] < 0:
        raise ValueError(f"seed={asked['seed']} must be a whole number, 0 or more.")
    size = asked["size"]
    sides = list(size) if isinstance(size, list | tuple) else []
    if len(sides) != 2 or any(type(side) is not int or side < 32 for side in sides):
        raise ValueError(f"size={size} must be [H,W] in pixels, 32 or more each. Use size=[1280,1918].")


def _claim(folder: Path, asked: dict[str, Any]) -> None:
    """Mark the folder as this demo's, so that nothing of someone else's is ever overwritten."""
    marker = folder / _MARKER
    if marker.is_file():
        found = json.loads(marker.read_text())
        if found != asked:
            raise ValueError(
                f"{folder} holds another demo: {found}, not {asked}. Nothing was written. Use a new folder."
            )
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(
            f"{folder} is not empty and was not made by `prepare demo`. Nothing was written. Use a new folder."
        )
    write_text(marker, json.dumps(asked))


def _turned(number: int, seed: int, views: int, background: Image.Image) -> Iterator[tuple[Image.Image, np.ndarray]]:
    """Photograph one car from all sides."""
    car = Car.draw(np.random.default_rng([seed, number]), like_studio=number % 4 == 1)
    for view in range(views):
        yield photograph(car, 2 * np.pi * view / views, background)


def _gif(mask: np.ndarray) -> bytes:
    """Return a GIF whose palette has two entries; Pillow fills it up to four."""
    picture = Image.fromarray(mask)
    picture.putpalette([0, 0, 0, 255, 255, 255])  # makes mode P of L; the values become the indices
    buffer = io.BytesIO()
    picture.save(buffer, format="GIF", optimize=False)
    data = buffer.getvalue()
    assert data[10] & 0b1000_0111 == 0b1000_0001, "a global palette of four entries, from byte 13 on"
    return data[:10] + bytes([data[10] & 0b1111_1000]) + data[11:19] + data[25:]


def _write_jpeg(path: Path, picture: Image.Image) -> None:
    with whole(path) as file:
        picture.save(file, format="JPEG", quality=_QUALITY)


def _write_lines(path: Path, lines: list[str]) -> None:
    write_text(path, "".join(f"{line}\n" for line in lines))


def _metadata(names: list[str], seed: int) -> list[str]:
    rng = np.random.default_rng([seed, len(names)])
    rows = ["id,year,make,model,trim1,trim2,quoted"]
    for name in names:
        make, model, trim = _MODELS[int(rng.integers(len(_MODELS)))]
        rows.append(f"{name},{rng.integers(2005, 2017)},{make},{model},Base,4dr {trim},{rng.integers(3000, 25000)}")
    return rows
