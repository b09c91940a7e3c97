"""TensorBoard: Lightning's logger with each point once, also over many executions of a run.

Lightning adds `epoch` to whatever it logs, several times at a step. And a reader takes a folder's event files in the
order of their names, which begin with the clock's second: after a clock went backwards, or within one second, the file
of a continued run would come before the one that it continues, and nothing old would be purged.
"""

from pathlib import Path
from typing import final

from lightning_fabric.loggers.logger import rank_zero_experiment
from pytorch_lightning.loggers import TensorBoardLogger
from torch.utils.tensorboard import SummaryWriter

_PREFIX = "events.out.tfevents."
_SECONDS = 10  # after which a thread of the writer's own makes visible what a run has drawn
_EARLIEST = 10**9  # seconds since 1970: a smaller number is a place in the order


@final
class TensorBoard(TensorBoardLogger):
    """Write one folder of events per run.

    Args:
        path: of the folder, inside the run folder.
        purge_step: first step that is written (again) by a continued run; None for a new one.
    """

    def __init__(self, path: str = "tensorboard", purge_step: int | None = None) -> None:
        super().__init__(path, name="", version="", default_hp_metric=False, purge_step=purge_step, flush_secs=_SECONDS)

    @property
    @rank_zero_experiment
    def experiment(self) -> SummaryWriter:
        """Return the writer; earlier executions' files are put before its own when it is made."""
        if self._experiment is None:
            _number(Path(self.log_dir))
        writer: SummaryWriter = super().experiment
        return writer

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:  # type: ignore[override]
        """Write scalars at a step, without Lightning's `epoch`."""
        super().log_metrics({name: value for name, value in metrics.items() if name != "epoch"}, step)


def _number(folder: Path) -> None:
    """Name the event files of earlier executions by their place in the order instead of by the clock."""
    place = -1
    for file in sorted(folder.glob(f"{_PREFIX}*")):
        number, _, rest = file.name.removeprefix(_PREFIX).partition(".")
        if not number.isdigit():
            continue
        place = int(number) if int(number) < _EARLIEST else place + 1
        file.rename(file.with_name(f"{_PREFIX}{place:010d}.{rest}"))
