"""Hooks: what a data set may say of itself beyond its samples; every answer here is that of one without a word.

Not here: what every data set must say (module.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from segfield.data.sample import Sample
from segfield.data.settings import Settings


@dataclass(kw_only=True, eq=False, repr=False)
class Hooks(Settings):
    """Asked by PixelwiseData and by run/data.py."""

    own_way: ClassVar[str] = ""  # how split_own() splits, for the log: "by time"

    def common_files(self) -> list[Path]:
        """Return the files that every sample is read from; those of one sample are among its attributes."""
        return []

    def constants(self) -> dict[str, Any]:
        """Return what is the same in every item: tensors, which a batch stacks, and words, which it does not."""
        return {}

    def split_own(self, samples: Sequence[Sample]) -> dict[str, str] | None:
        """Return "train", "val" or "test" by id, where this data is not to be split by group; None where it is.

        What is left out is absent.

        Raises:
            ValueError: if the settings do not fit the data.
        """
        return None

    def refuse_parts(self, parts: Mapping[str, str], source: str) -> None:
        """Refuse parts of a split_file, by id, that this data's own rules would not make.

        Raises:
            ValueError: the message begins with the source.
        """

    def statistics(self) -> dict[str, np.ndarray]:
        """Return what reading learns of the training part, by names; {}: nothing. A run keeps it."""
        return {}

    def keep_statistics(self, saved: Mapping[str, np.ndarray]) -> None:
        """Take these for what statistics() gives.

        Raises:
            ValueError: if they are of other data: what was found, what was expected.
        """
        if saved:
            raise ValueError(f"found {', '.join(sorted(saved))}, expected nothing")
