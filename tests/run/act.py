"""A callback for jobs of a sweep that do what jobs should not: SEGFIELD_ALLOW=act.Act."""

import ctypes
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytorch_lightning as pl


class Act(pl.Callback):
    def __init__(self, what: str) -> None:
        self.what = what

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert Path("../sweep.yaml").exists()
        if self.what == "fail" and not Path("../mended").exists():
            raise ValueError("it broke")
        if self.what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.what == "segfault":
            ctypes.string_at(0)
        if self.what.startswith("meet"):
            self._meet(Path("../meet1" if self.what == "meet0" else "../meet0"))
        if self.what == "edit":
            conf = Path("../../project/conf/optimizer/adamw.yaml")
            conf.write_text(conf.read_text().replace("lr: 1e-3", "lr: 0.5"))
        if self.what == "environment":
            Path("environment.txt").write_text(os.environ.get("CUDA_VISIBLE_DEVICES", "none"))

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Hold a job in its second epoch until it may go, so that no other is late for what happens to both."""
        while self.what == "hold" and trainer.current_epoch == 1 and not Path("../go").exists():
            time.sleep(0.05)

    def _meet(self, other: Path) -> None:
        Path(f"../{self.what}").touch()
        deadline = time.monotonic() + 120
        while not other.exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
