"""TensorBoard pictures of the same fixed validation samples, each epoch.

One output channel: image | truth against prediction | overlay.
Several classes, each in its colour: image | truth | prediction | comparison.
"""

from typing import Any, final

import numpy as np

from segfield.callbacks.shown import FixedSamples, outputs_of
from segfield.figures import panel
from segfield.figures.classes import class_panel, palette
from segfield.spatial import centre_crop


@final
class Panels(FixedSamples):
    """Draw some validation samples after every validation; height is the most pixels of a picture."""

    def draw(self, task: Any, data: Any, item: dict[str, Any]) -> np.ndarray:
        """Predict one sample and draw it: [h, w, 3] uint8."""
        logits, batch = outputs_of(task, [item])
        values = task.activation(logits.float())[0].cpu()
        shown = centre_crop(item["image"], (logits.shape[-2], logits.shape[-1])).permute(1, 2, 0).numpy()
        valid = batch["valid"][0, 0].cpu().numpy() if "valid" in batch else None
        truth = batch["target"][0].cpu().numpy()
        if len(values) == 1:
            return panel(shown, truth, (values[0] > task.threshold).numpy(), height=self.height, valid=valid)
        colours, predicted = palette(len(values), data.colours), values.argmax(0).numpy()
        return class_panel(shown, truth, predicted, colours, data.classes, height=self.height, valid=valid)
