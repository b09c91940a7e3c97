"""Arrays -> tensors -> batches: a sample's check, the loader, its workers, and what makes one batch of several samples.

Not here: which samples make which batch (sampler.py).
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, default_collate

from segfield.data.classes import check_numbers


def tensors(
    name: str, arrays: Mapping[str, np.ndarray], channels: int, size: Sequence[int] | None, out_channels: int
) -> dict[str, torch.Tensor]:
    """Turn a sample's arrays into tensors of the same types: what becomes int64 or float32 does so on the device.

    Args:
        name: of the sample, for messages.
        arrays: as a data module reads them.
        channels: C that the configuration says.
        size: [H, W] that the configuration says; None: any.
        out_channels: K that the configuration says.

    Raises:
        ValueError: if channels, sizes or classes differ from what is configured.
    """
    image, target = arrays["image"], arrays["target"]
    if image.shape[0] != channels:
        raise ValueError(
            f"{name} has {image.shape[0]} channels, data.in_channels is {channels}. "
            f"Use data.in_channels={image.shape[0]}."
        )
    if image.shape[-2:] != target.shape[-2:] or (size and image.shape[-2:] != tuple(size)):
        raise ValueError(
            f"{name}: image {image.shape[-2:]} and target {target.shape[-2:]} must both have "
            f"data.size={None if size is None else list(size)}."
        )
    if target.dtype.kind in "bui":
        check_numbers(name, target, arrays.get("valid"), out_channels)
    return {key: torch.from_numpy(np.require(array, requirements=["C", "W"])) for key, array in arrays.items()}


class _Items(Dataset[dict[str, Any]]):
    """The samples of a data module by index."""

    def __init__(self, item: Callable[[int], dict[str, Any]]) -> None:
        self._item = item

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self._item(index)


def load(
    item: Callable[[int], dict[str, Any]], batches: Iterable[list[int]], *, workers: int, seed: int
) -> "DataLoader[dict[str, Any]]":
    """Make the loader.

    Args:
        item: reads a sample by its index.
        batches: lists of indices; any iterable serves.
        workers: processes that read.
        seed: with a worker's number it sets Python's, NumPy's and torch's random numbers there, as torch does it; the
            training process's own are neither read nor moved.
    """
    return DataLoader(
        _Items(item),
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=collate,
        worker_init_fn=_leave_group,
        pin_memory=torch.cuda.is_available(),
        persistent_workers=workers > 0,
        generator=torch.Generator().manual_seed(seed),
    )


def _leave_group(worker: int) -> None:
    """Leave signals to a whole group (Ctrl-C, a scheduler's SIGTERM) to the training process alone: it saves first."""
    os.setpgid(0, 0)


def collate(items: list[dict[str, Any]]) -> dict[str, Any]:
    """Stack samples to a batch: tensors [N, ...], `id` and `group` as lists; `valid` and `weight` of one are of all.

    A tuple of words (`rules`) is the first sample's. Where samples were skipped, `skipped` says why by their ids.

    Raises:
        ValueError: if the samples have different sizes.
    """
    first = items[0]
    for item in items:
        if item["image"].shape != first["image"].shape:
            raise ValueError(
                f"{first['id']} is {tuple(first['image'].shape)} and {item['id']} is {tuple(item['image'].shape)}: "
                "one batch needs one size. Set data.size=[H,W], or data.batch_size=1."
            )
    skipped = {item["id"]: item["skipped"] for item in items if "skipped" in item}
    stacked = [{name: value for name, value in item.items() if name != "skipped"} for item in items]
    for name, kind in (("valid", torch.bool), ("weight", torch.float32)):
        if any(name in item for item in stacked):
            size = first["image"].shape[-2:]
            stacked = [{name: torch.ones((1, *size), dtype=kind), **item} for item in stacked]
    alike = {name: value for name, value in first.items() if isinstance(value, tuple)}
    stacked = [{name: value for name, value in item.items() if name not in alike} for item in stacked]
    batch: dict[str, Any] = {**default_collate(stacked), **alike}
    return {**batch, "skipped": skipped} if skipped else batch
