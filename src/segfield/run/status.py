"""status.json: how far a run is, for people, sweeps and schedulers.

planned | running | finished | failed | interrupted | pruned, with epoch, step, best score, reason, seconds, peak
memory. Shown to others, a run that says "running" and is not alive was killed.
"""

import json
import logging
import resource
import shutil
import sys
import time
from pathlib import Path
from typing import Any, final

from segfield.files import write_text
from segfield.run.lock import alive

_log = logging.getLogger(__name__)
NAME = "status.json"
STATES = ("planned", "running", "finished", "failed", "interrupted", "pruned")
ENDED = ("finished", "pruned")  # there is nothing left to do


def read_status(folder: str | Path) -> dict[str, Any]:
    """Return the content of status.json; {"state": "planned"} where there is none, "unknown" where it is damaged."""
    path = Path(folder) / NAME
    if not path.exists():
        return {"state": "planned"}
    try:
        content = json.loads(path.read_text())
    except (ValueError, RecursionError):
        content = None
    if (
        isinstance(content, dict)
        and content.get("state") in STATES
        and isinstance(content.get("seconds", 0.0), int | float)
        and isinstance(content.get("step", 0), int)
        and isinstance(content.get("best") or {}, dict)
    ):
        return content
    return {"state": "unknown", "reason": f"{NAME} is damaged"}


def shown(folder: str | Path) -> dict[str, Any]:
    """Return the status as other processes should tell it: "killed" for a run that nobody executes any more."""
    status = read_status(folder)
    if status["state"] == "running" and not alive(folder):
        status = read_status(folder)  # it may have ended in between
        if status["state"] == "running":
            status["state"] = "killed"
    return status


def _gpu_memory() -> dict[str, int]:
    """Return the peak memory [MB] that torch took of the current GPU; nothing where none is in use."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return {}
    return {"peak_gpu_memory_mb": round(torch.cuda.max_memory_allocated() / 1e6)}


@final
class Status:
    """The status of one execution, written whole at every change; make it under the folder's lock.

    A damaged status.json is put aside as status.json.damaged. The run goes on from its last checkpoint, which ends in
    the same bits even where it had finished.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: str | Path) -> None:
        self._path = Path(folder).absolute() / NAME
        self._content = read_status(folder)
        self.started_before = self._content["state"] != "planned"
        if self._content["state"] == "unknown":
            # Copied, not moved: a kill before the next update must not leave what looks like a new run.
            aside = Path(shutil.copyfile(self._path, self._path.with_name(f"{NAME}.damaged")))
            _log.warning("%s is damaged: put aside as %s", self._path, aside.name)
            self._content = {"state": "planned"}
        self._before = float(self._content.get("seconds", 0.0))
        self._start = time.monotonic()

    @property
    def skipped(self) -> int:
        """Return how many unreadable samples this run, or an earlier execution of it, has left out."""
        found = self._content.get("skipped", 0)
        return found if isinstance(found, int) else 0

    def update(self, **changes: Any) -> None:
        """Write the changed entries, beside those that another process of this execution has written since.

        Seconds count all executions of the run together, peak memory [MB] is that of this one's largest process.
        """
        of = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        peak = max(resource.getrusage(who).ru_maxrss for who in of) / (1e6 if sys.platform == "darwin" else 1e3)
        seconds = self._before + time.monotonic() - self._start
        if (found := read_status(self._path.parent))["state"] != "unknown":
            self._content |= found
        self._content |= {**changes, "seconds": round(seconds, 1), "peak_memory_mb": round(peak), **_gpu_memory()}
        write_text(self._path, json.dumps(self._content, indent=2) + "\n")
