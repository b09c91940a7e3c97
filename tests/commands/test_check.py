"""`segfield check` as a user types it, in a forked child."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from segfield.run.lock import locked

Cli = Callable[..., Any]
TINY = ("debug=fast", "data.length=10", "threads=1", "model.width=4")


def test_a_run_that_can_start_is_described_and_nothing_is_written(cli: Cli, outputs: Path) -> None:
    outcome = cli("segfield", "check", *TINY)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.splitlines() == [
        f"this run can start: python train.py {' '.join(TINY)}",
        "  68,057 parameters",
        "  8 training and 2 validation samples",
        f"  checkpoints of up to 2.5 MB under {outputs / 'unet_small_blobs'}",
    ]
    assert not outputs.exists()


def test_samples_of_a_test_part_are_counted(cli: Cli) -> None:
    outcome = cli("segfield", "check", *TINY, "data.test_fraction=0.2")
    assert "  6 training and 2 validation samples, 2 test samples" in outcome.out.splitlines()


def test_check_accepts_what_train_then_runs(cli: Cli) -> None:
    words = (*TINY, "model=resnet_unet", "scheduler=plateau", "~model.width")
    assert cli("segfield", "check", *words).code == cli("train.py", *words).code


def test_every_word_that_hydra_refuses_is_named_with_what_is_wrong_beside_it(cli: Cli) -> None:
    outcome = cli("segfield", "check", *TINY, "model==3", "modle=3", "data=blob", "optimizer=sgd,adamw", "seed=-1")
    assert outcome.code == 2
    assert outcome.out == ""
    for start in (
        "'model==3' is no override",
        "Could not override 'modle'",
        "data=blob: conf/data/ has blobs, ",
        "Ambiguous value for argument 'optimizer=sgd,adamw'",
        "seed=-1 must be",
    ):
        assert f"\n- {start}" in outcome.err
    assert "Traceback" not in outcome.err


def test_the_word_that_is_left_out_is_the_wrong_one_not_the_suggested_one(cli: Cli) -> None:
    outcome = cli("segfield", "check", *TINY, "modle=unet", "model=unet_original", "model.border=none")
    assert outcome.err.count("Could not override 'modle'") == 1
    assert "got 32x32" in outcome.err


def test_keys_of_an_option_that_does_not_exist_are_not_held_against_another(cli: Cli) -> None:
    outcome = cli("segfield", "check", "threads=1", "data=carvanna", "data.root=/nowhere", "optimizer.lr=-1")
    lines = outcome.err.splitlines()
    assert lines[1].startswith("- data=carvanna: conf/data/ has blobs, ")
    assert lines[1].endswith("; did you mean carvana?")
    assert lines[2:] == ["- optimizer: Invalid learning rate: -1"]


def test_every_value_that_is_not_there_is_named_by_its_key(cli: Cli) -> None:
    words = ("data.in_channels=???", "model.depth=${nowhere}", "data.size=[32,${data.widht}]", "optimizer.lr=-1")
    outcome = cli("segfield", "check", *TINY, *words)
    assert outcome.code == 2
    assert sorted(line.split()[1].partition("=")[0].rstrip(":") for line in outcome.err.splitlines()[1:]) == [
        "data.in_channels",
        "data.size",
        "model.depth",
        "model.in_channels",
        "optimizer",
    ]


def test_check_takes_overrides_alone(cli: Cli) -> None:
    outcome = cli("segfield", "check", "-m", "model=unet")
    assert outcome.code == 2
    assert "check takes overrides alone, found -m." in outcome.err
    assert "usage: python -m segfield check" in outcome.err


def test_a_run_that_stands_already_is_told_from_a_new_one(cli: Cli, tmp_path: Path) -> None:
    words = (*TINY, f"hydra.run.dir={tmp_path / 'run'}")
    assert cli("train.py", *words).code == 0
    outcome = cli("segfield", "check", *words)
    assert outcome.code == 0
    assert outcome.out.startswith("this run stands already, finished: train.py goes on there")
    with locked(tmp_path / "run"):
        outcome = cli("segfield", "check", *words)
    assert outcome.code == 2
    assert "is being executed already" in outcome.err
