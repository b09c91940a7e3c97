"""PixelwiseData: what every data module shares. Splits, batches, loaders and the position in an epoch are final here.

A data set is a subclass with three methods: samples() lists what there is, read() gives the arrays of one sample,
read_picture() an image that has no truth. What it may say besides is in hooks.py.
Not here: augmentation (augment/, on the device), standardisation (task.py, after augmentation).
"""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, final

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from segfield.data.fingerprint import Row
from segfield.data.hooks import Hooks
from segfield.data.items import Items
from segfield.data.loader import load
from segfield.data.parts import parts_of_samples
from segfield.data.sample import Sample
from segfield.data.sampler import EpochBatches

# Fields that name folders -> how their files are told apart.
_PLACES = {"root": "", "images": "images", "masks": "masks"}


@dataclass(kw_only=True, eq=False, repr=False)
class PixelwiseData(Hooks, pl.LightningDataModule, ABC):
    """Abstract data module for one value per pixel. Its fields are the keys of conf/data/*.yaml, see settings.py."""

    # Whether the image of read() is read_picture() of the attribute "image", so that a cache of masks is of use.
    picture_alone: ClassVar[bool] = False
    # What an audit finds wrong with the files, by kind: missing, orphaned, ... None: the first ends samples().
    findings: dict[str, list[str]] | None = field(default=None, init=False)
    suffixes: ClassVar[Sequence[str]] = ()  # of pictures that read_picture() reads beyond those of Pillow: ".mat"
    _samples: list[Sample] = field(default_factory=list, init=False)
    _parts: list[str] = field(default_factory=list, init=False)
    _items: Items = field(init=False)
    _kept: Sequence[tuple[str, str, str]] | None = field(default=None, init=False)
    _position: tuple[int, int] = field(default=(0, 0), init=False)

    def __post_init__(self) -> None:
        pl.LightningDataModule.__init__(self)
        super().__post_init__()
        if self.cache == "masks" and not self.picture_alone:
            name = type(self).__name__
            raise ValueError(f"data.cache=masks: {name} reads image and mask together. Use data.cache=disk or memory.")

    @abstractmethod
    def samples(self) -> list[Sample]:
        """List every sample, in any order.

        Raises:
            FileNotFoundError: if the data is not there: what was looked for, where, and how to get it.
            ValueError: if what is there cannot be used, with the files' names.
        """

    @abstractmethod
    def read(self, sample: Sample, size: Sequence[int] | None) -> dict[str, np.ndarray]:
        """Read one sample.

        Args:
            sample: of samples().
            size: [H, W] of what is returned; None: the files' own.

        Returns:
            image [C, H, W] uint8 or float32; target [H, W] of class indices or [K, H, W] float32;
            optional valid [1, H, W] bool and weight [1, H, W] float32.

        Raises:
            ValueError: if a file cannot be used; the message names it.
        """

    @abstractmethod
    def read_picture(self, path: Path, size: Sequence[int] | None) -> np.ndarray:
        """Read an image that has no truth, as read() does: [C, H, W].

        Raises:
            ValueError: if the file cannot be used; the message names it.
        """

    @final
    def setup(self, stage: str | None = None) -> None:
        """List the samples and split them by group; the second call does nothing."""
        if self._samples:
            return
        found = sorted(self.samples(), key=lambda sample: sample.id)
        twice = sorted({a.id for a, b in itertools.pairwise(found) if a.id == b.id})
        if twice:
            raise ValueError(f"{len(twice)} sample ids stand twice, the first is {twice[0]!r}: ids must be unique.")
        parts = parts_of_samples(found, self, list(self._roots()), self._kept)
        self._samples = [sample for sample in found if sample.id in parts]
        self._parts = [parts[sample.id] for sample in self._samples]
        self._items = Items(self._samples, self, self.read, self.read_picture, self._roots())

    def _roots(self) -> dict[Path, str]:
        """Return the folders that files lie in, each with the name that tells its files from others'."""
        folders = {name: getattr(self, name, None) for name in _PLACES}
        return {Path(folder): _PLACES[name] for name, folder in folders.items() if folder}

    @final
    def keep_split(self, rows: Sequence[tuple[str, str, str]]) -> None:
        """Make setup() use exactly these samples and parts, as split_table() gave them when the run began.

        setup() then raises ValueError where a sample is gone or has another group; new ones are left out.
        """
        assert not self._samples, "the split is made already"
        self._kept = rows

    @final
    def fingerprint(self) -> list[Row]:
        """Return (id, file, bytes, sha256) of every file that a sample in use is read from; see fingerprint.py.

        From here on a file that changes is an error where it is read.

        Raises:
            OSError: if a file cannot be read; with on_error="skip" it has a row all the same.
        """
        return self._items.fingerprint()

    @final
    def keep_fingerprint(self, rows: Sequence[Row]) -> None:
        """Take rows for what fingerprint() gives: another process has made them of the same files."""
        self._items.keep_fingerprint(rows)

    @final
    def decode(self) -> None:
        """Open the cache, if there is to be one; the first process that comes builds it. Loaders do so themselves.

        Raises:
            ValueError: if there is no room for it, or a sample cannot be read.
        """
        self._items.open_cache()

    @final
    def found(self, kind: str, names: Sequence[str], message: str) -> None:
        """Tell of files that samples() cannot use: to an audit, which goes on with the others; else as an error.

        Args:
            kind: "missing", "orphaned", "unreadable", "duplicate", ...
            names: of the files.
            message: expected, found, fix.

        Raises:
            ValueError: the message, where nobody collects findings.
        """
        if self.findings is None:
            raise ValueError(message)
        self.findings.setdefault(kind, []).extend(names)

    @property
    def skipped(self) -> list[str]:
        """The ids of the samples that could not be read, of the batches that came to this process."""
        return list(self._items.skipped)

    @final
    def split_table(self) -> list[tuple[str, str, str]]:
        """Return (id, group, part) of every sample in use, sorted by id."""
        return [(sample.id, sample.group, part) for sample, part in zip(self._samples, self._parts, strict=True)]

    @final
    def indices(self, part: str) -> list[int]:
        """Return the indices of a part's samples: "train", "val" or "test"."""
        return [index for index, name in enumerate(self._parts) if name == part]

    @final
    def sample(self, index: int) -> Sample:
        """Return a sample in use; read(sample, None) gives it at its own size."""
        return self._samples[index]

    @final
    def item(self, index: int) -> dict[str, Any]:
        """Read a sample as tensors, checked against the numbers of the configuration.

        Returns:
            The entries of a batch without its first dimension; `skipped` says why where it could not be read.

        Raises:
            FileNotFoundError: if a file is gone.
            ValueError: if it cannot be read, or channels or sizes differ from what is configured.
        """
        return self._items[index]

    @final
    def start_at(self, epoch: int, batches: int) -> None:
        """Make the next training loader leave out the first global batches of one epoch."""
        self._position = (epoch, batches)

    @final
    def transfer_batch_to_device(self, batch: dict[str, Any], device: torch.device, dataloader_idx: int) -> Any:
        """Move the tensors; Lightning would look into each name of `id` and `group` too, at every step."""
        self._items.note(batch.get("skipped") or {})
        ahead = device.type != "cpu"
        moved = {name: value.to(device, non_blocking=ahead) for name, value in batch.items() if torch.is_tensor(value)}
        return {**batch, **moved}

    @final
    def train_dataloader(self) -> "DataLoader[dict[str, Any]]":
        """Return the training part, in the order of (seed, epoch), from the position on."""
        batches = self._batches("train", self.batch_size, train=True)
        batches.start_at(*self._position)
        return self._load(batches)

    @final
    def val_dataloader(self) -> "DataLoader[dict[str, Any]]":
        """Return the validation part: every sample once, also on several ranks."""
        return self._every_sample("val", self.batch_size)

    @final
    def test_dataloader(self) -> "DataLoader[dict[str, Any]]":
        """Return the test part: every sample once, also on several ranks.

        Each is a batch of its own: in a larger one the last bits of its logits depend on how many others there are.
        """
        return self._every_sample("test", 1)

    def _every_sample(self, part: str, batch_size: int) -> "DataLoader[dict[str, Any]]":
        if not self.indices(part):
            raise ValueError(
                f"This split has no part {part!r}, it has {', '.join(sorted(set(self._parts)))}. Use one of these; a "
                "new run with data.test_fraction=0.2 has a test part."
            )
        return self._load(self._batches(part, batch_size, train=False))

    def _load(self, batches: EpochBatches) -> "DataLoader[dict[str, Any]]":
        self.decode()
        return load(self.item, batches, workers=self.num_workers, seed=self.seed)

    def _batches(self, part: str, batch_size: int, *, train: bool) -> EpochBatches:
        trainer = self.trainer
        return EpochBatches(
            self.indices(part),
            batch_size,
            seed=self.seed,
            train=train,
            accumulate=1 if trainer is None else trainer.accumulate_grad_batches,
            rank=0 if trainer is None else trainer.global_rank,
            world=1 if trainer is None else trainer.world_size,
        )
