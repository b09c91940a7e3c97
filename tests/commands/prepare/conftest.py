"""The competition's zips of a small demo, and a client that stands for Kaggle's."""

import shutil
import sys
import types
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5netcdf
import numpy as np
import pytest

from segfield.data import competition
from segfield.data.demo import prepare_carvana

Fake = Callable[..., list[str]]
CARS, VIEWS, TEST = 2, 2, 2


@pytest.fixture(scope="session")
def zips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The competition's zips of a small demo."""
    folder = tmp_path_factory.mktemp("competition")
    root, zips = folder / "demo", folder / "zips"
    prepare_carvana(root, cars=CARS, views=VIEWS, size=(48, 64), test_cars=1)
    zips.mkdir()
    for name in ("train", "train_masks", "test"):
        with zipfile.ZipFile(zips / f"{name}.zip", "w") as archive:
            for path in sorted((root / name).iterdir()):
                archive.write(path, f"{name}/{path.name}")
    for name in ("train_masks.csv", "metadata.csv", "sample_submission.csv"):
        with zipfile.ZipFile(zips / f"{name}.zip", "w") as archive:
            archive.write(root / name, name)
    return zips


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Expect the demo's numbers."""
    counts = competition.Counts(CARS, VIEWS, TEST)
    monkeypatch.setattr(competition, "Counts", lambda: counts)


@pytest.fixture
def kaggle(zips: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Put a client in Kaggle's place: kaggle(refusal) returns what it is asked for."""

    def put(login: BaseException | None = None, refusal: BaseException | None = None, bytes_: int = 1) -> list[str]:
        asked: list[str] = []

        class KaggleApi:
            def authenticate(self) -> None:
                print("Authentication required, and much more")  # noqa: T201, as the client does it
                if login:
                    raise login

            def competition_list_files(self, competition: str, page_size: int = 20) -> Any:
                files = [types.SimpleNamespace(name=path.name, total_bytes=bytes_) for path in zips.iterdir()]
                return types.SimpleNamespace(files=files)

            def competition_download_file(self, competition: str, file_name: str, path: str, quiet: bool) -> None:
                assert competition == "carvana-image-masking-challenge"
                if refusal:
                    raise refusal
                asked.append(file_name)
                shutil.copy(zips / file_name, path)

        module = types.ModuleType("kaggle.api.kaggle_api_extended")
        module.KaggleApi = KaggleApi  # type: ignore[attr-defined]
        for name in ("kaggle", "kaggle.api"):
            monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return asked

    return put


@pytest.fixture
def sea(tmp_path: Path) -> Path:
    """A NetCDF file of 5 days of currents that turn at 38 N 3 E, with land in the west, NaN there."""
    latitude, longitude = np.linspace(37, 39, 21), np.linspace(2, 4, 21)
    y, x, day = latitude[:, None], longitude[None, :], np.arange(6.0)[:, None, None]
    land = np.where(x < 2.55, np.nan, 0.0) + 0 * y
    values = {"uo": 0.4 * np.cos(day + y) + land, "vo": 0.3 * np.sin(day + x) + land}
    path = tmp_path / "sea.nc"
    with h5netcdf.File(path, "w") as file:
        file.dimensions = {"time": 6, "latitude": 21, "longitude": 21}
        axes = {"latitude": (latitude, "degrees_north"), "longitude": (longitude, "degrees_east")}
        axes["time"] = (np.arange(6), "days since 2005-04-01")
        for name, (axis, units) in axes.items():
            file.create_variable(name, (name,), data=axis).attrs["units"] = units
        for name, one in values.items():
            file.create_variable(name, ("time", "latitude", "longitude"), data=one).attrs["units"] = "m s-1"
    return path
