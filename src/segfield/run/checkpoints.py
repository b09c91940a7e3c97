"""What a run goes on from: the newest checkpoint that is whole, this model's, and holds all that is needed.

What is looked at in a file stands in examine.py; here is the choice among several, and what is said about it.
"""

import logging
from itertools import count
from pathlib import Path

from segfield.run.examine import Examiner, NoStartError, Start
from segfield.run.status import read_status
from segfield.task import PixelwiseTask

_log = logging.getLogger(__name__)
_FOLDER = Path("checkpoints")


def starting_point(task: PixelwiseTask) -> Start | None:
    """Choose what the run in the current folder goes on from; a warning names each file that is passed over, and why.

    last.ckpt where it is good and LastCheckpoint's own. Else the newest; another callback's comes last where the end of
    its epoch may not be written. A file that is not good is kept as <name>.damaged.

    Returns:
        None for a run from step 0: no checkpoint yet, or best.ckpt alone, of a first epoch that did not end.

    Raises:
        ValueError: if there are checkpoints and none is good.
        PermissionError: if one may not be read.
        Exception: what the optimiser or the scheduler says to its settings.
    """
    paths = [path for name in ("last", "previous", "best") if (path := _FOLDER / f"{name}.ckpt").exists()]
    if not paths:
        return None
    examiner = Examiner(task)
    good: dict[str, Start] = {}
    bad: dict[Path, str] = {}
    unfit: dict[Path, str] = {}
    for path in paths:
        try:
            good[path.stem] = examiner.start(path)
        except NoStartError as error:
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
    start = max(good.values(), key=lambda one: (_is_written(one), one.step))
    if "last" in good and good["last"].settled:
        start = good["last"]
    _say_what_is_lost(start, reached, bad)
    return start


def _is_of_a_first_epoch(good: dict[str, Start], reached: int) -> bool:
    """Tell whether there are only ModelCheckpoint's files, since the run was killed before the first last.ckpt."""
    return all(not one.settled and one.epoch == 1 and one.batches == 0 and reached <= one.step for one in good.values())


def _is_written(start: Start) -> bool:
    """Tell whether the scores of the epoch before are: ModelCheckpoint saves before an epoch's end."""
    if start.settled or start.batches:
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
