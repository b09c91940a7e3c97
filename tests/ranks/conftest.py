"""Runs on several real processes, and callbacks that misbehave in one of them."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from segfield.run.weights import read_digests

PROJECT = Path(__file__).resolve().parents[2]
# 11 validation samples: neither 2 nor 3 ranks divide them. 44 train: 3 steps an epoch.
TINY = (
    *(
        "data.size=[32,32]",
        "data.length=55",
        "data.batch_size=12",
        "threads=2",
        "trainer.max_epochs=4",
        "logger=tensorboard",
    ),
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
        if trainer.global_rank != self.rank or trainer.global_step != self.step:
            return
        if self.once and Path("mischief.done").exists():
            return
        Path("mischief.done").write_text("")
        if self.what == "hang":
            time.sleep(10_000)
        elif self.what == "raise":
            raise ValueError("this rank cannot")
        elif self.what != "nothing":
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


Command = Callable[..., Ended]


@pytest.fixture(scope="session")
def command(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """Run `python <arguments>` as a process of its own, with the callbacks that misbehave at hand."""
    modules = tmp_path_factory.mktemp("modules")
    (modules / "mischief.py").write_text(MISCHIEF)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("SEGFIELD_", "SLURM_"))}
    environment |= {
        "PYTHONPATH": os.pathsep.join([str(PROJECT / "src"), str(modules)]),
        "SEGFIELD_ALLOW": "mischief.Mischief,mischief.Order",
        "SEGFIELD_OUTPUTS": str(modules / "outputs"),
    }

    def call(*arguments: str | Path, wait: float = 180, **more: str) -> Ended:
        words = [sys.executable, *map(str, arguments)]
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=wait, env=environment | more, start_new_session=True
        )
        return Ended(done.returncode, done.stdout + done.stderr)

    call.environment = environment  # type: ignore[attr-defined]
    yield call


def train(command: Command, folder: Path, *words: str) -> Ended:
    return command(PROJECT / "train.py", *TINY, f"hydra.run.dir={folder}", *words)


def execute(command: Command, folder: Path, *words: str) -> Ended:
    return command("-m", "segfield", "execute", folder, *words)


def on(devices: int) -> tuple[str, ...]:
    return ("trainer=ddp", f"trainer.devices={devices}") if devices > 1 else ()


def mischief(what: str, rank: int = 1, step: int = 5, *, once: bool = True) -> tuple[str, ...]:
    keys = {"_target_": "mischief.Mischief", "what": what, "rank": rank, "step": step, "once": str(once).lower()}
    return tuple(f"+callbacks.mischief.{name}={value}" for name, value in keys.items())


def losses(folder: Path) -> list[float]:
    return [float(row.split(",")[2]) for row in (folder / "trace.csv").read_text().splitlines()[1:]]


def scores(folder: Path) -> dict[str, list[str]]:
    """The columns of metrics.csv that do not depend on the clock."""
    header, *rows = [row.split(",") for row in (folder / "metrics.csv").read_text().splitlines()]
    return {name: [row[place] for row in rows] for place, name in enumerate(header) if not name.startswith("time/")}


def outcome(folder: Path) -> dict[str, Any]:
    """Everything of a finished run that must not depend on what it went through."""
    return {
        "trace": (folder / "trace.csv").read_text(),
        "scores": scores(folder),
        "weights": read_digests(folder),
    }


@pytest.fixture(scope="session")
def undisturbed(command: Command, tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """A finished run of so many ranks, made once."""
    made: dict[int, Path] = {}

    def find(devices: int) -> Path:
        if devices not in made:
            folder = tmp_path_factory.mktemp("undisturbed") / f"run{devices}"
            ended = train(command, folder, *on(devices), *mischief("nothing"))
            assert ended.code == 0, ended.said
            made[devices] = folder
        return made[devices]

    return find
