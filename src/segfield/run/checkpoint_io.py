"""Checkpoints written whole: Lightning's own goes through $TMPDIR, which is not atomic across file systems."""

import os
import shutil
from pathlib import Path
from typing import Any, final

import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO

from segfield.files import whole

_FORMER = {"last.ckpt": "previous.ckpt"}  # of which files the one that is replaced is kept, and how it is called then


@final
class WholeCheckpointIO(TorchCheckpointIO):
    """Save through a temporary file in the same folder, fsync and rename."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """Write the checkpoint; after an error the former one is untouched. A former last.ckpt becomes previous.ckpt.

        Args:
            checkpoint: what to save.
            path: of the file.
            storage_options: Lightning's, none; FSDP refuses any.
        """
        with whole(path) as file:
            torch.save(checkpoint, file)
            if former := _FORMER.get(Path(path).name):
                file.flush()
                os.fsync(file.fileno())  # good before the former one moves on
                _keep(Path(path), Path(path).with_name(former))


def _keep(path: Path, former: Path) -> None:
    """Give the file a second name, without a moment in which either name is missing."""
    if not path.exists():
        return
    link = former.with_name(f".{former.name}.{os.getpid()}.tmp")
    try:
        os.link(path, link)
    except OSError:  # this file system has no hard links
        with path.open("rb") as source, whole(former) as file:
            shutil.copyfileobj(source, file)
    else:
        link.replace(former)
