"""Checkpoints written whole: Lightning's own goes through $TMPDIR, which is not atomic across file systems."""

import os
import shutil
from pathlib import Path
from typing import Any, final

import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO

from segfield.files import whole


@final
class WholeCheckpointIO(TorchCheckpointIO):
    """Save through a temporary file in the same folder, fsync and rename."""

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: dict[str, str] | None = None
    ) -> None:
        """Write the checkpoint; after an error the former one is untouched.

        Args:
            checkpoint: what to save.
            path: of the file.
            storage_options: {"former": path} keeps the file that the new one replaces under that name.
        """
        with whole(path) as file:
            torch.save(checkpoint, file)
            if storage_options:
                file.flush()
                os.fsync(file.fileno())  # good before the former one moves on
                _keep(Path(path), Path(storage_options["former"]))


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
