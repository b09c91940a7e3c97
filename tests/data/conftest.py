"""Caches of a small Carvana of drawn cars, and what was read for them."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from segfield.data import cache_folder
from segfield.data.carvana import Carvana
from segfield.data.demo import prepare_carvana

Make = Callable[..., Carvana]


@pytest.fixture(scope="session")
def cars(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight photographs of four drawn cars; read only."""
    folder = tmp_path_factory.mktemp("cars") / "demo"
    prepare_carvana(folder, cars=4, views=2, size=(128, 192), test_cars=0)
    return folder


@pytest.fixture
def own_cars(cars: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(cars, tmp_path / "cars"))


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in place of shared memory."""
    place = tmp_path / "shm"
    place.mkdir()
    monkeypatch.setattr(cache_folder, "SHARED_MEMORY", place)
    return place


@pytest.fixture
def carvana(cars: Path, tmp_path: Path, memory: Path) -> Make:
    """Make a data module, set up; carvana("disk", root=..., size=...)."""

    def make(cache: str = "disk", root: Path = cars, **settings: Any) -> Carvana:
        given = {"in_channels": 3, "batch_size": 2, "size": [48, 72], "cache_dir": str(tmp_path / "caches"), **settings}
        data = Carvana(root=str(root), cache=cache, **given)  # type: ignore[arg-type]
        data.setup()
        return data

    return make


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ids that were read from files, image and mask together."""
    seen: list[str] = []
    read = Carvana.read
    monkeypatch.setattr(Carvana, "read", lambda self, sample, size: seen.append(sample.id) or read(self, sample, size))
    return seen


@pytest.fixture
def batches() -> Callable[[Any], list[dict[str, Any]]]:
    """Return the batches of an epoch and of a validation."""
    return lambda data: [*data.train_dataloader(), *data.val_dataloader()]


@pytest.fixture
def same() -> Callable[[list[dict[str, Any]], list[dict[str, Any]]], bool]:
    """Tell whether batches are equal bit for bit, types too."""

    def equal(a: Any, b: Any) -> bool:
        return (a.dtype == b.dtype and torch.equal(a, b)) if isinstance(a, torch.Tensor) else bool(a == b)

    return lambda one, two: (
        len(one) == len(two)
        and all(
            a.keys() == b.keys() and all(equal(a[name], b[name]) for name in a) for a, b in zip(one, two, strict=True)
        )
    )
