"""PixelwiseData: what every data module shares. Splits, batches, loaders and the position in an epoch are final here.

A data set is a subclass with three methods: samples() lists what there is, read() gives the arrays of one sample,
read_picture() an image that has no truth.
Not here: augmentation (augment.py, on the device), standardisation (task.py, after augmentation).
"""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, final

import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from segfield.data.classes import check_classes
from segfield.data.fingerprint import Row, fingerprint
from segfield.data.loader import load, tensors
from segfield.data.sample import Sample
from segfield.data.sampler import EpochBatches
from segfield.data.splits import frozen_parts, parts_of_groups

# Fields that name folders -> how their files are told apart.
_PLACES = {"root": "", "images": "images", "masks": "masks"}


@dataclass(kw_only=True, eq=False, repr=False)
class PixelwiseData(pl.LightningDataModule, ABC):
    """Abstract data module for one value per pixel. Its fields are the keys of conf/data/*.yaml.

    Args:
        in_channels: C of the images; verified against what read() gives.
        out_channels: K of the network's output: 1 for binary.
        classes: names of the classes, the background's first; K of them where K is above 1.
        colours: of the classes in pictures, "#rrggbb" each; None: figures' own.
        size: working size [H, W]; None keeps the files' own (one batch then needs one size).
        mean: of the image in [0, 1], one number or one per channel; subtracted after augmentation.
        std: divides after the mean is subtracted.
        batch_size: global batch of the optimiser's step, shared out over devices and accumulation.
        num_workers: processes that read; 0 reads in the training process.
        seed: orders the training part, with the epoch.
        split_seed: orders the groups; fixed, so that a sweep over `seed` keeps its split.
        test_fraction: share of the groups that neither trains nor validates.
        val_fraction: share of the other groups that validates.
        folds: K of K-fold cross-validation by group; replaces val_fraction.
        fold: which of the K folds validates.
        sample_fraction: share of the groups without the test part's to use at all.
    """

    in_channels: int
    out_channels: int = 1
    classes: Sequence[str] = ("background", "foreground")
    colours: Sequence[str] | None = None
    size: Sequence[int] | None = None
    mean: float | Sequence[float] = 0.5
    std: float | Sequence[float] = 0.25
    batch_size: int
    num_workers: int = 0
    seed: int = 0
    split_seed: int = 0
    test_fraction: float = 0.0
    val_fraction: float = 0.2
    folds: int | None = None
    fold: int | None = None
    sample_fraction: float = 1.0
    predict_part: str | None = field(default=None, init=False)  # None: test where there is one, else val
    # What an audit finds wrong with the files, by kind: missing, orphaned, ... None: the first ends samples().
    findings: dict[str, list[str]] | None = field(default=None, init=False)
    suffixes: ClassVar[Sequence[str]] = ()  # of pictures that read_picture() reads beyond those of Pillow: ".mat"
    _samples: list[Sample] = field(default_factory=list, init=False)
    _parts: list[str] = field(default_factory=list, init=False)
    _kept: Sequence[tuple[str, str, str]] | None = field(default=None, init=False)
    _position: tuple[int, int] = field(default=(0, 0), init=False)

    def __post_init__(self) -> None:
        super().__init__()
        check_classes(self.classes, self.colours, self.out_channels)
        if self.size is not None and not _is_size(self.size):
            raise ValueError(f"data.size is [H,W] in pixels, for example data.size=[256,384]; got {self.size}.")
        if self.num_workers < 0:
            raise ValueError(f"data.num_workers={self.num_workers} is a number of processes, 0 or more. Use 0.")
        for name, value in (("mean", self.mean), ("std", self.std)):
            if not isinstance(value, int | float) and len(value) != self.in_channels:
                raise ValueError(
                    f"data.{name}={list(value)} has {len(value)} numbers, data.in_channels is {self.in_channels}. "
                    f"Give one number, or one per channel."
                )

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
        groups = {sample.id: sample.group for sample in found}
        parts = self._split(groups) if self._kept is None else frozen_parts(groups, self._kept)
        self._samples = [sample for sample in found if sample.id in parts]
        self._parts = [parts[sample.id] for sample in self._samples]

    def _split(self, groups: Mapping[str, str]) -> dict[str, str]:
        parts = parts_of_groups(
            list(groups.values()),
            test_fraction=self.test_fraction,
            sample_fraction=self.sample_fraction,
            val_fraction=self.val_fraction,
            folds=self.folds,
            fold=self.fold,
            seed=self.split_seed,
        )
        return {id_: parts[group] for id_, group in groups.items() if group in parts}

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

        Raises:
            OSError: if a file cannot be read.
        """
        places = {}
        for name, prefix in _PLACES.items():
            if folder := getattr(self, name, None):
                places.update({Path(folder): prefix, Path(folder).resolve(): prefix})
        samples = [(sample.id, sample.attributes) for sample in self._samples]
        return fingerprint(samples, places, lambda index: self.read(self._samples[index], self.size))

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
            The entries of a batch without its first dimension.

        Raises:
            ValueError: if channels or sizes differ from what is configured.
        """
        sample = self._samples[index]
        read = tensors(sample.id, self.read(sample, self.size), self.in_channels, self.size, self.out_channels)
        return {**read, "id": sample.id, "group": sample.group, "index": index}

    @final
    def start_at(self, epoch: int, batches: int) -> None:
        """Make the next training loader leave out the first global batches of one epoch."""
        self._position = (epoch, batches)

    @final
    def transfer_batch_to_device(self, batch: dict[str, Any], device: torch.device, dataloader_idx: int) -> Any:
        """Move the tensors; Lightning would look into each name of `id` and `group` too, at every step."""
        ahead = device.type != "cpu"
        moved = {name: value.to(device, non_blocking=ahead) for name, value in batch.items() if torch.is_tensor(value)}
        return {**batch, **moved}

    @final
    def train_dataloader(self) -> "DataLoader[dict[str, Any]]":
        """Return the training part, in the order of (seed, epoch), from the position on."""
        batches = self._batches("train", self.batch_size, train=True)
        batches.start_at(*self._position)
        return load(self.item, batches, workers=self.num_workers, seed=self.seed)

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

    @final
    def predict_dataloader(self) -> "DataLoader[dict[str, Any]]":
        """Return `predict_part` as test_dataloader() does."""
        return self._every_sample(self.predict_part or ("test" if self.indices("test") else "val"), 1)

    def _every_sample(self, part: str, batch_size: int) -> "DataLoader[dict[str, Any]]":
        if not self.indices(part):
            raise ValueError(
                f"This split has no part {part!r}, it has {', '.join(sorted(set(self._parts)))}. Use one of these; a "
                "new run with data.test_fraction=0.2 has a test part."
            )
        return load(self.item, self._batches(part, batch_size, train=False), workers=self.num_workers, seed=self.seed)

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


def _is_size(size: object) -> bool:
    return isinstance(size, list | tuple) and len(size) == 2 and all(isinstance(n, int) and n > 0 for n in size)
