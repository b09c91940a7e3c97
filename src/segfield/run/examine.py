"""Is a checkpoint whole, this run's, and a place where training goes on?

A file may come from someone else, from an editor or from a failing disk. It is read with weights_only, which runs no
code, and compared with a sample of what this run saves: names, types, shapes and counters, before anything is loaded.
"""

import re
import zipfile
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pytorch_lightning.loops.fit_loop import _FitLoop
from torch.optim.lr_scheduler import ReduceLROnPlateau

from segfield.run.alike import kind_of, oddity, shown
from segfield.task import PixelwiseTask

_PARTS: dict[str, type] = {
    "state_dict": dict,
    "optimizer_states": list,
    "lr_schedulers": list,
    "callbacks": dict,
    "loops": dict,
    "global_step": int,
}
_PATHS = ("dirpath", "best_model_path", "kth_best_model_path", "last_model_path")


class Start(NamedTuple):
    """A checkpoint: its optimiser's steps, and its place, a number of global batches inside an epoch."""

    path: Path
    step: int
    epoch: int
    batches: int
    settled: bool = True  # LastCheckpoint wrote it: all that the steps before leave behind was there


class NoStartError(ValueError):
    """A good file of this model, but no place where training goes on."""


class Examiner:
    """Reads checkpoints of one task without running anything in them, and without changing the task.

    Raises:
        Exception: what the optimiser or the scheduler says to its settings; that is no checkpoint's fault.
    """

    def __init__(self, task: PixelwiseTask) -> None:
        configured = task.configure_optimizers()
        scheduled = isinstance(configured, dict)
        self._optimizer: torch.optim.Optimizer = configured["optimizer"] if scheduled else configured
        schedulers = [configured["lr_scheduler"]["scheduler"]] if scheduled else []
        for group in self._optimizer.param_groups:
            group["params"] = [_stand_in(parameter) for parameter in group["params"]]
        self._step()  # now it has moments
        self._sample: dict[str, Any] = {
            "state_dict": task.state_dict(),
            "optimizer_states": [self._optimizer.state_dict()],
            "lr_schedulers": [scheduler.state_dict() for scheduler in schedulers],
        }
        task.on_save_checkpoint(self._sample)

    def _step(self) -> None:
        """Take a step of zero gradients, on the CPU, where capturable is refused."""
        for group in self._optimizer.param_groups:
            group.update({"capturable": False} if "capturable" in group else {})
        self._optimizer.step()

    def start(self, path: Path) -> Start:
        """Return what a run can go on from.

        Raises:
            NoStartError: if it is best.ckpt and holds weights only.
            ValueError: why it cannot be used.
            PermissionError: if it may not be read.
        """
        content = _read(path)
        if not isinstance(content, dict):
            raise ValueError(f"no checkpoint of a run: it holds a {type(content).__name__}")
        wrong = [name for name, kind in _PARTS.items() if not isinstance(content.get(name), kind)]
        if isinstance(content.get("state_dict"), dict):
            _compare_weights(content["state_dict"], self._sample["state_dict"])
            if wrong and path.name == "best.ckpt":  # ModelCheckpoint(save_weights_only=True)
                raise NoStartError(f"it holds weights, but no {', '.join(wrong)}")
        if not wrong and "fit_loop" not in content["loops"]:
            wrong = ["loops of training"]
        if wrong:
            raise ValueError(f"no checkpoint of a run: no {', '.join(wrong)} in it")
        self._compare_states(content)
        odd = _odd_version(content.get("pytorch-lightning_version")) or _odd_callbacks(content["callbacks"])
        loop = content["loops"]["fit_loop"]
        odd = odd or oddity(loop, _FitLoop(None).state_dict(), "loops.fit_loop")  # type: ignore[arg-type]
        if odd:
            raise ValueError(f"it was changed, or another version wrote it: {odd}")
        position = content.get("position")
        given = [(position if isinstance(position, dict) else {}).get(name) for name in ("epoch", "batches")]
        epoch, batches = (number if type(number) is int else -1 for number in given)
        if min(epoch, batches) < 0:
            kind = NoStartError if path.name == "best.ckpt" else ValueError
            raise kind("it was written inside a step: it holds weights, not the place where training goes on")
        found = content["global_step"], epoch, batches
        if not _is_counted(loop) or found != _place(loop):
            text = "its place (step, epoch, batches) is {}, and its loops have counted {}"
            raise ValueError(text.format(found, _place(loop)))
        return Start(path, *found, settled=content.get("settled") is True)

    def _compare_states(self, content: dict[str, Any]) -> None:
        """Raise ValueError where optimiser, scheduler or half-done scores are not of this run."""
        found, sample = len(content["lr_schedulers"]), len(self._sample["lr_schedulers"])
        if found != sample:
            raise ValueError(f"it holds {found} schedulers, this run has {sample}")
        if odd := self._odd_optimizer(content["optimizer_states"], content["global_step"]):
            raise ValueError(f"its optimiser's state is not of this run's {type(self._optimizer).__name__}: {odd}")
        for name in ("lr_schedulers", "train_metrics"):
            if odd := oddity(content.get(name), self._sample[name], name):
                raise ValueError(f"it does not fit this run: {odd}")

    def _odd_optimizer(self, states: list[Any], step: int) -> str:
        sample = self._sample["optimizer_states"]
        if odd := oddity(states, sample, "optimizer_states"):
            return odd
        if step and sample[0]["state"] and not states[0]["state"]:
            return f"it is empty after {step} steps"
        try:  # settings that are missing, or do not go together
            self._optimizer.load_state_dict(states[0])
            self._step()
        except Exception as error:  # what a foreign state leads to has no limits
            return f"{type(error).__name__}: {error}"
        return ""


