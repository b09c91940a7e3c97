"""A run that has ended, to be used: its objects, with the weights of best.ckpt, on one device.

Here as in build.py objects are made, of the frozen config alone: nobody repeats `model=... data=...`.
"""

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segfield.run import ranks
from segfield.run.environment import as_executed, read_environment
from segfield.run.freeze import load
from segfield.run.lock import alive
from segfield.run.placement import located, override, unplaced
from segfield.run.status import ENDED, shown
from segfield.run.weights import digest

_log = logging.getLogger(__name__)
BEST = Path("checkpoints/best.ckpt")
# Of a training's trainer; a score or a prediction is of all samples.
_WHOLE = {"limit_val_batches": 1.0, "limit_test_batches": 1.0, "limit_predict_batches": 1.0, "profiler": None}


@dataclass(frozen=True)
class Trained:
    """A run's objects; made and used in the current folder, which is the run's."""

    config: dict[str, Any]
    data: Any
    task: Any
    checkpoint: dict[str, Any]  # file, sha256, epoch (from 0), step


def as_trained(folder: Path, placement: Sequence[str]) -> dict[str, Any]:
    """Return the config of a run that has ended, placed as its last execution was, then as asked for.

    Raises:
        FileNotFoundError: if the folder is no run, or has no best.ckpt.
        ValueError: if the run is on its way or did not come to its end, or a key is no placement.
    """
    config = located(override(as_executed(load(folder), read_environment(folder)), placement))
    state = shown(folder)["state"]
    if alive(folder) or state == "running":
        raise ValueError(f"{folder} is running: its weights still change. Wait for its end, or stop it.")
    if state not in ENDED:
        raise ValueError(
            f"{folder} is {state}, it has not come to its end. Finish it first: python -m segfield execute {folder}"
        )
    if not (folder / BEST).is_file():
        raise FileNotFoundError(
            f"{folder} has no {BEST}: it was trained without callbacks.best, or its weights were not kept. Restore "
            f"the file from a copy of the run, or train it again: python -m segfield reproduce {folder}"
        )
    return config


def restored(config: dict[str, Any]) -> Trained:
    """Make the objects of the run in the current folder and give the network the weights of its best epoch.

    Raises:
        ValueError: if best.ckpt is damaged or of another model.
    """
    import torch

    from segfield.run.build import build
    from segfield.run.log import quiet_lightning

    quiet_lightning()
    if ranks.world_size(config["trainer"]) > 1:
        _log.info("computed on one device: what comes out does not depend on their number")
    torch.set_num_threads(ranks.threads(config))
    model = config["model"]
    if model.get("encoder_weights") is not None:  # best.ckpt holds them: nothing is fetched
        model = {**model, "encoder_weights": None}
    run = build({**config, "model": model, "callbacks": None})
    return Trained(config, run.data, run.task, _load_best(run.task))


def _load_best(task: Any) -> dict[str, Any]:
    import torch

    from segfield.run.checkpoints import compare_weights, read_checkpoint

    try:
        content = read_checkpoint(BEST)
        found = content if isinstance(content, dict) else {}
        weights, epoch, step = (found.get(name) for name in ("state_dict", "epoch", "global_step"))
        if not isinstance(weights, dict) or not isinstance(epoch, int) or not isinstance(step, int):
            raise ValueError("no checkpoint of a run: no weights, epoch and step in it")
        compare_weights(weights, task)
        if broken := [name for name, value in weights.items() if not bool(torch.isfinite(value).all())]:
            raise ValueError(f"{len(broken)} of its tensors hold NaN or infinity, first {broken[0]}: training diverged")
    except ValueError as error:
        raise ValueError(f"{BEST} cannot be used: {error}. Restore it from a copy of the run.") from error
    task.load_state_dict(weights)
    with BEST.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return {"file": str(BEST), "sha256": sha256, "epoch": epoch, "step": step}


def trainer(config: dict[str, Any], callbacks: Sequence[Any] = ()) -> Any:
    """Make the Trainer of a run anew, for one device: its precision, its determinism; no loggers, no limits.

    Raises:
        ValueError: if the run's accelerator is not here.
    """
    from lightning_fabric.utilities.exceptions import MisconfigurationException

    from segfield.run.build import build_trainer

    given = config["trainer"]
    whole = {name: value for name, value in _WHOLE.items() if name in given}
    try:
        return build_trainer({**config, "logger": None, "trainer": {**given, **whole}}, list(callbacks), None)
    except MisconfigurationException as error:
        raise ValueError(f"{error} Use trainer.accelerator=cpu, or auto.") from error


def what(config: dict[str, Any]) -> str:
    """Return the sha256 of what a config computes, placement aside."""
    return digest(unplaced(config))


def inference(trained: Trained) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return a function from a batch of images to what the task's predict_step returns, in the run's precision."""
    import torch

    made = trainer(trained.config)
    device = made.strategy.root_device
    task = made.precision_plugin.convert_module(trained.task).to(device).eval()

    def predict(batch: dict[str, Any]) -> dict[str, Any]:
        """Return what predict_step gives of a batch."""
        moved = {name: value.to(device) if torch.is_tensor(value) else value for name, value in batch.items()}
        with torch.inference_mode(), made.precision_plugin.forward_context():
            found: dict[str, Any] = task.predict_step(task.prepare(moved), 0)
        return found

    return predict
