"""What the framework costs: a step with all default callbacks and TensorBoard on, against a loop written by hand.

python experiments/speed/overhead.py [wide=100] [tiny=4000] [batch=4] [threads=1] [profile=0]

wide, tiny: steps with each network, multiples of 10. threads: of the wide network; the tiny one has 1, as waiting for a
second one would hide what is measured. profile=1 says where the time of the tiny network's steps goes.

Both train the same network from the same weights on the same batches, turn by turn in one process, so that other work
on the machine hits both. The loop prepares the batch (bytes to numbers, standardised), no more. What is written every
log_every_n_steps steps is in a step's time; validation, pictures and checkpoints between epochs are not. Run it in a
terminal to measure the progress bar too: `python train.py` shows none elsewhere.
"""

import contextlib
import copy
import cProfile
import pstats
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from segfield.run import compose
from segfield.run.build import build, build_trainer
from segfield.run.log import quiet_lightning
from segfield.run.progress import Progress
from segfield.run.status import Status

LOGGED = 10  # trainer.log_every_n_steps: what is logged then belongs into a step's time with its share


def loader(batches: list[dict[str, Any]], steps: int) -> DataLoader[dict[str, Any]]:
    """Give batches from memory, again and again."""
    held: Any = [batches[step % len(batches)] for step in range(steps)]
    return DataLoader(held, batch_size=None, collate_fn=lambda batch: batch)


def by_hand(task: Any, batches: DataLoader[dict[str, Any]]) -> Iterator[torch.Tensor]:
    """Train step by step; gives each loss."""
    network, loss_of = task.model, task.loss
    optimizer = task.configure_optimizers()
    network.train()
    for batch in batches:
        image = (batch["image"].float() / 255 - task.mean) / task.std
        optimizer.zero_grad()
        loss = loss_of(network(image), batch["target"])
        loss.backward()
        optimizer.step()
        yield loss.detach()


class Turns(pl.Callback):
    """Lets the loop do `block` steps after each `block` steps of the trainer, and times both.

    Args:
        loop: of by_hand().
        block: steps at a time; a divisor of LOGGED.
        profile: of the trainer's steps; None: no such.
    """

    def __init__(self, loop: Iterator[torch.Tensor], block: int, profile: cProfile.Profile | None) -> None:
        self.loop, self.block, self.profile = loop, block, profile
        self.losses: list[torch.Tensor] = []
        self.blocks: list[tuple[float, float]] = []
        self._opened = 0.0

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, step: int) -> None:
        """Take the loop's turn."""
        if step % self.block:
            return
        if self.profile:
            self.profile.disable()
        start = time.perf_counter()
        taken = start - self._opened
        self.losses += [next(self.loop) for _ in range(self.block)]
        end = time.perf_counter()
        if step:
            self.blocks.append((taken, end - start))
        if self.profile:
            self.profile.enable()
        self._opened = time.perf_counter()

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Stop the profile."""
        if self.profile:
            self.profile.disable()

    def seconds(self, rank: float) -> tuple[float, float]:
        """Return a step's time with the trainer and with the loop: 0.5 is the median of the blocks, 0 the shortest."""
        turns = LOGGED // self.block  # a block's place between two logged steps decides what is in it
        blocks = np.array(self.blocks[turns:])  # the first ones warm up
        trainer = np.mean([np.quantile(blocks[place::turns, 0], rank) for place in range(turns)])
        return float(trainer) / self.block, float(np.quantile(blocks[:, 1], rank)) / self.block


def measure(words: list[str], steps: int, block: int, profile: cProfile.Profile | None = None) -> Turns:
    """Train a composed config in a new folder beside the loop."""
    common = ["augmentation=none", "trainer.accelerator=cpu", "trainer.max_epochs=1"]
    with hydra.initialize_config_dir(str(compose.CONF)):
        values, _ = compose.resolved(hydra.compose("train", [*words, *common]))
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        torch.set_num_threads(values["threads"])
        run = build(values)
        run.data.setup()
        batches = list(run.data.train_dataloader())
        run.data.train_dataloader = lambda: loader(batches, steps)
        loop = by_hand(copy.deepcopy(run.task), loader(batches, steps))
        turns = Turns(loop, block, profile)
        trainer = build_trainer(values, [*run.callbacks, Progress(Status(Path.cwd())), turns], None)
        assert trainer.log_every_n_steps == LOGGED
        trainer.fit(run.task, datamodule=run.data)
        _compare(turns.losses)
    names = ", ".join(type(callback).__name__ for callback in trainer.callbacks if callback is not turns)
    print(f"  callbacks: {names}; loggers: {', '.join(type(logger).__name__ for logger in trainer.loggers)}")
    return turns


def _compare(losses: list[torch.Tensor]) -> None:
    """Say whether trace.csv begins with the loop's losses."""
    rows = Path("trace.csv").read_text().splitlines()[1:51]
    expected = [str(np.float32(loss)) for loss in losses[:50]]
    equal = [row.rpartition(",")[2] for row in rows] == expected
    print(f"  the first {len(expected)} losses are {'' if equal else 'NOT '}equal to the last bit")


def main() -> None:
    """Measure a wide network and a tiny one."""
    settings = {"wide": 100, "tiny": 4000, "batch": 4, "threads": 1, "profile": 0}
    settings |= {key: int(value) for key, value in (word.split("=") for word in sys.argv[1:])}
    compose.register()
    quiet_lightning()
    ranks = {"median": 0.5, "quietest tenth": 0.1}
    if settings["wide"]:
        print(f"U-Net of width 32, {settings['batch']} images of 128x128, threads={settings['threads']}:")
        words = ["model=unet", "model.width=32", "data.length=50"]
        words += [f"data.batch_size={settings['batch']}", f"threads={settings['threads']}"]
        turns = measure(words, settings["wide"], block=1)
        for name, rank in ranks.items():
            trainer, loop = (1e3 * seconds for seconds in turns.seconds(rank))
            print(f"  {name}: {trainer:.1f} ms a step, by hand {loop:.1f}: ratio {trainer / loop:.4f}")
    if settings["tiny"]:
        print("U-Net of width 2 and depth 1, 2 images of 16x16:")
        words = ["model=unet", "model.width=2", "model.depth=1", "data.size=[16,16]", "data.length=20"]
        profile = cProfile.Profile() if settings["profile"] else None
        turns = measure([*words, "data.batch_size=2", "threads=1"], settings["tiny"], block=10, profile=profile)
        for name, rank in ranks.items():
            trainer, loop = (1e6 * seconds for seconds in turns.seconds(rank))
            text = f"{trainer:.0f} microseconds a step, by hand {loop:.0f}: fixed cost {trainer - loop:.0f}"
            print(f"  {name}: {text} microseconds a step")
        if profile:
            pstats.Stats(profile).sort_stats("cumulative").print_stats(
                "segfield|connector|core/module|torchmetrics", 45
            )


if __name__ == "__main__":
    main()
