"""Every model with every data set, and every augmentation: two steps of each from one command."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from PIL import Image

from segfield.data.demo import prepare_carvana

CONF = Path(__file__).resolve().parents[1] / "conf"
MODELS = sorted(path.stem for path in (CONF / "model").glob("*.yaml"))
DATA = sorted(path.stem for path in (CONF / "data").glob("*.yaml"))
AUGMENTATIONS = sorted(path.stem for path in (CONF / "augmentation").glob("*.yaml"))
SMALL = {"resnet_unet": ["model.encoder=resnet18"]}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def places(tmp_path_factory: pytest.TempPathFactory, make_drift_set: Callable[..., Path]) -> dict[str, list[str]]:
    """What is typed to find each data set; small files in the layout of the real ones."""
    root = tmp_path_factory.mktemp("data")
    prepare_carvana(root / "carvana", cars=3, views=2, size=(48, 64), test_cars=0)
    rng = np.random.default_rng(0)
    for patient in ("TCGA_AA_0001_20000101", "TCGA_BB_0002_20000202"):
        (root / "lgg" / patient).mkdir(parents=True)
        for number in range(1, 5):
            image = Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8))
            mask = np.zeros((32, 32), np.uint8)
            mask[8 : 8 + 3 * number, 8:20] = 255
            image.save(root / "lgg" / patient / f"{patient}_{number}.tif")
            Image.fromarray(mask).save(root / "lgg" / patient / f"{patient}_{number}_mask.tif")
    (root / "figshare").mkdir()
    for number in range(1, 9):
        with h5py.File(root / "figshare" / f"{number}.mat", "w") as file:
            group = file.create_group("cjdata")
            group["image"] = rng.integers(0, 3000, (32, 32)).astype(np.int16)
            group["tumorMask"] = (rng.random((32, 32)) > 0.7).astype(np.uint8)
            group["label"] = np.array([[1.0 + number % 3]])
            group["PID"] = np.array([[ord(str(number))]], np.uint16).T
    folder = [f"data.{what}={root / 'lgg'}" for what in ("images", "masks")]
    return {
        "carvana": [f"data.root={root / 'carvana'}"],
        "folder": [*folder, 'data.mask_pattern="{stem}_mask"', 'data.group_pattern="^([^/]+)/"'],
        "brain_tumour": [f"data.root={root / 'lgg'}"],
        "brain_tumour_flair": [f"data.root={root / 'lgg'}"],
        "brain_tumour_classes": [f"data.root={root / 'figshare'}"],
        "ocean_density": [f"data.root={make_drift_set(root / 'drift', size=(32, 32), maps=3)}"],
        "blobs": ["data.length=12"],
        "blobs_shapes": ["data.length=12"],
    }


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("model", MODELS)
def test_every_model_runs_two_steps_on_every_data_set(
    cli: Callable[..., Any], places: dict[str, list[str]], only_run: Callable[[], Path], model: str, data: str
) -> None:
    words = ["debug=fast", "threads=1", f"model={model}", f"data={data}", *places[data]]
    outcome = cli("train.py", *words, *SMALL.get(model, ["model.width=4"]))
    assert outcome.code == 0, outcome.err
    assert len((only_run() / "trace.csv").read_text().splitlines()) == 1 + 2


@pytest.mark.parametrize("data", ["blobs_shapes", "brain_tumour", "carvana"])
@pytest.mark.parametrize("augmentation", AUGMENTATIONS)
def test_every_augmentation_runs_two_steps(
    cli: Callable[..., Any], places: dict[str, list[str]], augmentation: str, data: str
) -> None:
    words = ["debug=fast", "threads=1", "model.width=4", f"data={data}", f"augmentation={augmentation}", *places[data]]
    outcome = cli("train.py", *words)
    assert outcome.code == 0, outcome.err
