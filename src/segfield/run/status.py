"""status.json: how far a run is, for people, sweeps and schedulers.

planned | running | finished | failed | interrupted, with epoch, step, best score, reason, seconds, peak memory.
"""

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any, final

from segfield.files import write_text

NAME = "status.json"


def read_status(folder: str | Path) -> dict[str, Any]:
    """Return the content of status.json; {"state": "planned"} where there is none yet."""
    path = Path(folder) / NAME
    if not path.exists():
        return {"state": "planned"}
    content: dict[str, Any] = json.loads(path.read_text())
    return content


def _gpu_memory() -> dict[str, int]:
    """Return the peak memory [MB] that torch took of the current GPU; nothing where none is in use."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return {}
    return {"peak_gpu_memory_mb": round(torch.cuda.max_memory_allocated() / 1e6)}


@final
class Status:
    """The status of one execution, written whole at every change.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: str | Path) -> None:
        self._path = Path(folder).absolute() / NAME
        self._content = read_status(folder)
        self.started_before = self._content["state"] != "planned"
        self._before = float(self._content.get("seconds", 0.0))
        self._start = time.monotonic()

    def update(self, **changes: Any) -> None:
        """Write the changed entries; seconds count all executions of the run together, peak memory [MB] this one."""
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
        seconds = self._before + time.monotonic() - self._start
        self._content |= {**changes, "seconds": round(seconds, 1), "peak_memory_mb": round(peak), **_gpu_memory()}
        write_text(self._path, json.dumps(self._content, indent=2) + "\n")
