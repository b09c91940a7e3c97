"""A run of several ranks of which one, or the launcher, is killed at any moment ends as its undisturbed twin.

SEGFIELD_RANK_KILLS=50 python -m pytest -m slow -s tests/ranks/test_kills.py      as many kills as you like
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow
KILLS = int(os.environ.get("SEGFIELD_RANK_KILLS", "1"))
LONG = ("trainer.max_epochs=25", "model.dropout=0.3", "ranks.max_restarts=1000", "ranks.timeout=100", "threads=2")
RUNS = {
    2: ("scheduler=plateau", "callbacks.plateau.patience=0", "trainer.accumulate_grad_batches=2"),
    3: ("scheduler=cosine", "data.num_workers=1", "callbacks.last.every_n_steps=1"),
}


def children(parent: int) -> list[int]:
    path = Path(f"/proc/{parent}/task/{parent}/children")
    return [int(word) for word in path.read_text().split()] if path.exists() else []


def is_whole(process: "subprocess.Popen[bytes]", folder: Path) -> bool:
    return process.poll() is None and (
        (folder / "status.json").exists() and json.loads((folder / "status.json").read_text())["state"] == "running"
    )


@pytest.mark.parametrize("devices", RUNS)
def test_ranks_killed_at_any_moment_end_as_ranks_that_were_not(lab: Any, tmp_path: Path, devices: int) -> None:
    twin = tmp_path / "twin"
    ended = lab.train(twin, *lab.on(devices), *LONG, *RUNS[devices])
    assert ended.code == 0, ended.said
    seed = random.randrange(10**6)
    chance, done, runs = random.Random(seed), 0, 0
    while done < KILLS:
        folder = tmp_path / f"run{runs}"
        folder.mkdir()
        shutil.copy(twin / "config.yaml", folder)
        done += killed_often(lab, folder, chance, KILLS - done)
        runs += 1
        assert lab.outcome(folder) == lab.outcome(twin), f"seed {seed}"
        shutil.rmtree(folder)
    sys.stdout.write(f"{devices} ranks: {done} kills in {runs} runs, none differs (seed {seed})\n")


def killed_often(lab: Any, folder: Path, chance: random.Random, most: int) -> int:
    """Execute a folder to its end, and kill a rank or the launcher now and then; return how often."""
    command = [sys.executable, "-m", "segfield", "execute", str(folder)]
    kills = 0
    deadline = time.monotonic() + 900
    while time.monotonic() < deadline:
        with subprocess.Popen(
            command, env=lab.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as run:
            while run.poll() is None and kills < most:
                time.sleep(chance.uniform(0.1, 5.0))
                ranks = children(run.pid)
                if ranks and is_whole(run, folder):
                    os.kill(chance.choice([*ranks, run.pid]), signal.SIGKILL)
                    kills += 1
            code = run.wait()
        if code == 0:
            return kills
        assert code == -signal.SIGKILL, (folder / "log.txt").read_text()
    raise AssertionError(f"{folder} does not come to an end")
