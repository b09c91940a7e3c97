"""A data module that reads what it was given, and its samples measured."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from segfield.data.audit.measure import Measured, measure
from segfield.data.sample import Sample


class Arrays:
    """Stands for a data module of arrays: images [C, H, W] and targets."""

    size = None

    def __init__(
        self,
        images: Sequence[np.ndarray],
        targets: Sequence[np.ndarray] | None = None,
        classes: int = 2,
        valid: np.ndarray | None = None,
    ) -> None:
        self.images, self.valid = images, valid
        self.targets = targets or [np.zeros(image.shape[1:], np.uint8) for image in images]
        self.in_channels, self.out_channels = images[0].shape[0], 1 if classes == 2 else classes
        self.classes = [f"class {number}" for number in range(classes)]

    def read(self, sample: Sample, size: object) -> dict[str, np.ndarray]:
        at = sample.attributes["index"]
        valid = {} if self.valid is None else {"valid": self.valid}
        return {"image": self.images[at], "target": self.targets[at], **valid}


@pytest.fixture
def measured() -> Callable[..., list[Measured]]:
    def call(*arguments: object, **settings: object) -> list[Measured]:
        data = Arrays(*arguments, **settings)  # type: ignore[arg-type]
        samples = [Sample(str(at), str(at), {"index": at}) for at in range(len(data.images))]
        return [measure(data, sample) for sample in samples]  # type: ignore[arg-type]

    return call
