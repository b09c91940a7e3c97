"""A run folder that is frozen and has not run, and the place outside it where a successful attack leaves a file."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from segfield.run import compose as composing
from segfield.run.freeze import freeze

PROJECT = Path(__file__).resolve().parents[2]
TINY = ("debug=fast", "data.size=[32,32]", "data.length=10", "threads=1", "model.width=4")


@pytest.fixture(scope="session")
def frozen(tmp_path_factory: pytest.TempPathFactory) -> Path:
    composing.register()
    with initialize_config_dir(str(PROJECT / "conf")):
        config: Any = OmegaConf.to_container(compose("train", overrides=list(TINY)), resolve=True)
    folder = tmp_path_factory.mktemp("frozen") / "run"
    freeze(config, folder)
    return folder


@pytest.fixture
def folder(frozen: Path, tmp_path: Path) -> Path:
    """A copy that the attacker has at his disposal."""
    return Path(shutil.copytree(frozen, tmp_path / "run"))


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Nothing, unless an attack works; its path has no character that a shell or Python would mind."""
    return tmp_path / "outside"


@pytest.fixture
def config(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((folder / "config.yaml").read_text())
    return content
