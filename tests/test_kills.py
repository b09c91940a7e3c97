"""A run that is killed from outside, at any moment and again and again, ends as its undisturbed twin, bit for bit.

SEGFIELD_KILLS=200 python -m pytest -m slow -s tests/test_kills.py      as many kills as you like
SEGFIELD_KILL_SEED=7                                                    the same moments again, roughly
"""

import json
import os
import random
import re
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # type: ignore[import-untyped]

from segfield.__main__ import main
from segfield.run.weights import digest, read_digests

TINY = (
    *("data.size=[32,32]", "data.length=15", "data.batch_size=4", "threads=1", "trainer.log_every_n_steps=1"),
    *("model.width=4", "model.depth=2", "model.dropout=0.3", "trainer.max_epochs=4", "callbacks.panels.samples=1"),
)
RUNS = {
    "steps": ("callbacks.last.every_n_steps=2",),
    "workers": ("data.num_workers=2", "callbacks.last.every_n_steps=1", "scheduler=cosine"),
    "accumulation": ("scheduler=plateau", "callbacks.plateau.patience=0", "trainer.accumulate_grad_batches=2"),
    "inside": ("scheduler=cosine", "+trainer.val_check_interval=0.34", "data.num_workers=2", "optimizer=sgd"),
}


def start(folder: Path) -> int:
    """Execute a run folder in a child process; return its id."""
    child = os.fork()
    if child:
        return child
    code = 99
    try:
        out = os.open(folder.with_suffix(".txt"), os.O_CREAT | os.O_WRONLY | os.O_APPEND)
        os.dup2(out, 1)
        os.dup2(out, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
        code = main(["execute", str(folder)])
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def points(folder: Path) -> dict[tuple[str, int], list[Any]]:
    """What TensorBoard shows: the values at each (tag, step); those under time/ as None."""
    events = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0, "images": 0}).Reload()
    found: dict[tuple[str, int], list[Any]] = {}
    for tag in events.Tags()["scalars"]:
        for event in events.Scalars(tag):
            found.setdefault((tag, event.step), []).append(None if tag.startswith("time/") else event.value)
    for tag in events.Tags()["images"]:
        for event in events.Images(tag):
            found.setdefault((tag, event.step), []).append(event.encoded_image_string)
    return found


def content(folder: Path) -> dict[str, Any]:
    """Everything of a finished run that does not depend on the clock."""
    header, *rows = [line.split(",") for line in (folder / "metrics.csv").read_text().splitlines()]
    kept = [place for place, name in enumerate(header) if not name.startswith("time/")]
    found: dict[str, Any] = {
        "metrics.csv": [[row[place] for place in kept] for row in [header, *rows]],
        **{name: (folder / name).read_bytes() for name in ("trace.csv", "splits.csv")},
        **{f"weights.sha256 {name}": value for name, value in read_digests(folder).items()},
    }
    for name in ("best", "last"):
        saved = torch.load(folder / f"checkpoints/{name}.ckpt", weights_only=True)
        parts = ("state_dict", "optimizer_states", "lr_schedulers", "global_step", "position", "loops", "train_metrics")
        found |= {f"{name}.ckpt {part}": digest(saved[part]) for part in parts}
        found |= {f"{name}.ckpt {key}": digest(state) for key, state in saved["callbacks"].items() if key == "Plateau"}
    drawn = points(folder)
    found |= {f"point {tag} of step {step}": values for (tag, step), values in drawn.items()}
    return found | {"twice": [name for name, values in drawn.items() if len(values) > 1]}


def differences(twin: Path, run: Path) -> list[str]:
    one, other = content(twin), content(run)
    return [name for name in {**one, **other} if one.get(name) != other.get(name)] + [*map(str, other["twice"])]


def kill_until_it_ends(folder: Path, longest: float, chance: random.Random) -> list[float]:
    """Execute a folder and kill it, again and again; return how many seconds each execution was given."""
    moments: list[float] = []
    while True:
        child, moment = start(folder), chance.uniform(0, longest)
        time.sleep(moment)
        os.kill(child, signal.SIGKILL)  # a child that has ended is still there, until it is waited for
        code = ended(child)
        if code == 0:
            return moments
        assert code == -signal.SIGKILL, folder.with_suffix(".txt").read_text()
        moments.append(moment)


@pytest.mark.parametrize(("name", "damaged"), [("steps", ["last"]), ("inside", ["last", "previous"])])
def test_a_run_whose_checkpoints_are_damaged_goes_back_to_a_good_one_and_ends_as_its_undisturbed_twin(
    cli: Callable[..., Any], tmp_path: Path, name: str, damaged: list[str]
) -> None:
    twin, run = tmp_path / "twin", tmp_path / "run"
    # The lowest score is that of an early epoch.
    outcome = cli("train.py", *TINY, *RUNS[name], "callbacks.best.mode=min", f"hydra.run.dir={twin}")
    assert outcome.code == 0, outcome.err
    shutil.copytree(twin, run)
    status = json.loads((run / "status.json").read_text())
    (run / "status.json").write_text(json.dumps({**status, "state": "running"}))  # as a kill leaves it
    for file in damaged:
        os.truncate(run / f"checkpoints/{file}.ckpt", 5000)
    outcome = cli("segfield", "execute", run)
    assert outcome.code == 0, outcome.err
    for file in damaged:
        assert f"checkpoints/{file}.ckpt cannot be used: damaged, cut short" in outcome.err
        assert (run / f"checkpoints/{file}.ckpt.damaged").stat().st_size == 5000
    start = "best" if "previous" in damaged else "previous"
    assert re.search(rf"going back from step 12 to step \d+, checkpoints/{start}\.ckpt: \d+ steps", outcome.err)
    assert differences(twin, run) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_a_run_killed_from_outside_at_random_moments_ends_as_its_undisturbed_twin(
    cli: Callable[..., Any], tmp_path: Path, name: str
) -> None:
    wanted = -(-int(os.environ.get("SEGFIELD_KILLS", "20")) // len(RUNS))
    seed = int(os.environ.get("SEGFIELD_KILL_SEED", time.time_ns() % 10**6))
    chance = random.Random(f"{seed} {name}")
    frozen = cli("train.py", *TINY, *RUNS[name], f"hydra.run.dir={tmp_path / 'frozen'}")
    assert frozen.code == 0, frozen.err

    def planned(number: str) -> Path:
        (tmp_path / number).mkdir()
        shutil.copy(tmp_path / "frozen/config.yaml", tmp_path / number)
        return tmp_path / number

    began = time.monotonic()
    twin = planned("twin")
    assert ended(start(twin)) == 0, twin.with_suffix(".txt").read_text()
    longest = 1.1 * (time.monotonic() - began)
    kills, failures = 0, {}
    runs = 0
    while kills < wanted:
        runs += 1
        run = planned(str(runs))
        moments = kill_until_it_ends(run, longest, chance)
        kills += len(moments)
        found = differences(twin, run)
        if found:
            failures[run.name] = (moments, found)
        else:
            shutil.rmtree(run)
    sys.stdout.write(f"{name}: {kills} kills in {runs} runs, seed {seed}, {len(failures)} runs differ\n")
    assert failures == {}
