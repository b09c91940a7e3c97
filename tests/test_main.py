import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from segfield.__main__ import VERBS, main

Cli = Callable[..., Any]


def test_usage_lists_every_verb(cli: Cli) -> None:
    outcome = cli("segfield", "--help")
    assert outcome.code == 0
    assert all(verb in outcome.out for verb in VERBS)


def test_an_unknown_verb_or_none_is_a_wrong_call(cli: Cli) -> None:
    assert cli("segfield").code == 2
    outcome = cli("segfield", "exekute")
    assert outcome.code == 2
    assert "unknown verb 'exekute'" in outcome.err


def test_every_verb_shows_its_own_usage(cli: Cli) -> None:
    for verb in VERBS:
        outcome = cli("segfield", verb, "--help")
        assert outcome.code == 0
        assert f"python -m segfield {verb}" in outcome.out


def test_execute_without_a_folder_is_a_wrong_call(cli: Cli) -> None:
    assert cli("segfield", "execute").code == 2
    assert cli("segfield", "execute", "threads=2").code == 2


def test_execute_names_a_folder_that_is_no_run(cli: Cli, tmp_path: Any) -> None:
    outcome = cli("segfield", "execute", tmp_path)
    assert outcome.code == 2
    assert "is no run folder" in outcome.err


@pytest.mark.slow
def test_the_verb_prepare_runs_as_a_real_command(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "segfield", "prepare", "demo", "carvana", "cars", "cars=2", "size=[64,96]"]
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert len(list((tmp_path / "cars/train").glob("*_16.jpg"))) == 2
    assert "python train.py model=unet data=carvana data.root=cars" in done.stdout


@pytest.mark.slow
def test_what_runs_on_a_gpu_is_rehearsed_and_is_said_not_to_run_without_one() -> None:
    script = Path(__file__).resolve().parents[1] / "experiments/speed/gpu.py"
    rehearsal = subprocess.run([sys.executable, script, "rehearse"], check=True, capture_output=True, text=True)
    assert rehearsal.stdout.count("\n| ") == 5
    import torch

    if not torch.cuda.is_available():
        done = subprocess.run([sys.executable, script], check=True, capture_output=True, text=True)
        assert "nothing was run" in done.stdout


def test_ctrl_c_in_any_verb_ends_with_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    import segfield.commands.save

    def stop(arguments: list[str]) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(segfield.commands.save, "main", stop)
    assert main(["save"]) == 130
    assert capsys.readouterr().err == "interrupted\n"
