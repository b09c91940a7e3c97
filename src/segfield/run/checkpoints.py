"""What a run goes on from: the newest checkpoint that is whole, this model's, and holds all that is needed.

A checkpoint may come from someone else or from a failing disk: it is read with weights_only, which runs no code, and
every number that decides something is looked at before anything is loaded.
"""

import logging
import re
import zipfile
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import torch

from segfield.run.status import read_status
from segfield.task import PixelwiseTask

_log = logging.getLogger(__name__)
_FOLDER = Path("checkpoints")
_PARTS: dict[str, type] = {
    "state_dict": dict,
    "optimizer_states": list,
    "lr_schedulers": list,
    "callbacks": dict,
    "loops": dict,
    "global_step": int,
}


class Start(NamedTuple):
    """A checkpoint: its optimiser's steps, and its place, a number of global batches inside an epoch."""

    path: Path
    step: int
    epoch: int
    batches: int


class _NoStartError(ValueError):
    """A good file of this model, but no place where training goes on."""


def starting_point(task: PixelwiseTask) -> Start | None:
    """Choose what the run in the current folder goes on from; a warning names each file that is passed over, and why.

    last.ckpt where it is good. Else the newer of previous.ckpt and best.ckpt; best.ckpt last where the end of its
    epoch may not be written. A file that is not good is kept as <name>.damaged.

    Returns:
        None for a run from step 0: no checkpoint yet, or best.ckpt alone, of a first epoch that did not end.

    Raises:
        ValueError: if there are checkpoints and none is good.
        PermissionError: if one may not be read.
    """
    good: dict[str, Start] = {}
    bad: dict[Path, str] = {}
    unfit: dict[Path, str] = {}
    for name in ("last", "previous", "best"):
        path = _FOLDER / f"{name}.ckpt"
        if path.exists():
            try:
                good[name] = _examined(path, task)
            except _NoStartError as error:
                unfit[path] = str(error)
            except ValueError as error:
                bad[path] = str(error)
    reached = _reached()
    if not bad and (not good or _is_of_a_first_epoch(good, reached)):  # killed in its first epoch, as a rule
        for path in [*unfit, *(start.path for start in good.values())]:
            reason = unfit.get(path, "its epoch did not come to an end")
            _log.warning("starting again from step 0: there is no last.ckpt, and %s is no start: %s", path, reason)
        return None
    if not good:
        files = "\n".join(f"  {path}: {reason}" for path, reason in {**bad, **unfit}.items())
        raise ValueError(
            f"The run cannot go on, since none of its checkpoints can be used:\n{files}\n"
            f"Put a good one back as {_FOLDER / 'last.ckpt'}, or delete the folder {_FOLDER} to start over from step 0."
        )
    for path, reason in bad.items():
        _log.warning("%s cannot be used: %s. It is kept as %s", path, reason, _put_aside(path))
    start = good["last"] if "last" in good else max(good.values(), key=lambda one: (_is_written(one), one.step))
    _say_what_is_lost(start, reached, bad)
    return start


def _is_of_a_first_epoch(good: dict[str, Start], reached: int) -> bool:
    """Tell whether best.ckpt stands alone, since the run was killed before the first last.ckpt."""
    best = good.get("best")
    return len(good) == 1 and best is not None and best.epoch == 1 and best.batches == 0 and reached <= best.step


def _is_written(start: Start) -> bool:
    """Tell whether the scores of the epoch before are: best.ckpt is saved before an epoch's end."""
    if start.path.name != "best.ckpt" or start.batches:
        return True
    rows = Path("metrics.csv").read_text(errors="replace").splitlines() if Path("metrics.csv").exists() else []
    return any(row.split(",")[1:2] == [str(start.step - 1)] for row in rows)


def _say_what_is_lost(start: Start, reached: int, bad: dict[Path, str]) -> None:
    if start.path.name != "last.ckpt":
        steps = max(reached - start.step, 0)
        text = "going back from step %d to step %d, %s: %d steps are computed again"
        _log.warning(text, start.step + steps, start.step, start.path, steps)
    if not _is_written(start):
        _log.warning("metrics.csv and TensorBoard may lack the scores of epoch %d, which did not end", start.epoch)
    if _FOLDER / "best.ckpt" in bad:
        _log.warning("the best epoch so far is lost: best.ckpt will be the best of the epochs that follow")