def _stand_in(parameter: torch.Tensor) -> torch.Tensor:
    """Return zeros that an optimiser may step in the place of a parameter."""
    zeros = torch.zeros_like(parameter, requires_grad=parameter.requires_grad)
    if parameter.requires_grad:
        zeros.grad = torch.zeros_like(parameter)
    return zeros


def _read(path: Path) -> Any:
    try:
        with zipfile.ZipFile(path) as file:
            flipped = file.testzip()
        content = None if flipped else torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except PermissionError:  # the user can mend this: nothing is lost, so nothing is put aside
        raise
    except Exception as error:  # what a damaged or hostile file raises has no limits
        said = str(error)
        code = re.search(r"GLOBAL ([\w.]+)", said)
        if code:
            raise ValueError(f"it asks for {code[1]}, and a checkpoint that brings code is not loaded") from error
        reason = (said.splitlines() or [""])[0]
        size = path.stat().st_size
        raise ValueError(
            f"damaged, cut short or no checkpoint: {size} bytes, {type(error).__name__}: {reason}"
        ) from error
    if flipped:
        raise ValueError(f"damaged: the checksum of {flipped} in it is wrong")
    return content


def _compare_weights(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Raise ValueError where names, shapes or types of numbers are not this model's."""
    kinds = [{name: kind_of(value) for name, value in weights.items()} for weights in (found, wanted)]
    names = {**wanted, **found}
    differing = [name for name in names if kinds[0].get(name) != kinds[1].get(name)]
    if differing:
        first = differing[0]
        given, mine = (kind.get(first, "absent") for kind in kinds)
        raise ValueError(
            f"a checkpoint of another model: {len(differing)} of {len(names)} weights differ, first {first}: "
            f"{given} in the file, {mine} in this model"
        )


def _odd_version(found: Any) -> str:
    mine = version("pytorch-lightning")
    known = isinstance(found, str) and re.fullmatch(r"(\d+)(\.\d+)+((a|b|rc|\.post|\.dev)\d+)?", found)
    if known and known[1] == mine.split(".")[0]:
        return ""
    return f"pytorch-lightning_version is {shown(found)}, and this is {mine}"


def _odd_callbacks(callbacks: dict[Any, Any]) -> str:
    """Look at the states of the callbacks that would run into an odd one much later."""
    plateau = ReduceLROnPlateau(torch.optim.SGD([torch.zeros(1)], lr=1.0)).state_dict()
    for name, state in callbacks.items():
        where, odd = f"callbacks.{name}", ""
        if not isinstance(name, str) or not isinstance(state, dict):
            return f"{where} is {shown(state)}"
        if name == "Plateau":
            odd = oddity(state, plateau, where)
        elif name == "MetricsCsv" and state:
            scores = state.get("scores")
            texts = isinstance(scores, dict) and all(isinstance(item, str) for pair in scores.items() for item in pair)
            odd = "" if texts and type(state.get("epoch")) is int else f"{where} is no row of metrics.csv"
        elif name.startswith("ModelCheckpoint"):
            odd = _odd_best(state, where)
        if odd:
            return odd
    return ""


def _odd_best(state: dict[str, Any], where: str) -> str:
    for name in _PATHS:
        if not isinstance(state.get(name), str):
            return f"{where}.{name} is {shown(state.get(name))} instead of a path"
    models = state.get("best_k_models")
    if not isinstance(models, dict) or not all(isinstance(path, str) for path in models):
        return f"{where}.best_k_models is {shown(models)} instead of paths with scores"
    scores = [state.get("best_model_score"), state.get("kth_value"), *models.values()]
    fit = all(score is None or (isinstance(score, torch.Tensor) and score.ndim == 0) for score in scores)
    return "" if fit else f"{where} has a score that is no number"


def _is_counted(loop: dict[str, Any]) -> bool:
    """Tell whether the counters of epochs and batches can come from counting."""
    for name in ("epoch_progress", "epoch_loop.batch_progress"):
        for count in (loop[name]["current"], loop[name]["total"]):
            if not count["ready"] >= count["started"] >= count["processed"] >= count["completed"] >= 0:
                return False
    return True


def _place(loop: dict[str, Any]) -> tuple[int, int, int]:
    """Return step, epoch and global batches by the loops' own counters."""
    steps = loop["epoch_loop.automatic_optimization.optim_progress"]["optimizer"]["step"]
    epochs = loop["epoch_progress"]["current"]
    inside = epochs["ready"] > epochs["processed"]
    return steps["total"]["completed"], epochs["processed"], steps["current"]["completed"] if inside else 0
