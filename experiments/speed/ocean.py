"""What drift densities cost: reading windows, the share of data and scores in a training step, rules of augmentation.

python experiments/speed/ocean.py [root=<prepared set>] [windows=120] [batches=20] [threads=1] [model=unet_small]

Without a root a set of 60 ensembles is drawn: 13 maps of 96x96 cells, daily fields of 1/8 degree; no particles are
advected. Reading: a window of OceanDensity, two maps and u, v on their cells, against the same by plain xarray, opened
once (isel for the counts, interp in time and in space); in the order of training, turn by turn, and compared. A step:
data, augmentation, network with loss and gradients, scores; medians of the batches. Augmentation: flips of fields of
the sea, with their rules, against the same of pictures. All in one process.
"""

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import torch
import xarray as xr

from segfield import densities
from segfield.augment import Augmentation
from segfield.data.loader import collate
from segfield.run import compose
from segfield.run.build import build

START = np.datetime64("2005-04-01", "ns")


def drawn(folder: Path) -> Path:
    """Write a set in the size of the protocol's."""
    rng, (samples, maps, side, particles) = np.random.default_rng(0), (60, 13, 96, 2000)
    counts = np.zeros((samples, maps, side, side), dtype=np.uint16)
    for ensemble in counts:
        places = rng.uniform(30, 60, 2) + rng.normal(0, 1.2, (particles, 2))
        for one in ensemble:
            rows, columns = places.astype(int).clip(0, side - 1).T
            np.add.at(one, (rows, columns), 1)
            places += rng.normal(0.5, 0.4, (particles, 2))
    layout = densities.Layout(
        start=START + rng.integers(0, 60 * 24, samples) * np.timedelta64(1, "h"),
        hours=np.arange(maps) * 6.0,
        latitude=37.4 + np.arange(side) / 48,
        longitude=2.2 + np.arange(side) / 48,
        land=np.zeros((side, side), dtype=np.bool_),
        release=np.full((samples, 2), 38.0),
        particles=particles,
    )
    latitude, longitude = np.arange(37.0, 40.0, 0.125), np.arange(1.8, 4.8, 0.125)
    time_, units = START + np.arange(-1, 67) * np.timedelta64(24, "h"), "m s-1"
    lost = np.zeros((samples, maps), dtype=np.uint16)
    fields = [
        densities.Field(
            name=name,
            values=rng.normal(0, 0.2, (len(time_), len(latitude), len(longitude))).astype(np.float32),
            time=time_,
            latitude=latitude,
            longitude=longitude,
            units=units,
        )
        for name in ("u", "v")
    ]
    densities.write(folder, layout, [(counts, (lost, lost))], fields)
    return folder


class Plain:
    """The same windows by xarray alone.

    Args:
        root: of the set.
        scale: of the density in the image.
    """

    def __init__(self, root: Path, scale: float) -> None:
        self.counts, self.scale = xr.open_dataset(root / densities.COUNTS, engine="h5netcdf", cache=False), scale
        self.fields = [
            xr.open_dataset(root / f"fields/{name}.nc", engine="h5netcdf", cache=False)[name] for name in "uv"
        ]

    def image(self, ensemble: int, step: int) -> np.ndarray:
        """Read one window's image [3, H, W]; the density after it is read too."""
        pair = self.counts["counts"].isel(sample=ensemble, time=slice(step, step + 2)).values
        hours = np.timedelta64(round(float(self.counts["time"][step]) * 3600), "s")
        moment = self.counts["start"].values[ensemble] + hours
        place = {name: self.counts[name] for name in ("latitude", "longitude")}
        channels = [field.interp(time=moment).interp(place).values for field in self.fields]
        return np.stack([*channels, pair[0] / self.counts.attrs["particles"] * self.scale]).astype(np.float32)


