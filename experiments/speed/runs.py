"""How long the table of many runs takes to appear: 2,000 run folders as train.py freezes them.

python experiments/speed/runs.py [runs=2000] [into=<empty folder>]

The folders hold Hydra's record; no two have the same seed and learning rate, so that the groups optimizer and data of
each are parsed; three models, three batch sizes; a fifth are jobs of sweeps; one in fifty says that it is running and
is not. Each time is of a whole process, start-up included: `python -m segfield runs <folder>` into a pipe, the same on
a terminal of 160 columns, with --csv, and with a filter. Processor time stands beside it: on a machine that has other
work the seconds say little. into: keeps the folders.
"""

import copy
import itertools
import json
import os
import pty
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from segfield.run.compose import CONF, frozen_record, register, resolved
from segfield.run.freeze import freeze

STATES = ("finished", "finished", "finished", "interrupted", "failed")
TIMES = 3


def composed(model: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Return what train.py would freeze, and Hydra's record of it."""
    with initialize_config_dir(str(CONF)):
        config = compose("train", [f"model={model}"], return_hydra_config=True)
    HydraConfig.instance().set_config(config)
    task = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    return resolved(task)[0], frozen_record(task, OmegaConf.masked_copy(config, ["hydra"]))


def make(place: Path, count: int) -> None:
    """Freeze `count` runs below a folder, with the status that an execution would have left."""
    register()
    models = {name: composed(name) for name in ("unet_small", "unet", "resnet_unet")}
    for number, batch_size, model in zip(range(count), itertools.cycle((8, 16, 32, 8, 16)), itertools.cycle(models)):
        values, record = models[model]
        values = copy.deepcopy(values)
        values["seed"] = values["data"]["seed"] = number
        values["optimizer"]["lr"], values["data"]["batch_size"] = round(1e-4 * 1.003**number, 9), batch_size
        stamp = f"2026-01-{1 + number // 1440 % 28:02}_{number // 60 % 24:02}-{number % 60:02}-00-{number:06}"
        sweep = f"sweeps/2026-02-01_00-00-{number // 100 % 60:02}-000000/{number % 100}"
        folder = place / (f"{model}_blobs/{stamp}" if number % 5 else sweep)
        freeze(values, folder, record)
        status = {
            "state": "running" if number % 50 == 49 else STATES[number % len(STATES)],
            "reason": None,
            "step": 400,
            "seconds": 61.5 + number,
            "peak_memory_mb": 900 + number % 400,
            "epoch": 1 + number % 4,
            "best": {"val/dice": round(0.9 + number % 97 / 1000, 6)},
        }
        (folder / "status.json").write_text(json.dumps(status, indent=2) + "\n")
        (folder / "lock.json").touch()


def piped(command: list[str]) -> float:
    """Return the seconds of a process whose output is read from a pipe."""
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def shown(command: list[str]) -> float:
    """Return the seconds of a process that writes on a terminal."""
    start = time.perf_counter()
    ours, its = pty.openpty()
    with subprocess.Popen(command, stdout=its, env=os.environ | {"COLUMNS": "160", "LINES": "50"}) as child:
        os.close(its)
        try:
            while os.read(ours, 65536):
                pass
        except OSError:  # the other end is closed
            pass
        os.close(ours)
    assert child.returncode == 0
    return time.perf_counter() - start


def main() -> None:
    """Make the folders, then measure each way of looking at them."""
    words = dict(word.split("=", 1) for word in sys.argv[1:])
    count = int(words.get("runs", 2_000))
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(words.get("into", scratch))
        make(place, count)
        command = [sys.executable, "-m", "segfield", "runs", str(place)]
        for name, measured, more in (
            ("into a pipe", piped, []),
            ("on a terminal", shown, []),
            ("--csv", piped, ["--csv"]),
            ("'best>0.95' --sort best --limit 10", piped, ["best>0.95", "--sort", "best", "--limit", "10"]),
        ):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            times = [measured([*command, *more]) for _ in range(TIMES)]
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            busy = (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) / TIMES
            each = ", ".join(f"{seconds:.2f}" for seconds in times)
            print(f"{count:,} runs {name}: {statistics.median(times):.2f} s (of {each}), processor {busy:.2f} s")


if __name__ == "__main__":
    main()
