"""Checkpoints written whole: Lightning's own goes through $TMPDIR, which is not atomic across file systems."""

from pathlib import Path
from typing import Any, final

import torch
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO

from segfield.files import whole


@final
class WholeCheckpointIO(TorchCheckpointIO):
    """Save through a temporary file in the same folder, fsync and rename."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write the checkpoint; after an error the former one is untouched."""
        with whole(path) as file:
            torch.save(checkpoint, file)
