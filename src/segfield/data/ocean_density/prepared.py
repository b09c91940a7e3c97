"""Prepared: the counts of a prepared set as densities, read a few maps at a time."""

from functools import partial
from pathlib import Path
from typing import Any, final

import numpy as np
import numpy.typing as npt

from segfield import densities
from segfield.data.ocean_density.handle import Handle
from segfield.data.ocean_density.windows import HOUR, nanoseconds


@final
class Prepared:
    """A prepared set of drift densities; its coordinates are read at once, its counts when they are asked for.

    Args:
        root: folder of the set.
        smoothing: standard deviation of a Gaussian in cells; 0: none.

    Attributes:
        start: [S] of the release, in nanoseconds since 1970.
        leads: [T] of the maps since the release, in nanoseconds.
        latitude: [H] of the cells' centres, in degrees.
        longitude: [W], likewise.
        sea: [H, W] bool.

    Raises:
        FileNotFoundError: if there is no set, or it is not finished.
        ValueError: if it is damaged or something else, has no windows, or is smaller than the smoothing.
    """

    def __init__(self, root: Path, smoothing: float = 0.0) -> None:
        self.path = root / densities.COUNTS
        self._counts = Handle(partial(_dataset, self.path))
        with densities.open_counts(root) as counts:
            self._take(counts)
        if smoothing > max(self.size):
            raise ValueError(
                f"data.smoothing={smoothing:g} cells is more than the region of {self.path} has along a side, "
                f"{max(self.size)}: nothing would be left of a density but its sum. Use data.smoothing=1."
            )
        self._smoothing = smoothing
        self._reach = _blurred(self.sea, smoothing) if smoothing else np.ones(self.sea.shape)

    def _take(self, counts: Any) -> None:
        if counts.sizes["time"] < 2 or counts.sizes["sample"] < 1:
            raise ValueError(
                f"{self.path} has {counts.sizes['sample']} ensembles of {counts.sizes['time']} maps: a window leads "
                "from one map to the next. Prepare a set of more hours, or of shorter steps between maps."
            )
        self._particles = int(counts.attrs.get("particles", 0))
        if self._particles < 1:
            raise ValueError(f"{self.path} does not say how many particles an ensemble has. Prepare the set again.")
        for axis in ("time", "latitude", "longitude"):
            values = counts[axis].values
            if len(values) < 2 or not (values[1:] > values[:-1]).all():
                raise ValueError(f"{self.path}: its {axis} does not ascend over 2 or more. Prepare the set again.")
        self.start = nanoseconds(counts["start"].values)
        self.leads = np.round(counts["time"].values * HOUR).astype(np.int64)
        self.latitude: npt.NDArray[np.float64] = counts["latitude"].values
        self.longitude: npt.NDArray[np.float64] = counts["longitude"].values
        self.sea: npt.NDArray[np.bool_] = counts["land"].values == 0
        if not self.sea.any():
            raise ValueError(f"{self.path} has no sea: all cells are land. Prepare a set of another region.")

    @property
    def size(self) -> tuple[int, int]:
        """Return (H, W)."""
        return self.sea.shape[0], self.sea.shape[1]

    @property
    def aspect(self) -> float:
        """Return a cell's width over its height, in the middle of the region."""
        (dy, dx), middle = (abs(axis[1] - axis[0]) for axis in (self.latitude, self.longitude)), self.latitude.mean()
        return float(dx * np.cos(np.deg2rad(middle)) / dy)

    def places(self) -> npt.NDArray[np.float32]:
        """Return how far each cell lies to the east and to the north of the first one: [2, H, W] in km."""
        north = (self.latitude - self.latitude[0]) * densities.KM_PER_DEGREE
        parallel = densities.KM_PER_DEGREE * np.cos(np.deg2rad(self.latitude))
        east = (self.longitude - self.longitude[0])[None, :] * parallel[:, None]
        return np.stack([east, np.broadcast_to(north[:, None], east.shape)]).astype(np.float32)

    def maps(self, ensemble: int, steps: slice) -> npt.NDArray[np.float32]:
        """Return densities [n, H, W] of some maps of an ensemble: shares of its particles per cell.

        Raises:
            ValueError: if the file is damaged there.
        """
        return self.density(self.counts(ensemble, steps))

    def counts(self, ensemble: int, steps: slice) -> npt.NDArray[np.uint16]:
        """Return counts [n, H, W]; errors as maps()."""
        try:
            found: npt.NDArray[np.uint16] = self._counts()[ensemble, steps]
        except (OSError, RuntimeError) as error:
            raise ValueError(
                f"{self.path}, ensemble {ensemble:05d} cannot be read: {error}. Restore the file, or prepare the set "
                "again."
            ) from error
        return found

    def density(self, counts: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Turn counts [n, H, W], or means of them, into densities, smoothed."""
        return self.smoothed(counts / np.float64(self._particles))

    def smoothed(self, density: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
        """Smooth densities [..., H, W], where the run asks for it; their sum over the sea is kept.

        Each cell gives what it has to the sea around it, in shares that add up to 1: p' = sea * G(p / G(sea)), where G
        blurs (UncertainDrift, Jenkins et al. 2022, smooths without a coast).
        """
        found = np.asarray(density, dtype=np.float64)
        if self._smoothing:
            shared = np.divide(found, self._reach, out=np.zeros_like(found), where=self.sea)
            found = _blurred(shared, self._smoothing) * self.sea
        return np.asarray(found, dtype=np.float32)


def _dataset(path: Path) -> Any:
    """Open the counts alone: by xarray a window takes ten times as long as what is in it."""
    import h5py

    return h5py.File(path, "r")["counts"]


def _blurred(values: npt.NDArray[Any], sigma: float) -> npt.NDArray[np.float64]:
    """Blur the last two axes; nothing lies beyond the region."""
    from scipy.ndimage import gaussian_filter

    sigmas = (*[0.0] * (values.ndim - 2), sigma, sigma)
    return np.asarray(gaussian_filter(values.astype(np.float64), sigmas, mode="constant"))