def seconds(call: Callable[[], Any]) -> float:
    """Return what a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def read(data: Any, root: Path, windows: int) -> None:
    """Compare the module's reading with xarray's, turn by turn."""
    plain = Plain(root, data.density_scale)
    order = np.random.default_rng(0).permutation(data.indices("train"))[:windows].tolist()
    ours, theirs, furthest = [], [], 0.0
    for index in order:
        ensemble, step = (int(word) for word in data.sample(index).id.split("/"))
        found: dict[str, Any] = {}
        ours.append(seconds(lambda index=index, found=found: found.update(data.item(index))))
        theirs.append(seconds(lambda e=ensemble, s=step, found=found: found.update(plain=plain.image(e, s))))
        valid = found["valid"][0].numpy()
        furthest = max(furthest, float(np.abs(found["image"].numpy() - found["plain"])[:, valid].max()))
    first, rest = (sum(ours[: windows // 2]), sum(ours[windows // 2 :]))
    print(f"a window, {windows} in the order of training: ours {1e3 * sum(ours) / windows:.2f} ms, ", end="")
    print(f"xarray {1e3 * sum(theirs) / windows:.2f} ms: 1/{sum(theirs) / sum(ours):.1f}")
    print(
        f"  first half {2e3 * first / windows:.2f} ms, second {2e3 * rest / windows:.2f} ms; differ by {furthest:.1e}"
    )


def step(run: Any, batches: int) -> None:
    """Time the parts of a training step."""
    data, task, optimizer = run.data, run.task, run.task.configure_optimizers()
    task.train()
    taken: dict[str, list[float]] = {"data": [], "augmentation": [], "network and loss": [], "scores": []}
    loader = iter(data.train_dataloader())
    scores = task.metrics["train/"]
    for _ in range(batches):
        found: dict[str, Any] = {}

        def fetch(found: dict[str, Any] = found) -> None:
            nonlocal loader
            batch = next(loader, None)
            if batch is None:
                loader = iter(data.train_dataloader())
                batch = next(loader)
            found.update(batch=batch)

        def learn(found: dict[str, Any] = found) -> None:
            optimizer.zero_grad()
            found["output"], found["batch"] = task.predict_batch(found["batch"])
            batch = found["batch"]
            task.loss(found["output"], batch["target"], batch.get("weight"), batch.get("valid")).backward()
            optimizer.step()

        def score(found: dict[str, Any] = found) -> None:
            batch = found["batch"]
            scores.update(found["output"].detach(), batch["target"], batch.get("valid"), batch["group"])

        taken["data"].append(seconds(fetch))
        prepare = lambda found=found: found.update(batch=task.prepare(found["batch"], augment=True))  # noqa: E731
        taken["augmentation"].append(seconds(prepare))
        taken["network and loss"].append(seconds(learn))
        taken["scores"].append(seconds(score))
    medians = {name: statistics.median(times) for name, times in taken.items()}
    whole = sum(medians.values())
    print(f"a step of {data.batch_size} windows: {1e3 * whole:.0f} ms")
    for name, median in medians.items():
        print(f"  {name}: {1e3 * median:.1f} ms, {median / whole:.1%}")


def augment(data: Any) -> None:
    """Compare flips and turns of fields of the sea with those of pictures."""
    batch = collate([data.item(index) for index in data.indices("train")[: data.batch_size]])
    picture = {name: value for name, value in batch.items() if name not in ("rules", "aspect")}
    square = batch["image"].shape[-2] == batch["image"].shape[-1]
    kinds = {"flips": Augmentation(0.5, 0.5)} | (
        {"flips and turns": Augmentation(0.5, 0.5, quarter_turn=0.5)} if square else {}
    )
    for name, augmentation in kinds.items():
        pairs = [
            (seconds(lambda a=augmentation, e=e: a(batch, 0, e)), seconds(lambda a=augmentation, e=e: a(picture, 0, e)))
            for e in range(60)
        ]
        with_rules, without = (statistics.median(times) for times in zip(*pairs, strict=True))
        print(f"{name}: with rules {1e3 * with_rules:.2f} ms, without {1e3 * without:.2f}: {with_rules / without:.2f}")


def main() -> None:
    """Measure a set that is given, or drawn."""
    words = dict(word.split("=", 1) for word in sys.argv[1:])
    settings = {"windows": "120", "batches": "20", "threads": "1", "model": "unet_small"} | words
    torch.set_num_threads(int(settings["threads"]))
    compose.register()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(settings["root"]) if "root" in settings else drawn(Path(folder) / "set")
        overrides = ["data=ocean_density", "augmentation=ocean", f"data.root={root}", f"model={settings['model']}"]
        with hydra.initialize_config_dir(str(compose.CONF)):
            values, _ = compose.resolved(hydra.compose("train", overrides))
        run = build(values)
        run.data.setup()
        run.data.statistics()
        print(f"{root if 'root' in settings else 'a drawn set'}, {settings['threads']} threads, {settings['model']}")
        read(run.data, root, int(settings["windows"]))
        step(run, int(settings["batches"]))
        augment(run.data)


if __name__ == "__main__":
    main()
