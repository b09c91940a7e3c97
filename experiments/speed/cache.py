"""What data.cache gains: reading photographs and masks in every way, against a plain reader; brain slices by the epoch.

python experiments/speed/cache.py [cars=8] [views=16] [slices=3929] [turns=5] [threads=1]

Photographs: drawn cars, 1918x1280 jpg and gif as Carvana has them, to 640x959. The plain reader decodes, resizes
(bicubic; nearest for the mask) and converts to float32 at every access, as the widespread scripts do. It and
data=carvana with each data.cache feed the same loader in one process, batches of 4, turn by turn, so that other work on
the machine hits all of them. A time is that of an epoch, batches included, divided by its samples: the median of the
turns. Slices: as many TIFF pairs of 256x256 as the LGG set has, through data=folder, training and validation together.

All files lie in a temporary folder and were written just now: they come from memory, as the caches do.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from segfield.data.carvana import Carvana
from segfield.data.demo import prepare_carvana
from segfield.data.folder import Folder
from segfield.data.loader import load
from segfield.data.sampler import EpochBatches

BATCH, SIZE = 4, (640, 959)
ASKED = {"none": 3, "masks": 5, "memory": 100, "disk": 100}
PATIENTS = 110


def plainly(image: Path, mask: Path) -> dict[str, Any]:
    """Read a pair as a short script does: float32 in [0, 1]."""
    height, width = SIZE
    with Image.open(image) as picture:
        pixels = np.asarray(picture.convert("RGB").resize((width, height), Image.Resampling.BICUBIC))
    with Image.open(mask) as picture:
        truth = np.asarray(picture.convert("L").resize((width, height), Image.Resampling.NEAREST))
    array = pixels.transpose(2, 0, 1).astype(np.float32) / 255
    return {
        "image": torch.from_numpy(np.ascontiguousarray(array)),
        "target": torch.from_numpy((truth > 0).astype(np.float32)),
        "id": image.name,
    }


def seconds(batches: Callable[[], Iterable[dict[str, Any]]]) -> float:
    """Time an epoch, per sample."""
    start = time.perf_counter()
    count = sum(len(batch["id"]) for batch in batches())
    return (time.perf_counter() - start) / count


def photographs(folder: Path, cars: int, views: int, turns: int) -> None:
    """Compare the ways to read cars."""
    prepare_carvana(folder / "cars", cars=cars, views=views, test_cars=0)
    ways: dict[str, Callable[[], Iterable[dict[str, Any]]]] = {}
    for cache in ASKED:
        data = Carvana(
            root=str(folder / "cars"),
            in_channels=3,
            batch_size=BATCH,
            size=SIZE,
            cache=cache,  # type: ignore[arg-type]
            cache_dir=str(folder / "caches"),
        )
        data.setup()
        start = time.perf_counter()
        data.decode()
        print(f"  {cache}: ready after {time.perf_counter() - start:.2f} s")
        ways[cache] = data.train_dataloader
    images = sorted((folder / "cars/train").iterdir())
    masks = [folder / "cars/train_masks" / f"{path.stem}_mask.gif" for path in images]
    order = EpochBatches(data.indices("train"), BATCH)
    ways = {"plain": lambda: load(lambda i: plainly(images[i], masks[i]), order, workers=0, seed=0), **ways}
    for way in ways.values():
        seconds(way)  # warm
    taken = {name: [] for name in ways}
    for _ in range(turns):
        for name, way in ways.items():
            taken[name].append(seconds(way))
    plain = statistics.median(taken["plain"])
    for name, times in taken.items():
        middle = statistics.median(times)
        asked = f"; asked {ASKED[name]}" if name in ASKED else ""
        print(f"  {name}: {1e3 * middle:.3f} ms a sample, {1 / middle:.0f} a second: ratio {plain / middle:.1f}{asked}")


def slices(folder: Path, count: int, turns: int) -> None:
    """Read a whole set of brain slices from files and from a cache."""
    rng = np.random.default_rng(0)
    for number in range(count):
        patient = folder / "kaggle_3m" / f"TCGA_{number % PATIENTS:03d}"
        patient.mkdir(parents=True, exist_ok=True)
        stem = f"{patient.name}_{number // PATIENTS + 1}"
        coarse = Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8))
        coarse.resize((256, 256), Image.Resampling.BICUBIC).save(patient / f"{stem}.tif")
        truth = np.zeros((256, 256), np.uint8)
        truth[100:140, 80:120] = 255 * (number % 3 == 0)
        Image.fromarray(truth).save(patient / f"{stem}_mask.tif")
    for cache, asked in (("none", 10), ("disk", 1)):
        data = Folder(
            images=str(folder / "kaggle_3m"),
            masks=str(folder / "kaggle_3m"),
            mask_pattern="{stem}_mask",
            group_pattern="^([^/]+)/",
            in_channels=3,
            batch_size=BATCH,
            size=(256, 256),
            cache=cache,  # type: ignore[arg-type]
            cache_dir=str(folder / "caches"),
        )
        data.setup()
        start = time.perf_counter()
        data.decode()
        ready = time.perf_counter() - start
        epochs = []
        for _ in range(turns):
            start = time.perf_counter()
            seen = sum(len(batch["id"]) for part in (data.train_dataloader(), data.val_dataloader()) for batch in part)
            epochs.append(time.perf_counter() - start)
        middle = statistics.median(epochs)
        print(f"  {cache}: ready after {ready:.2f} s, {seen} slices in {middle:.2f} s; asked {asked} s at most")


def main() -> None:
    """Measure what is asked for; 0 leaves a part out."""
    settings = {"cars": 8, "views": 16, "slices": 3929, "turns": 5, "threads": 1}
    settings |= {key: int(value) for key, value in (word.split("=") for word in sys.argv[1:])}
    torch.set_num_threads(settings["threads"])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if settings["cars"]:
            print(f"{settings['cars'] * settings['views']} photographs and masks, 1918x1280 to 640x959:")
            photographs(folder, settings["cars"], settings["views"], settings["turns"])
        if settings["slices"]:
            print(f"{settings['slices']} slices of {PATIENTS} patients, 256x256 TIFF:")
            slices(folder, settings["slices"], settings["turns"])


if __name__ == "__main__":
    main()
