"""Compare what a file holds with a sample of what this run would save: names, types and shapes, not values."""

import math
import re
from typing import Any

import torch

# A parameter that took no part has no moments; a newer torch knows more settings than the file.
_MAY_LACK = re.compile(r"optimizer_states\.0\.(state|param_groups\.\d+)")


def oddity(found: Any, sample: Any, where: str) -> str:
    """Say where a nested structure is not of its sample's names, types and shapes; nothing where it is.

    Args:
        found: what a file holds.
        sample: what this run would save.
        where: dotted name of `found` in the file.
    """
    if isinstance(sample, dict) and isinstance(found, dict):
        missing, unknown = sample.keys() - found.keys(), found.keys() - sample.keys()
        if unknown or (missing and not _MAY_LACK.fullmatch(where)):
            return f"{where} {'has' if unknown else 'lacks'} {min(map(str, unknown or missing))}"
        pairs = [(name, found[name], sample[name]) for name in found]
    elif isinstance(sample, list | tuple) and isinstance(found, list | tuple):
        if len(found) != len(sample):
            return f"{where} has {len(found)} entries instead of {len(sample)}"
        pairs = [(place, *both) for place, both in enumerate(zip(found, sample, strict=True))]
    else:
        return "" if _is_like(found, sample) else f"{where} is {shown(found)} instead of {shown(sample)}"
    return next((odd for name, one, other in pairs if (odd := oddity(one, other, f"{where}.{name}"))), "")


def _is_like(found: Any, sample: Any) -> bool:
    if isinstance(sample, torch.Tensor):
        return kind_of(found) == kind_of(sample)
    if sample is None or isinstance(sample, bool):
        return found is None or isinstance(found, bool)
    if type(sample) in (int, float):  # a rate of 1 may have become one of 0.5
        return type(found) is int or (type(found) is float and (math.isfinite(found) or not math.isfinite(sample)))
    return type(found) is type(sample)


def kind_of(value: Any) -> str:
    """Name type of numbers and shape of a tensor, or the type of what is none."""
    if not isinstance(value, torch.Tensor):
        return f"a {type(value).__name__}"
    return f"{str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"


def shown(value: Any) -> str:
    """Write a value for a message."""
    return repr(value)[:60] if isinstance(value, int | float | str | None) else kind_of(value)
