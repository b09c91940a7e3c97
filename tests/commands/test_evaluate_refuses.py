"""What `segfield evaluate` refuses, and that nothing is changed then."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from segfield.run.lock import locked

Cli = Callable[..., Any]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("data.part=all",), r"data\.part=all is no part of a split\. Use one of test, val, train"),
        (("optimizer.lr=1",), r"optimizer\.lr is no placement.*changes only where"),
        (("threads",), "Expected key=value"),
    ],
)
def test_a_wrong_word_is_told(cli: Cli, blobs_run: Path, words: tuple[str, ...], message: str) -> None:
    outcome = cli("segfield", "evaluate", blobs_run, *words)
    assert outcome.code == 2
    assert re.search(message, outcome.err)
    assert not (blobs_run / "evaluation").exists()


def test_a_part_that_the_split_lacks_is_told_with_those_it_has(cli: Cli, blobs_run: Path) -> None:
    splits = (blobs_run / "splits.csv").read_text()
    (blobs_run / "splits.csv").write_text(splits.replace(",test\n", ",train\n"))
    (blobs_run / "environment.yaml").unlink()
    outcome = cli("segfield", "evaluate", blobs_run, "data.part=test")
    assert outcome.code == 2
    assert "This split has no part 'test', it has val, train." in outcome.err


def test_a_run_that_is_not_at_its_end_is_not_evaluated(cli: Cli, blobs_run: Path) -> None:
    status = json.loads((blobs_run / "status.json").read_text())
    with locked(blobs_run):
        outcome = cli("segfield", "evaluate", blobs_run)
    assert outcome.code == 2
    assert "is running: its weights still change. Wait for its end, or stop it." in outcome.err
    (blobs_run / "status.json").write_text(json.dumps({**status, "state": "interrupted"}))
    outcome = cli("segfield", "evaluate", blobs_run)
    assert outcome.code == 2
    assert f"is interrupted, it has not come to its end. Finish it first: python -m segfield execute {blobs_run}" in (
        outcome.err
    )
    outcome = cli("segfield", "evaluate", blobs_run.parent)
    assert outcome.code == 2
    assert "is no run folder" in outcome.err


def test_weights_that_are_nan_are_not_scored(cli: Cli, blobs_run: Path) -> None:
    best = blobs_run / "checkpoints/best.ckpt"
    content = torch.load(best, weights_only=True)
    next(iter(content["state_dict"].values())).fill_(float("nan"))
    torch.save(content, best)
    outcome = cli("segfield", "evaluate", blobs_run)
    assert outcome.code == 2
    assert re.search(r"1 of its tensors hold NaN or infinity, first \S+: training diverged", outcome.err)


def test_a_run_without_its_weights_or_its_split_is_not_evaluated(cli: Cli, blobs_run: Path) -> None:
    (blobs_run / "splits.csv").rename(blobs_run / "kept.csv")
    outcome = cli("segfield", "evaluate", blobs_run)
    assert outcome.code == 2
    assert "The run has no splits.csv, so nobody knows which samples it did not see." in outcome.err
    (blobs_run / "kept.csv").rename(blobs_run / "splits.csv")
    (blobs_run / "checkpoints/best.ckpt").unlink()
    outcome = cli("segfield", "evaluate", blobs_run)
    assert outcome.code == 2
    assert "has no checkpoints/best.ckpt: it was trained without callbacks.best" in outcome.err


def test_weights_that_are_damaged_or_of_another_model_are_not_used(cli: Cli, blobs_run: Path) -> None:
    path = blobs_run / "checkpoints/best.ckpt"
    content = torch.load(path, weights_only=True)
    name = next(iter(content["state_dict"]))
    others = {**content["state_dict"], name: torch.zeros(1, 2)}
    for broken, message in (
        (path.read_bytes()[:1000], r"best\.ckpt cannot be used: damaged, cut short or no checkpoint: 1000 bytes"),
        ({**content, "state_dict": others}, rf"cannot be used: a checkpoint of another model: .* first {name}"),
        ({"state_dict": others}, r"cannot be used: no checkpoint of a run: no weights, epoch and step in it"),
    ):
        path.write_bytes(broken) if isinstance(broken, bytes) else torch.save(broken, path)
        outcome = cli("segfield", "evaluate", blobs_run)
        assert outcome.code == 2
        assert re.search(message + r".*Restore it from a copy of the run", outcome.err)
    assert not (blobs_run / "evaluation/summary.json").exists()


@pytest.mark.skipif(torch.accelerator.is_available(), reason="there is an accelerator here")
def test_an_accelerator_that_is_not_here_is_told_with_the_fix(cli: Cli, blobs_run: Path) -> None:
    outcome = cli("segfield", "evaluate", blobs_run, "trainer.accelerator=gpu")
    assert outcome.code == 2
    assert re.search(r"No supported gpu backend found.* Use trainer\.accelerator=cpu, or auto\.", outcome.err)


def test_an_evaluation_that_is_interrupted_leaves_the_former_one(
    cli: Cli, blobs_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli("segfield", "evaluate", blobs_run).code == 0
    before = {path: path.read_bytes() for path in (blobs_run / "evaluation").rglob("*") if path.is_file()}

    def press_ctrl_c(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("segfield.run.evaluation.Evaluation.add", press_ctrl_c)
    outcome = cli("segfield", "evaluate", blobs_run, "data.part=val")
    assert outcome.code == 130
    assert "interrupted: evaluation/ is as it was" in outcome.err
    assert {path: path.read_bytes() for path in (blobs_run / "evaluation").rglob("*") if path.is_file()} == before


def test_a_file_that_has_changed_since_is_named(cli: Cli, cars: Path, cars_run: Path, tmp_path: Path) -> None:
    changed = Path(shutil.copytree(cars, tmp_path / "cars"))
    first = sorted((changed / "train_masks").iterdir())[0]
    first.write_bytes((changed / "train_masks" / sorted((changed / "train_masks").iterdir())[1]).read_bytes())
    outcome = cli("segfield", "evaluate", cars_run, f"data.root={changed}")
    assert outcome.code == 2
    assert f"changed: train_masks/{first.name}" in outcome.err
    assert not (cars_run / "evaluation/summary.json").exists()