def _reached() -> int:
    """Return the steps that the run is known to have done, by status.json and trace.csv."""
    done = [0]
    status = read_status(".").get("step")
    if isinstance(status, int):
        done.append(status)
    trace = Path("trace.csv")
    rows = trace.read_text(errors="replace").splitlines()[1:] if trace.exists() else []
    cells = [row.split(",") for row in rows[-2:]]  # a kill may have cut the last one short
    return max(done + [int(row[1]) + 1 for row in cells if len(row) == 3 and row[1].isdecimal()])


def _put_aside(path: Path) -> Path:
    names = (path.with_name(f"{path.name}.damaged{number or ''}") for number in count())
    return path.replace(next(name for name in names if not name.exists()))


def _examined(path: Path, task: PixelwiseTask) -> Start:
    """Read a checkpoint without running anything in it.

    Raises:
        ValueError: why it cannot be used.
    """
    content = read_checkpoint(path)
    if not isinstance(content, dict):
        raise ValueError(f"no checkpoint of a run: it holds a {type(content).__name__}")
    wrong = [name for name, kind in _PARTS.items() if not isinstance(content.get(name), kind)]
    if isinstance(content.get("state_dict"), dict):
        compare_weights(content["state_dict"], task)
        if wrong and path.name == "best.ckpt":  # ModelCheckpoint(save_weights_only=True)
            raise _NoStartError(f"it holds weights, but no {', '.join(wrong)}")
    if not wrong and "fit_loop" not in content["loops"]:
        wrong = ["loops of training"]
    if wrong:
        raise ValueError(f"no checkpoint of a run: no {', '.join(wrong)} in it")
    _compare_optimizer(content, task)
    position = content.get("position")
    numbers = [content["global_step"], *map((position if isinstance(position, dict) else {}).get, ("epoch", "batches"))]
    step, epoch, batches = (number if isinstance(number, int) else -1 for number in numbers)
    if min(step, epoch, batches) < 0:
        kind = _NoStartError if path.name == "best.ckpt" else ValueError
        raise kind("it was written inside a step: it holds weights, not the place where training goes on")
    return Start(path, step, epoch, batches)


def read_checkpoint(path: Path) -> Any:
    """Return what a checkpoint holds, without running anything in it.

    Raises:
        ValueError: why it cannot be used.
        PermissionError: if it may not be read.
    """
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


def compare_weights(weights: dict[str, Any], task: PixelwiseTask) -> None:
    """Raise ValueError where names, shapes or types are not this model's."""
    found = {name: _kind(value) for name, value in weights.items()}
    wanted = {name: _kind(value) for name, value in task.state_dict().items()}
    differing = [name for name in {**wanted, **found} if wanted.get(name) != found.get(name)]
    if differing:
        first, among = differing[0], len({**wanted, **found})
        raise ValueError(
            f"a checkpoint of another model: {len(differing)} of {among} weights differ, first {first}: "
            f"{found.get(first, 'absent')} in the file, {wanted.get(first, 'absent')} in this model"
        )


def _kind(value: Any) -> str:
    return f"{tuple(value.shape)} {value.dtype}" if isinstance(value, torch.Tensor) else "no tensor"


def _compare_optimizer(content: dict[str, Any], task: PixelwiseTask) -> None:
    """Raise ValueError where the states are not of this optimiser and its parameters."""
    configured = task.configure_optimizers()
    scheduled = isinstance(configured, dict)
    optimizer = configured["optimizer"] if scheduled else configured
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    if len(content["lr_schedulers"]) != int(scheduled):
        raise ValueError(f"it holds {len(content['lr_schedulers'])} schedulers, this run has {int(scheduled)}")
    if not _fits(content["optimizer_states"], optimizer, parameters):
        raise ValueError(f"its optimiser's state is not of this run's {type(optimizer).__name__}")


def _fits(states: list[Any], optimizer: torch.optim.Optimizer, parameters: list[torch.Tensor]) -> bool:
    try:
        (saved,) = states
        groups, moments = saved["param_groups"], saved["state"]
        if [len(group["params"]) for group in groups] != [len(group["params"]) for group in optimizer.param_groups]:
            return False
        # Names of settings tell optimisers apart; a newer torch may know more of them than the file.
        known = all(set(group) <= set(mine) for group, mine in zip(groups, optimizer.param_groups, strict=True))
        return known and all(
            value.ndim == 0 or value.shape == parameters[place].shape
            for place, state in moments.items()
            for value in state.values()
            if isinstance(value, torch.Tensor)
        )
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):  # not built as such a state is
        return False
