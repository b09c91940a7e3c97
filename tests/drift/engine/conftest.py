"""Analytic flows as fields, and what carries particles through them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from segfield.densities import Field

Flow = Callable[..., tuple[Field, Field]]
Values = npt.NDArray[Any]
START = np.datetime64("2005-04-01", "ns")
DAY = np.timedelta64(24 * 3600, "s")


@pytest.fixture
def flow() -> Flow:
    """Make u and v [m/s] of functions of (latitude, longitude, days): flow(u, v, latitude, longitude, days=6)."""

    def make(
        u: Callable[..., Any], v: Callable[..., Any], latitude: Values, longitude: Values, days: int = 6
    ) -> tuple[Field, Field]:
        grid = np.meshgrid(latitude, longitude, indexing="ij")
        ages = np.arange(days + 1.0)
        values = [
            np.stack([np.broadcast_to(one(*grid, age), grid[0].shape) for age in ages]).astype(np.float32)
            for one in (u, v)
        ]
        shared = {"time": START + np.arange(days + 1) * DAY, "latitude": latitude, "longitude": longitude}
        return tuple(
            Field(name=name, values=one, units="m s-1", source="a formula", **shared)
            for name, one in zip("uv", values, strict=True)
        )

    return make
