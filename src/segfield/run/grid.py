"""How many jobs a grid has."""

import math
from collections.abc import Sequence
from decimal import Decimal

from hydra.core.override_parser.types import Override, RangeSweep


def count(overrides: Sequence[Override]) -> int:
    """Return how many jobs a grid of these overrides has, without making them."""
    jobs = 1
    for values in {override.get_key_element(): override for override in overrides}.values():  # the last one wins
        if isinstance(sweep := values.value(), RangeSweep):
            start, stop, step = (Decimal(str(number)) for number in (sweep.start, sweep.stop, sweep.step))
            jobs *= max(0, math.ceil((stop - start) / step)) if step else 1  # Hydra refuses a step of 0
        elif values.is_discrete_sweep():
            jobs *= sum(1 for _ in values.sweep_iterator())
    return jobs
