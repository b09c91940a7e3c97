from pathlib import Path
from typing import Any

import pytest

from segfield.run import placement

CONFIG: dict[str, Any] = {
    "seed": 1,
    "threads": 2,
    "data": {"_target_": "segfield.data.carvana.Carvana", "root": None, "size": [1, 2]},
    "trainer": {"devices": 1, "max_epochs": 3},
}


def test_a_placement_key_can_be_given_again_at_execution() -> None:
    new = placement.override(CONFIG, ["trainer.devices=3", "threads=1"])
    assert (new["trainer"]["devices"], new["threads"]) == (3, 1)
    assert CONFIG["trainer"]["devices"] == 1


def test_any_other_key_is_refused_at_execution() -> None:
    with pytest.raises(ValueError, match=r"trainer\.max_epochs is no placement.*threads"):
        placement.override(CONFIG, ["trainer.max_epochs=9"])


def test_a_word_that_is_no_assignment_is_refused() -> None:
    with pytest.raises(ValueError, match="Expected key=value after the folder, found 'fast'"):
        placement.override(CONFIG, ["fast"])


def test_placement_is_no_difference_between_two_runs() -> None:
    other = placement.override(CONFIG, ["trainer.devices=3", "data.root=/elsewhere"])
    assert placement.difference(CONFIG, other) == {}


def test_a_cache_is_no_difference_and_none_where_it_is_not_said() -> None:
    cached = {**CONFIG, "data": {**CONFIG["data"], "cache": "disk"}}
    other = placement.override(cached, ["data.cache=none"])
    assert placement.difference(cached, other) == {}
    assert placement.placed(placement.unplaced(cached))["data"]["cache"] == "none"


def test_every_other_key_is_a_difference_also_a_new_one() -> None:
    other = {**CONFIG, "seed": 2, "loss": {"smooth": 1.0}}
    assert placement.difference(CONFIG, other) == {"seed": (1, 2), "loss.smooth": (None, 1.0)}


def test_a_typed_data_location_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = placement.absolute({"data": {"images": "pictures", "masks": "../masks", "root": None}})
    assert config["data"] == {
        "images": str(tmp_path / "pictures"),
        "masks": str(tmp_path / ".." / "masks"),
        "root": None,
    }


def test_a_root_that_was_not_typed_is_looked_for_in_segfield_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGFIELD_DATA", "/disk")
    assert placement.located(CONFIG)["data"]["root"] == "/disk/carvana"
    monkeypatch.delenv("SEGFIELD_DATA")
    assert placement.located(CONFIG)["data"]["root"] == str(placement.PROJECT / "data" / "carvana")
    assert CONFIG["data"]["root"] is None


def test_a_root_that_the_project_alone_has_is_the_projects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "PROJECT", tmp_path / "project")
    monkeypatch.setenv("SEGFIELD_DATA", str(tmp_path / "disk"))
    (tmp_path / "project/data/carvana").mkdir(parents=True)
    assert placement.located(CONFIG)["data"]["root"] == str(tmp_path / "project/data/carvana")
    (tmp_path / "disk/carvana").mkdir(parents=True)
    assert placement.located(CONFIG)["data"]["root"] == str(tmp_path / "disk/carvana")


def test_outputs_go_to_the_project_unless_the_environment_names_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SEGFIELD_OUTPUTS", raising=False)
    assert placement.outputs() == Path(__file__).resolve().parents[2] / "outputs"
    monkeypatch.setenv("SEGFIELD_OUTPUTS", "/disk/runs")
    assert placement.outputs() == Path("/disk/runs")


def test_a_misspelt_placement_key_gets_a_suggestion() -> None:
    with pytest.raises(ValueError, match=r"thread is no placement \(did you mean threads\?\)"):
        placement.override(CONFIG, ["thread=4"])


def test_a_typed_file_beside_the_data_is_made_absolute_where_it_is_and_else_lies_in_the_datas_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "parts.csv").touch()
    config = {"data": {"split_file": "parts.csv", "fold_file": "cvind.mat"}}
    assert placement.absolute(config)["data"] == {"split_file": str(tmp_path / "parts.csv"), "fold_file": "cvind.mat"}


def test_a_frozen_file_beside_the_data_is_looked_for_again_in_the_datas_folder_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "parts.csv").touch()
    config = {**CONFIG, "data": {**CONFIG["data"], "split_file": "parts.csv"}}
    assert placement.override(config, ["threads=1"])["data"]["split_file"] == "parts.csv"
    changed = placement.change(config, ["data.split_file=parts.csv"])
    assert changed["data"]["split_file"] == str(tmp_path / "parts.csv")
    assert "data.split_file" in placement.difference(config, changed)
    with pytest.raises(ValueError, match=r"data\.split_file is no placement"):
        placement.override(config, ["data.split_file=parts.csv"])
