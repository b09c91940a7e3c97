"""TensorBoard pictures of drift densities: the same fixed validation windows, each epoch.

Inputs | density now | truth | prediction | difference, maps with land, axes in km and colour scales.
"""

from typing import Any, ClassVar, final

import numpy as np

from segfield.callbacks.shown import FixedSamples, outputs_of
from segfield.densities import CURRENT, EAST, NEXT, NORTH, UNITS
from segfield.figures.density import LEAST, Input, density_panel
from segfield.spatial import centre_crop


@final
class DensityPanels(FixedSamples):
    """Draw some validation windows after every validation; height is that of a picture in pixels."""

    least: ClassVar[int] = LEAST

    def draw(self, task: Any, data: Any, item: dict[str, Any]) -> np.ndarray:
        """Predict one sample and draw it: [h, w, 3] uint8."""
        densities, batch = outputs_of(task, [item])
        target = batch["target"][0].cpu().numpy()
        shown = centre_crop(item["image"], (densities.shape[-2], densities.shape[-1])).numpy()
        return density_panel(
            inputs_of(data, shown),
            target[CURRENT],
            target[NEXT],
            densities[0, 0].float().cpu().numpy(),
            valid=batch["valid"][0, 0].cpu().numpy(),
            east=target[EAST],
            north=target[NORTH],
            title=f"{item['id']}, {data.describe(item['index'])} to +{data.lead_hours(item['index']):g} h",
            height=self.height,
        )


def inputs_of(data: Any, image: np.ndarray) -> list[Input]:
    """Name the channels of an image [V + 1, H, W] of data=ocean_density; the last one, the density, is left out."""
    found = []
    for channel, (name, offset) in enumerate(data.inputs.channels):
        standardised = name in data.inputs.standardised
        unit = "standard deviations" if standardised else UNITS.get(name, "").replace("m s-1", "m/s")
        late = {0: "", 1: " a map later"}.get(offset, f" {offset} maps later")
        found.append(Input(f"{name}{late}", image[channel], unit, signed=standardised or UNITS.get(name) == "m s-1"))
    return found
