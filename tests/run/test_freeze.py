from pathlib import Path
from typing import Any

import pytest
import yaml

from segfield.run.freeze import freeze, load
from segfield.run.status import read_status

CONFIG: dict[str, Any] = {
    "seed": 1,
    "threads": 2,
    "data": {"values": {0: 0, 255: 1}},
    "trainer": {"devices": 1},
    "optimizer": {"lr": 1e-7},
}


def test_a_frozen_config_is_plain_yaml_and_reads_back_as_it_was(tmp_path: Path) -> None:
    freeze(CONFIG, tmp_path / "run", {"overrides.yaml": "- seed=1\n"})
    assert yaml.safe_load((tmp_path / "run/config.yaml").read_text()) == load(tmp_path / "run") == CONFIG
    assert (tmp_path / "run/.hydra/overrides.yaml").read_text() == "- seed=1\n"
    assert read_status(tmp_path / "run") == {"state": "planned"}


def test_freezing_the_same_config_again_changes_nothing_whatever_the_placement(tmp_path: Path) -> None:
    freeze(CONFIG, tmp_path)
    before = (tmp_path / "config.yaml").read_bytes()
    freeze({**CONFIG, "threads": 8}, tmp_path)
    assert (tmp_path / "config.yaml").read_bytes() == before


def test_another_config_is_refused_with_the_keys_that_differ_and_nothing_changes(tmp_path: Path) -> None:
    freeze(CONFIG, tmp_path, {"overrides.yaml": "old"})
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match=r"seed: 1 there, 2 now\n  optimizer.lr: 1e-07 there, 0.5 now"):
        freeze({**CONFIG, "seed": 2, "optimizer": {"lr": 0.5}}, tmp_path, {"overrides.yaml": "new"})
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_folder_without_config_is_no_run_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"is no run folder: it has no config\.yaml"):
        load(tmp_path)


@pytest.mark.parametrize(("content", "message"), [("a: [1", "is no YAML"), ("seed: 1", "is no frozen config")])
def test_a_damaged_config_is_named(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "config.yaml").write_text(content)
    with pytest.raises(ValueError, match=message):
        load(tmp_path)
