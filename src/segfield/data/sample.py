"""Sample: one image and its truth, before anything is read."""

from collections.abc import Mapping
from typing import Any, NamedTuple

_NONE: Mapping[str, str] = {}  # read only, but no mappingproxy: that cannot be pickled


class Sample(NamedTuple):
    """What a data module knows of one image without opening it.

    `id` is unique, relative to the data's root, the same on every machine. `group` is what a split never cuts:
    a car, a patient. `attributes` are the data module's own: a Path is a file that read() opens, a string is content
    that read() uses (both are fingerprinted), anything else is not. `part` is the data's own: "train", "val", "test";
    None where it has none. `empty` says whether the mask has no foreground; None: not known. `labels` describe the
    image in tables (make, year, category) and change nothing else.
    """

    id: str
    group: str
    attributes: Mapping[str, Any]
    part: str | None = None
    empty: bool | None = None
    labels: Mapping[str, str] = _NONE
