"""View: what a network sees of a window, the variables and the density; the same in training and in a forecast."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import numpy.typing as npt

from segfield.data.ocean_density.fields import Fields
from segfield.data.ocean_density.inputs import Inputs
from segfield.data.ocean_density.statistics import names_of
from segfield.data.ocean_density.windows import Windows


@final
@dataclass(frozen=True, kw_only=True)
class View:
    """Makes images: `fields` gives the variables of `inputs`, `scale` multiplies the density, `sea` is [H, W]."""

    fields: Fields
    inputs: Inputs
    scale: float
    sea: npt.NDArray[np.bool_]

    def __call__(
        self,
        windows: Windows,
        ensemble: int,
        step: int,
        density: npt.NDArray[np.float32],
        known: Mapping[str, npt.NDArray[Any]],
    ) -> dict[str, npt.NDArray[Any]]:
        """Return image [V + 1, H, W] float32 and valid [1, H, W] bool: the sea where every variable has a value.

        Args:
            windows: of which one is seen.
            ensemble: of it.
            step: of it.
            density: [H, W] at its start, the last channel.
            known: mean and std of what is standardised.

        Raises:
            ValueError: if a file is damaged there.
        """
        image = np.empty((self.inputs.in_channels, *density.shape), dtype=np.float32)
        for channel, (name, offset) in enumerate(self.inputs.channels):
            image[channel] = self.fields.at(name, windows.moment(ensemble, step, offset))
            if name in self.inputs.standardised:
                mean, std = (float(known[key]) for key in names_of(name))
                image[channel] = (image[channel] - mean) / std
        image[-1] = density * np.float32(self.scale)
        finite = np.isfinite(image)
        image[~finite] = 0
        return {"image": image, "valid": (finite.all(axis=0) & self.sea)[None]}
