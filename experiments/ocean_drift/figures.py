"""Figures of experiments/ocean_drift/README.md, of prepared sets.

    python experiments/ocean_drift/figures.py <set> <set of more days> <folder of the figures>

Writes sample.png (one ensemble over time), mean_density.png (over all ensembles and times) and leaving.png (share of
the particles that have left the region, by time), and prints the numbers that the README states.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from segfield.densities import open_counts, open_field, protocol

LAND = "0.75"
SHOWN = (0, 4, 8, 12)  # maps of a sample


def main() -> None:
    """Draw all of them."""
    folder, longer, out = (Path(word).expanduser() for word in sys.argv[1:4])
    out.mkdir(parents=True, exist_ok=True)
    draw_sample(folder, out / "sample.png")
    draw_mean(folder, out / "mean_density.png")
    draw_leaving(longer, out / "leaving.png")


def draw_sample(folder: Path, path: Path) -> None:
    """One ensemble, that which has gone farthest of every tenth, over the currents at its release."""
    with open_counts(folder) as counts:
        particles = int(counts.attrs["particles"])
        latitude, longitude, land = counts.latitude.values, counts.longitude.values, counts.land.values > 0
        last = counts.counts[::10, -1].values.astype(np.float64)
        release = np.stack([counts.release_latitude.values, counts.release_longitude.values], 1)[::10]
        centres = [
            (last * axis).sum((1, 2)) / last.sum((1, 2)) for axis in np.meshgrid(latitude, longitude, indexing="ij")
        ]
        far = int(np.hypot(centres[0] - release[:, 0], centres[1] - release[:, 1]).argmax()) * 10
        maps, hours = counts.counts[far].values / particles, counts.time.values
        start = counts.start.values[far]
    u, v = (open_field(folder, name).interp(time=start) for name in ("u", "v"))
    figure = Figure(figsize=(13, 3.6), layout="constrained")
    image = None
    for axes, place in zip(figure.subplots(1, len(SHOWN), sharey=True), SHOWN, strict=True):
        axes.pcolormesh(longitude, latitude, np.where(land, 1.0, np.nan), cmap="Greys", vmin=0, vmax=3.3)
        shown = np.where(maps[place] > 0, maps[place], np.nan)
        image = axes.pcolormesh(longitude, latitude, shown, cmap="viridis", norm=LogNorm(1 / particles, maps.max()))
        axes.quiver(u.longitude, u.latitude, u, v, color="0.45", scale=8, width=0.003)
        framed(axes, latitude, longitude)
        axes.set_title(f"{hours[place]:.0f} h, {np.count_nonzero(maps[place])} cells")
    figure.colorbar(image, label="share of the particles in a cell")
    figure.suptitle(f"One ensemble, released {np.datetime_as_string(start, 'h')}:00 UTC; currents of that time")
    saved(figure, path)
    occupied = np.count_nonzero(maps, axis=(1, 2))
    sys.stdout.write(f"sample: ensemble {far}, cells occupied by map: {occupied.tolist()}\n")


def draw_mean(folder: Path, path: Path) -> None:
    """Mean density over all ensembles and times, and over the last maps alone, with the box of the releases."""
    with open_counts(folder) as counts:
        south, north, west, east = protocol(counts)["box"]
        latitude, longitude, land = counts.latitude.values, counts.longitude.values, counts.land.values > 0
        total, last, samples = 0.0, 0.0, counts.sizes["sample"]
        for first in range(0, samples, 50):
            block = counts.counts[first : first + 50].values.astype(np.float64) / int(counts.attrs["particles"])
            total, last = total + block.mean(1).sum(0), last + block[:, -1].sum(0)
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    for axes, (title, values) in zip(
        figure.subplots(1, 2, sharey=True), (("all maps", total), ("after 3 days", last)), strict=True
    ):
        shown = np.where(land, np.nan, values / samples)
        axes.set_facecolor(LAND)
        image = axes.pcolormesh(longitude, latitude, shown, cmap="viridis")
        axes.plot([west, east, east, west, west], [south, south, north, north, south], color="white", lw=1)
        framed(axes, latitude, longitude)
        axes.set_title(f"mean density of {samples} ensembles, {title}")
        figure.colorbar(image, ax=axes, label="per cell")
    saved(figure, path)
    with open_counts(folder) as counts:
        first, final = (float(counts.counts[:, place].sum()) for place in (0, -1))
        sys.stdout.write(
            f"mean: {samples} ensembles on {land.shape[0]}x{land.shape[1]} cells, {land.mean():.1%} land; share inside "
            f"after the last map {final / first:.4f}; beached {int(counts.beached[:, -1].sum())}, left "
            f"{int(counts.left[:, -1].sum())} of {int(first)} particles\n"
        )


def draw_leaving(folder: Path, path: Path) -> None:
    """Share of the particles outside, by time: mean, and the 5th to the 95th percentile of the ensembles."""
    with open_counts(folder) as counts:
        hours, particles = counts.time.values, int(counts.attrs["particles"])
        left = counts.left.values / particles
        south, north, west, east = protocol(counts)["box"]
        inside = counts.counts.sel(latitude=slice(south, north), longitude=slice(west, east))
        boxed = np.array([inside[place].values.sum((1, 2)) / particles for place in range(len(left))])
    figure = Figure(figsize=(6.5, 3.8), layout="constrained")
    axes = figure.subplots()
    low, high = np.percentile(left, (5, 95), axis=0)
    axes.fill_between(hours / 24, low, high, color="C0", alpha=0.2, label="5 to 95 % of the ensembles")
    axes.plot(hours / 24, left.mean(0), color="C0", label="outside the region, mean")
    axes.plot(hours / 24, 1 - boxed.mean(0), color="C1", ls="--", label="outside the box of the releases, mean")
    axes.axvline(3, color="0.4", lw=1)
    axes.set(xlabel="days since the release", ylabel="share of the particles", xlim=(0, hours[-1] / 24), ylim=(0, None))
    axes.legend(frameon=False)
    saved(figure, path)
    for what, shares in (("region", left.mean(0)), ("box", 1 - boxed.mean(0))):
        by_day = {
            int(hour / 24): round(float(share), 4) for hour, share in zip(hours, shares, strict=True) if hour % 24 == 0
        }
        sys.stdout.write(f"outside the {what} by day: {by_day}\n")


def framed(axes: Axes, latitude: np.ndarray, longitude: np.ndarray) -> None:
    """Give a map its aspect and its limits."""
    axes.set_aspect(1 / np.cos(np.radians(latitude.mean())))
    axes.set(xlim=(longitude[0], longitude[-1]), ylim=(latitude[0], latitude[-1]), xlabel="degrees east")
    if axes.get_subplotspec().is_first_col():
        axes.set_ylabel("degrees north")


def saved(figure: Figure, path: Path) -> None:
    """Write a PNG."""
    FigureCanvasAgg(figure).print_png(path, pil_kwargs={"optimize": True})


if __name__ == "__main__":
    main()
