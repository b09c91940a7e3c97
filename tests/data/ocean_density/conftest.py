"""Data modules over small analytic sets."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segfield.data.ocean_density import OceanDensity
from segfield.data.ocean_density.inputs import Inputs

Ocean = Callable[..., OceanDensity]


@pytest.fixture(scope="session")
def sea(make_drift_set: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fifteen ensembles of five maps over 42 days; read only."""
    return make_drift_set(tmp_path_factory.mktemp("sea") / "set")


@pytest.fixture(scope="session")
def long_sea(make_drift_set: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-five ensembles of three maps over 74 days: enough for three parts; read only."""
    return make_drift_set(tmp_path_factory.mktemp("long_sea") / "set", samples=25, days=74, maps=3)


@pytest.fixture
def ocean(sea: Path) -> Ocean:
    """Make a data module, set up: ocean("u", "v"), ocean("sst", "sst", offsets=[0, 1], standardised=["sst"])."""

    def make(
        *variables: str,
        root: Path = sea,
        offsets: list[int] | None = None,
        standardised: tuple[str, ...] = (),
        setup: bool = True,
        **settings: Any,
    ) -> OceanDensity:
        names = variables or ("u", "v")
        inputs = Inputs(variables=names, in_channels=len(names) + 1, offsets=offsets, standardised=standardised)
        given = {"in_channels": len(names) + 1, "batch_size": 4, "mean": 0, "std": 1, **settings}
        data = OceanDensity(root=str(root), inputs=inputs, **given)
        if setup:
            data.setup()
        return data

    return make
