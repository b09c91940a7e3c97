"""What each of several jobs at once gets of this machine: processor cores, and GPUs of its own.

GPUs are counted without torch, which would keep the devices busy in this process.
"""

import functools
import os
import shutil
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, final

from segfield.run.placement import cores

_VISIBLE = "CUDA_VISIBLE_DEVICES"
_ON_GPUS = (None, "auto", "gpu", "cuda")  # trainer.accelerator
_ALL = ("auto", -1, "-1")  # trainer.devices


def visible_gpus() -> list[str]:
    """Return the names by which CUDA_VISIBLE_DEVICES knows the GPUs that this process may use."""
    if (given := os.environ.get(_VISIBLE)) is not None:
        names = [name.strip() for name in given.split(",")]
        end = next((place for place, name in enumerate(names) if name in ("", "-1")), len(names))
        return names[:end]  # CUDA too reads up to the first that names none
    return [str(number) for number in range(_counted(shutil.which("nvidia-smi")))]


@functools.cache
def _counted(program: str | None) -> int:
    """Return how many GPUs nvidia-smi lists; it takes a second, and a search asks for each of its batches."""
    if program is None:
        return 0
    try:
        listed = subprocess.run([program, "-L"], capture_output=True, text=True, check=True, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return 0
    return sum(1 for line in listed.splitlines() if line.startswith("GPU "))


@final
class Shares:
    """The shares of one sweep.

    Args:
        slots: jobs at once.
        devices: (trainer.accelerator, trainer.devices) of each job.
    """

    def __init__(self, slots: int, devices: Iterable[tuple[Any, Any]]) -> None:
        self._slots = slots
        wanted = {self._wanted(*pair) for pair in devices} if slots > 1 else {0}
        self._gpus = visible_gpus() if wanted != {0} else []
        self._most = max(wanted, default=0)

    def problems(self) -> Iterator[str]:
        """Yield why the jobs cannot run at once."""
        here = len(self._gpus)
        if not here:
            return
        each = max(self._most, 1)
        if each * self._slots > here:
            fits = here // each
            one = f"hydra.launcher.jobs={fits}" if fits else f"trainer.devices={here}"
            shared = f" Small jobs can share a GPU: {_VISIBLE}={','.join(['0'] * self._slots)}." if each == 1 else ""
            yield (
                f"hydra.launcher.jobs={self._slots} x trainer.devices={each} needs {each * self._slots} GPUs, {here} "
                f"{'is' if here == 1 else 'are'} here: use {one}, or trainer.accelerator=cpu.{shared}"
            )

    def words(self, typed: Sequence[str]) -> list[str]:
        """Return the placement of a job: its cores, unless its number of threads was typed."""
        if self._slots == 1 or any(word.lstrip("+").partition("=")[0] == "threads" for word in typed):
            return []
        return [f"threads={max(1, cores() // self._slots)}"]

    def environment(self, slot: int, accelerator: Any, devices: Any) -> Mapping[str, str]:
        """Return which GPUs the job in a slot sees."""
        wanted = self._wanted(accelerator, devices)
        if not self._gpus or not wanted:
            return {}
        share = len(self._gpus) // self._slots
        own = self._gpus[slot * share : (slot + 1) * share]
        return {_VISIBLE: ",".join(own[:wanted] if wanted > 0 else own)}

    def _wanted(self, accelerator: Any, devices: Any) -> int:
        """Return how many GPUs a job takes where there are some, -1 for its whole share; check knows no list."""
        if accelerator not in _ON_GPUS:
            return 0
        if devices in _ALL:
            return -1
        return int(devices) if str(devices).isdecimal() else 0
