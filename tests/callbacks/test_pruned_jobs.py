"""Real jobs that are pruned: in a sweep, and with ranks."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow
Cli = Callable[..., Any]
TINY = ("debug=fast", "data.size=[32,32]", "data.length=10", "threads=1")


def test_the_bad_job_of_a_sweep_is_pruned_and_leaves_a_usable_folder(cli: Cli, tmp_path: Path) -> None:
    sweep = (
        *("train.py", "-m", *TINY, "callbacks=prune", "callbacks.prune.warmup=1", "trainer.max_epochs=6"),
        *("callbacks.prune.monitor=train/loss", "callbacks.prune.mode=min"),
    )
    outcome = cli(*sweep, "optimizer.lr=1e-2,2e-2,1e-9", f"hydra.sweep.dir={tmp_path / 'sweep'}")
    assert outcome.code == 0, outcome.err
    states = [json.loads((tmp_path / f"sweep/{number}/status.json").read_text()) for number in range(3)]
    assert [status["state"] for status in states] == ["finished", "finished", "pruned"]
    bad = tmp_path / "sweep/2"
    assert states[2]["epoch"] == 2
    assert states[2]["reason"].startswith("train/loss ")
    assert "after epoch 2 is worse than" in states[2]["reason"]
    assert (bad / "metrics.csv").read_text().count("\n") == 3
    assert {path.name for path in (bad / "checkpoints").iterdir()} >= {"best.ckpt", "last.ckpt"}
    again = cli("segfield", "execute", bad)
    assert (again.code, again.err.strip()) == (0, f"{bad} is pruned already; nothing to do")
    refused = cli("segfield", "reproduce", bad)
    assert refused.code == 2
    assert f"{bad} is pruned: it was stopped before its last epoch, so it has no end to compare with" in refused.err
    kept = cli("segfield", "save", bad, tmp_path / "kept")
    assert kept.code != 0
    assert "is pruned: only a finished run is kept. Give its command again without callbacks=prune" in kept.err
    alone = tmp_path / "alone"
    shutil.copytree(bad, alone, ignore=shutil.ignore_patterns("status.json", "checkpoints", "prune.csv"))
    outcome = cli("segfield", "execute", alone)
    assert outcome.code == 0, outcome.err
    assert "no job of a sweep" in outcome.err


def test_one_rank_judges_for_all(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "sweep.yaml").touch()
    for number in (1, 2):
        (tmp_path / str(number)).mkdir()
        (tmp_path / f"{number}/metrics.csv").write_text("epoch,val/dice\n0,2\n1,2\n")
    words = ("callbacks=prune", "callbacks.prune.warmup=1", "trainer.max_epochs=4", "model.norm=group")
    ranks = (
        "trainer=ddp",
        "trainer.devices=2",
        "trainer.accelerator=cpu",
        "ranks.timeout=60",
        f"hydra.run.dir={tmp_path / '0'}",
    )
    outcome = cli("train.py", *TINY, *words, *ranks)
    assert outcome.code == 0, outcome.err
    status = json.loads((tmp_path / "0/status.json").read_text())
    assert (status["state"], status["epoch"]) == ("pruned", 2)
    assert (tmp_path / "0/prune.csv").read_text().count("\n") == 2
    again = cli("segfield", "execute", tmp_path / "0", "trainer.devices=1")
    assert again.err.strip() == f"{tmp_path / '0'} is pruned already; nothing to do"
