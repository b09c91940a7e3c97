import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from segfield.commands.prepare import main
from segfield.data.demo import prepare_carvana

SMALL = ["cars=2", "views=2", "size=[64,96]", "test_cars=0"]


def test_prepare_demo_carvana_writes_the_layout_and_tells_how_to_train_on_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "carvana"
    assert main(["demo", "carvana", str(folder), *SMALL]) == 0
    assert len(list((folder / "train").glob("*.jpg"))) == len(list((folder / "train_masks").glob("*.gif"))) == 4
    said = capsys.readouterr().out
    assert f"Wrote {folder}" in said
    assert f"python train.py model=unet data=carvana data.root={folder}\n" in said


def test_a_folder_with_a_space_is_quoted_for_the_shell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "my cars"
    assert main(["demo", "carvana", str(folder), *SMALL]) == 0
    assert f"'data.root={folder}'" in capsys.readouterr().out


def test_the_command_in_another_process_writes_the_same(cli: Callable[..., Any], tmp_path: Path) -> None:
    outcome = cli("segfield", "prepare", "demo", "carvana", tmp_path / "a", *SMALL)
    assert (outcome.code, outcome.err) == (0, "")
    main(["demo", "carvana", str(tmp_path / "b"), *SMALL])
    assert (tmp_path / "a/train_masks.csv").read_bytes() == (tmp_path / "b/train_masks.csv").read_bytes()


def test_the_defaults_in_the_usage_are_those_of_the_function(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["demo", "--help"]) == 0
    shown = dict(word.split("=") for word in capsys.readouterr().out.split("defaults: ")[1].split())
    parameters = list(inspect.signature(prepare_carvana).parameters.values())[1:]
    assert {key: yaml.safe_load(value) for key, value in shown.items()} == {
        one.name: list(one.default) if one.name == "size" else one.default for one in parameters
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "usage: python -m segfield prepare <subject>"),
        (["coco"], "unknown subject 'coco'"),
        (["demo"], "expected: carvana <folder>; got: nothing"),
        (["demo", "coco", "folder"], "expected: carvana <folder>; got: coco folder"),
        (["demo", "carvana"], "got: carvana\nusage: python -m segfield prepare demo carvana <folder>"),
        (["demo", "carvana", "cars=3"], "expected: carvana <folder>; got: carvana cars=3"),
        (["demo", "carvana", "x", "car=3"], "unknown argument 'car=3': expected key=value with one of cars, views"),
        (["demo", "carvana", "x", "3"], "unknown argument '3'"),
        (["demo", "carvana", "x", "size=[64"], "'size=[64' cannot be read: size=[1280, 1918] for example"),
    ],
)
def test_a_wrong_call_is_answered_with_the_usage_and_code_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "usage: python -m segfield prepare" in error
    assert not Path("x").exists()


def test_help_is_answered_with_code_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "demo carvana <folder>" in capsys.readouterr().out


def test_a_folder_with_something_else_is_refused_with_code_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.txt").touch()
    assert main(["demo", "carvana", str(tmp_path), *SMALL]) == 1
    assert "is not empty and was not made by `prepare demo`" in capsys.readouterr().err


def test_a_disk_without_room_is_told_with_code_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("segfield.data.demo._write_jpeg", full)
    assert main(["demo", "carvana", str(tmp_path / "new"), *SMALL]) == 1
    assert "No space left on device" in capsys.readouterr().err
