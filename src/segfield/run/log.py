"""log.txt and the terminal: what a run says."""

import contextlib
import logging
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

_SILENCED = (
    ".*does not have many workers.*",  # a guess about speed; data.num_workers is the user's
    ".*You have overridden `on_after_batch_transfer` in `LightningModule`.*",  # on purpose, see task.py
    ".*Checkpoint directory .* exists and is not empty.*",  # a run that goes on in its own folder
    ".*your dataloader is not resumable.*",  # the batch sampler starts at the checkpoint's position
    ".*smaller than the logging interval.*",  # an epoch's scores are logged whatever the interval
    ".*isinstance\\(treespec, LeafSpec\\).*",  # Lightning 2.6.6 with torch 2.15, in every batch transfer
)


class _Terminal(logging.Handler):
    """Write to the standard error of the moment: a progress bar puts its own in place while it lives."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line; a terminal that is gone (a closed pipe) ends no run, log.txt has the line too."""
        with contextlib.suppress(OSError, ValueError):
            sys.stderr.write(self.format(record) + "\n")
            sys.stderr.flush()


def quiet_lightning() -> None:
    """Keep Lightning's advertisements and lists of absent devices away; call it after its import, which resets it."""
    for name in ("pytorch_lightning", "lightning_fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)


@contextlib.contextmanager
def told_later() -> Iterator[None]:
    """Keep back what data modules say of their files: the run that is checked lists them again, and says it then."""
    logger = logging.getLogger("segfield.data")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


@contextlib.contextmanager
def logged(path: str | Path, *, shown: bool = True) -> Iterator[None]:
    """Send the library's log and warnings to a file, with times, and to the terminal where they are to be shown."""
    logger = logging.getLogger("segfield")
    file = logging.FileHandler(path, encoding="utf-8", errors="backslashreplace")
    file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    terminal = _Terminal()
    terminal.setFormatter(logging.Formatter("%(message)s"))
    terminal.setLevel(logging.INFO)
    logger.setLevel(logging.DEBUG)
    loggers = (logger, logging.getLogger("py.warnings"))
    handlers: tuple[logging.Handler, ...] = (file, terminal) if shown else (file,)
    for handler in handlers:
        for source in loggers:
            source.addHandler(handler)
    with warnings.catch_warnings():
        logging.captureWarnings(True)
        for message in _SILENCED:
            warnings.filterwarnings("ignore", message=message)
        try:
            yield
        finally:
            logging.captureWarnings(False)
            for handler in handlers:
                for source in loggers:
                    source.removeHandler(handler)
                handler.close()
