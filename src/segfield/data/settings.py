"""Settings: the keys that every conf/data/*.yaml has, and what is wrong with them before anything is read."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(kw_only=True, eq=False, repr=False)
class Settings:
    """The fields of every data module; PixelwiseData (module.py) is what they are for.

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
        split: "own" takes the parts that the data has, "fractions" makes parts of groups by the numbers below; None:
            own where every sample has a part and neither folds nor split_file is given.
        split_file: CSV of id,part or id,group,part; what it does not name is left out. A relative one lies where the
            command is typed, else in the data's folder.
        split_seed: orders the groups; fixed, so that a sweep over `seed` keeps its split.
        balance: give the parts that fractions and folds make the same share of empty masks, where it is known.
        test_fraction: share of the groups that neither trains nor validates.
        val_fraction: share of the other groups that validates.
        folds: K of K-fold cross-validation by group; replaces val_fraction.
        fold: which of the K folds validates.
        sample_fraction: share of the groups without the test part's to use at all.
        cache: what is decoded once, at `size`, and mapped into memory from then on: "none"; "masks", all but the
            images; "memory", everything, in memory that processes share while one uses it; "disk", in files.
        cache_dir: folder of the caches on a disk; None: $SEGFIELD_CACHE, else ~/.cache/segfield.
        on_error: of a file that cannot be read: "raise" ends the run, "skip" leaves its sample out of every score.
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
    split: Literal["fractions", "own"] | None = None
    split_file: str | None = None
    split_seed: int = 0
    balance: bool = True
    test_fraction: float = 0.0
    val_fraction: float = 0.2
    folds: int | None = None
    fold: int | None = None
    sample_fraction: float = 1.0
    cache: Literal["none", "masks", "memory", "disk"] = "none"
    cache_dir: str | None = None
    on_error: Literal["raise", "skip"] = "raise"

    def __post_init__(self) -> None:
        if self.size is not None and not _is_size(self.size):
            raise ValueError(f"data.size is [H,W] in pixels, for example data.size=[256,384]; got {self.size}.")
        if self.num_workers < 0:
            raise ValueError(f"data.num_workers={self.num_workers} is a number of processes, 0 or more. Use 0.")
        for needs, off in ((f"cache={self.cache}", "cache=none"), (f"on_error={self.on_error}", "on_error=raise")):
            if needs != off and self.size is None:
                raise ValueError(
                    f"data.{needs} needs samples of one size, and data.size is null: the files' own. Use for example "
                    f"data.size=[256,256], or data.{off}."
                )
        for name, value in (("mean", self.mean), ("std", self.std)):
            if not isinstance(value, int | float) and len(value) != self.in_channels:
                raise ValueError(
                    f"data.{name}={list(value)} has {len(value)} numbers, data.in_channels is {self.in_channels}. "
                    f"Give one number, or one per channel."
                )


def _is_size(size: object) -> bool:
    return isinstance(size, list | tuple) and len(size) == 2 and all(isinstance(n, int) and n > 0 for n in size)
