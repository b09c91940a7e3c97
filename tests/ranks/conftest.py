"""Runs on several real processes, and callbacks that misbehave in one of them."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from segfield.run.weights import read_digests

PROJECT = Path(__file__).resolve().parents[2]
# 11 validation samples: neither 2 nor 3 ranks divide them. 44 train: 3 steps an epoch.
TINY = (
    *("data.size=[32,32]", "data.length=55", "data.batch_size=12", "threads=2", "trainer.max_epochs=4"),
    *("model.width=4", "model.depth=2", "model.norm=group", "callbacks.panels.samples=1", "augmentation=light"),
    *("callbacks.last.every_n_steps=2", "trainer.log_every_n_steps=1", "metrics=binary_group"),
)
# Mischief of rank `rank` when step `step` begins, the first time in a folder.
MISCHIEF = """
import os, signal, time
from pathlib import Path
from pytorch_lightning.callbacks import Callback


class Mischief(Callback):
    def __init__(self, what, rank=1, step=5, once=True):
        self.what, self.rank, self.step, self.once = what, rank, step, once

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        while self.what == "hold" and trainer.current_epoch == 1 and not Path("../go").exists():
            time.sleep(0.05)  # a job of a sweep: so that no other is late for what happens to both
        if trainer.global_rank != self.rank or trainer.global_step != self.step:
            return
        if self.once and Path("mischief.done").exists():
            return
        Path("mischief.done").write_text("")
        if self.what == "raise":
            raise ValueError("this rank cannot")
        elif self.what not in ("nothing", "hold"):
            to = os.getppid() if self.what.startswith("launcher ") else os.getpid()
            os.kill(to, getattr(signal, self.what.rpartition(" ")[2]))


class Order(Callback):
    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        path = Path(f"order.{trainer.world_size}.{trainer.global_rank}.txt")
        with path.open("a") as file:
            for index in batch["index"].tolist():
                print(trainer.current_epoch, batch_idx, index, file=file)
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended and what it said."""

    code: int
    said: str


class Lab:
    """Commands as processes of their own, with the callbacks that misbehave at hand, and what runs have left."""

    tiny = TINY

    def __init__(self, place: Path) -> None:
        (place / "mischief.py").write_text(MISCHIEF)
        own = ("SEGFIELD_", "SLURM_")
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(own)} | {
            "PYTHONPATH": os.pathsep.join([str(PROJECT / "src"), str(place)]),
            "SEGFIELD_ALLOW": "mischief.Mischief,mischief.Order",
            "SEGFIELD_OUTPUTS": str(place / "outputs"),
        }

    def run(self, *arguments: str | Path, **more: str) -> Ended:
        """Call `python <arguments>`, with more in its environment."""
        words = [sys.executable, *map(str, arguments)]
        environment = self.environment | more
        done = subprocess.run(words, capture_output=True, text=True, timeout=240, env=environment)
        return Ended(done.returncode, done.stdout + done.stderr)

    def train(self, folder: Path, *words: str) -> Ended:
        return self.run(PROJECT / "train.py", *TINY, f"hydra.run.dir={folder}", *words)

    def execute(self, folder: Path, *words: str) -> Ended:
        return self.run("-m", "segfield", "execute", folder, *words)

    def on(self, devices: int) -> tuple[str, ...]:
        return ("trainer=ddp", f"trainer.devices={devices}") if devices > 1 else ()

    def mischief(self, what: str, rank: int = 1, step: int = 5, *, once: bool = True) -> tuple[str, ...]:
        keys = {"_target_": "mischief.Mischief", "what": what, "rank": rank, "step": step, "once": str(once).lower()}
        return tuple(f"+callbacks.mischief.{name}={value}" for name, value in keys.items())

    def losses(self, folder: Path) -> list[float]:
        return [float(row.split(",")[2]) for row in (folder / "trace.csv").read_text().splitlines()[1:]]

    def scores(self, folder: Path) -> dict[str, list[str]]:
        """The columns of metrics.csv that do not depend on the clock."""
        header, *rows = [row.split(",") for row in (folder / "metrics.csv").read_text().splitlines()]
        return {name: [row[place] for row in rows] for place, name in enumerate(header) if not name.startswith("time/")}

    def outcome(self, folder: Path) -> dict[str, Any]:
        """Everything of a finished run that must not depend on what it went through."""
        trace = (folder / "trace.csv").read_text()
        return {"trace": trace, "scores": self.scores(folder), "weights": read_digests(folder)}


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(tmp_path_factory.mktemp("lab"))


@pytest.fixture(scope="session")
def undisturbed(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """A finished run of so many ranks, made once."""
    made: dict[int, Path] = {}

    def find(devices: int) -> Path:
        if devices not in made:
            folder = tmp_path_factory.mktemp("undisturbed") / f"run{devices}"
            ended = lab.train(folder, *lab.on(devices), *lab.mischief("nothing"))
            assert ended.code == 0, ended.said
            made[devices] = folder
        return made[devices]

    return find
