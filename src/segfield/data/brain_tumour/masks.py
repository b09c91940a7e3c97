"""A mask of tumour or not: is it one, and does it belong to its image?"""

from pathlib import Path

import numpy as np


def target_of(mask: np.ndarray, image: np.ndarray, files: tuple[str | Path, str | Path]) -> np.ndarray:
    """Check a mask [h, w] against its image [C, h, w] and return the target [h, w] uint8 of {0, 1}.

    Args:
        mask: of {0, 1} or {0, 255}.
        image: whose pixels it outlines.
        files: names of image and mask.

    Raises:
        ValueError: if their sizes differ, or the mask holds other values.
    """
    if image.shape[1:] != mask.shape:
        image_size, mask_size = ("x".join(map(str, shape)) for shape in (image.shape[1:], mask.shape))
        raise ValueError(
            f"{files[0]} is {image_size} but its mask {files[1]} is {mask_size} (HxW): a mask must have the size of "
            "its image. Copy the set's own files, or remove the pair."
        )
    is_bytes = mask.dtype == np.uint8
    values = (np.flatnonzero(np.bincount(mask.ravel())) if is_bytes else np.unique(mask)).tolist()
    if not (set(values) <= {0, 1} or set(values) <= {0, 255}):
        raise ValueError(
            f"{files[1]} holds {len(values)} values from {values[0]} to {values[-1]}; these masks hold {{0, 1}} or "
            "{0, 255}. Resized or JPEG masks have such greys: copy the set's own files."
        )
    return (mask > 0).astype(np.uint8)
