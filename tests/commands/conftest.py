"""Run folders without a run: a real frozen config, a few keys changed, and a status."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

KEPT = Path(__file__).resolve().parents[2] / "experiments/repeatability/baseline"
MakeRun = Callable[..., Path]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Make a run folder: make_run("a_b/<time>", {"lr: 0.001": "lr: 0.1"}, options={"model": "unet"}, epoch=3)."""
    text = (KEPT / "config.yaml").read_text()

    def make(
        name: str, changes: dict[str, str] | None = None, options: dict[str, str] | None = None, **status: Any
    ) -> Path:
        folder = tmp_path / "outputs" / name
        folder.mkdir(parents=True)
        config = text
        for old, new in (changes or {}).items():
            assert old in config
            config = config.replace(old, new)
        (folder / "config.yaml").write_text(config)
        if options:
            lines = "".join(f"      {group}: {option}\n" for group, option in options.items())
            (folder / ".hydra").mkdir()
            (folder / ".hydra/hydra.yaml").write_text(f"hydra:\n  runtime:\n    choices:\n{lines}  verbose: false\n")
        if status:
            (folder / "status.json").write_text(json.dumps({"state": "finished", **status}))
        return folder

    return make


@pytest.fixture(scope="session")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of what several tests start from; each makes it where it is not there yet, and works with a copy."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def blobs_run(cli: Callable[..., Any], kept: Path, tmp_path: Path) -> Path:
    """A finished run on 20 blobs of 32x32: two epochs, validation in batches of 2, 3 test images."""
    if not (kept / "blobs/status.json").exists():
        words = ("debug=fast", "data.length=20", "data.test_fraction=0.15", "trainer.limit_val_batches=1.0")
        words += ("trainer.max_epochs=2", "model.width=4", "threads=1", f"hydra.run.dir={kept / 'blobs'}")
        outcome = cli("train.py", *words)
        assert outcome.code == 0, outcome.err
    return Path(shutil.copytree(kept / "blobs", tmp_path / "run"))


@pytest.fixture
def cars(cli: Callable[..., Any], kept: Path) -> Path:
    """Demo cars of 64x96: 4 cars of 2 views with masks, one in test/. Not to be changed."""
    if not (kept / "cars/test").exists():
        words = ("cars=4", "views=2", "test_cars=1", "size=[64,96]")
        assert cli("segfield", "prepare", "demo", "carvana", kept / "cars", *words).code == 0
    return kept / "cars"


@pytest.fixture
def cars_run(cli: Callable[..., Any], kept: Path, cars: Path, tmp_path: Path) -> Path:
    """A finished run on them at 32x48, half their size; one car is the test part."""
    if not (kept / "cars_run/status.json").exists():
        words = ("debug=fast", "data=carvana", f"data.root={cars}", "data.size=[32,48]", "data.test_fraction=0.25")
        words += ("model.width=4", "threads=1", f"hydra.run.dir={kept / 'cars_run'}")
        outcome = cli("train.py", *words)
        assert outcome.code == 0, outcome.err
    return Path(shutil.copytree(kept / "cars_run", tmp_path / "cars_run"))
