"""Brain tumours in MRI, in three layouts: lgg (kaggle_3m), coco (Roboflow's exports), figshare (MATLAB files).

One module a layout: which files it has, and what a sample of it reads. Here: which layout a folder has, and how
intensities become bytes. The group is a patient; in coco it is a picture with its augmented copies, or a fold.
"""

import contextlib
import logging
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, final

import numpy as np

from segfield.data.brain_tumour import coco, figshare, lgg
from segfield.data.brain_tumour.intensity import limits, stretched
from segfield.data.brain_tumour.telling import Tree
from segfield.data.images import binary, check_sizes, nearest, read_image, read_mask, resized
from segfield.data.module import PixelwiseData
from segfield.data.sample import Sample
from segfield.data.tree import walked

log = logging.getLogger(__name__)

_DEEPEST = 4  # folders below the root: as deep as a zip in a folder of its own puts a patient's slices
_FLAIR = 1  # of the channels of LGG: pre-contrast, FLAIR, post-contrast
_FIND: Mapping[str, Callable[[Tree], Mapping[Any, Any]]] = {
    "lgg": lgg.find,
    "coco": coco.find,
    "figshare": figshare.find,
}
_WANTED = {"lgg": lgg.WANTED, "coco": coco.WANTED, "figshare": figshare.WANTED}


@final
@dataclass(kw_only=True, eq=False, repr=False)
class BrainTumour(PixelwiseData):
    """Slices [C, H, W] and their tumours.

    out_channels says what is told apart: 1 (or 2) tumour against background, more one class per kind of tumour: coco by
    the categories' names, figshare by its labels 1 to 3.

    Args:
        root: folder of the data set.
        layout: None recognises it by the files.
        channels: "flair" takes that sequence of lgg alone, as one channel.
        intensity: "file" takes bytes as they are stored (lgg, coco), "image" stretches the range of each slice to
            0 .. 255, "volume" that of all slices of its patient (lgg, figshare), each channel by its own; None: "image"
            for figshare, whose numbers have no common range, else "file".
        percentiles: lower and upper end of that range, of the pixels; what lies outside is clipped.
        fold_file: figshare's cvind.mat: its folds are the groups; relative to root if it lies there.
    """

    suffixes: ClassVar[Sequence[str]] = (".mat",)
    picture_alone: ClassVar[bool] = True
    root: str | None = None
    layout: Literal["lgg", "coco", "figshare"] | None = None
    channels: Literal["all", "flair"] = "all"
    intensity: Literal["file", "image", "volume"] | None = None
    percentiles: Sequence[float] = (0, 100)
    fold_file: str | None = None
    _volumes: dict[Path, tuple[Path, ...]] = field(default_factory=dict, init=False)  # by each of their slices
    _limits: dict[tuple[Path, ...], np.ndarray] = field(default_factory=dict, init=False)  # of volumes
    _patients: dict[Path, dict[str, list[Path]]] = field(default_factory=dict, init=False)  # of folders of .mat files

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_settings()

    def samples(self) -> list[Sample]:
        """List the slices of the layout that the folder has."""
        root = Path(self._existing_root())
        tree = dict(walked(root, _DEEPEST))
        layout, found = self._recognised(root, tree)
        self._check_layout(layout)
        folds = None if self.fold_file is None else figshare.read_folds(self._fold_path(root))
        if layout == "lgg":
            known = self._kept is None and self.balance
            return lgg.samples(root, found, self._tell, empty=known)
        if layout == "coco":
            classes = coco.Classes(self.classes, self.out_channels)
            other = self.split == "fractions" or self.folds is not None or self.split_file is not None
            return coco.samples(root, found, tree, classes, folds, self._tell, parts=not other)
        return figshare.samples(root, found, folds, self._tell)

    def read(self, sample: Sample, size: Sequence[int] | None) -> dict[str, np.ndarray]:
        """Read one slice: image [C, H, W] uint8, target [H, W] uint8 of classes.

        Raises:
            ValueError: if a file is damaged, or a mask does not belong to its image.
        """
        files = sample.attributes
        path = files["image"]
        if "mask" in files:
            image, mask = self._stored(path, None), read_mask(files["mask"])
            check_sizes(path, image.shape[1:], files["mask"], mask.shape)
            target = binary(mask, files["mask"])
        elif "annotations" in files:
            target = coco.target_of(path, files["annotations"])
            image = self._stored(path, size)
        else:
            image, target, label = figshare.read_pair(path)
            target = target * np.uint8(label) if self.out_channels > 2 else target
        return {"image": self._bytes(image, path, size), "target": nearest(target, size)}

    def read_picture(self, path: Path, size: Sequence[int] | None) -> np.ndarray:
        """Read a slice without its mask: [C, H, W] uint8.

        By intensity=volume the volume of one that is no sample is what lies beside it: `<patient>_<n>.tif` of its
        patient, .mat of its PID. A picture of another name is a volume of its own.
        """
        image = figshare.read_slice(path) if _is_mat(path) else self._stored(path, size)
        return self._bytes(image, path, size)

    def _stored(self, path: Path, size: Sequence[int] | None) -> np.ndarray:
        """Read a picture's channels as they are stored, resized only where its intensities are not stretched later."""
        size = size if self.intensity in (None, "file") else None
        if self.channels == "flair":
            return read_image(path, 3, size)[_FLAIR : _FLAIR + 1]
        return read_image(path, self.in_channels, size)

    def _bytes(self, image: np.ndarray, path: Path, size: Sequence[int] | None) -> np.ndarray:
        """Make stored intensities [C, h, w] bytes [C, H, W]; one channel is repeated where more are wanted."""
        if self.intensity == "volume":
            image = stretched(image, self._limits_of(path))
        elif self.intensity == "image" or _is_mat(path):
            image = stretched(image, limits([image], self.percentiles))
        image = resized(image, size)
        return image if len(image) == self.in_channels else np.repeat(image, self.in_channels, axis=0)

    def _limits_of(self, path: Path) -> np.ndarray:
        """Return the range of the volume of a slice, found once in each process; what cannot be read does not count."""
        volume = self._volume_of(path)
        if volume not in self._limits:
            slices = []
            for one in volume:
                with contextlib.suppress(ValueError, OSError):  # told when that slice's turn comes
                    slices.append(figshare.read_slice(one) if _is_mat(one) else self._stored(one, None))
            self._limits[volume] = limits(slices, self.percentiles)
        return self._limits[volume]

    def _volume_of(self, path: Path) -> tuple[Path, ...]:
        """Return the slices in use of a slice's patient: of the split, so that a run that goes on has the same."""
        if self._samples and not self._volumes:
            volumes: dict[str, list[Path]] = defaultdict(list)
            for sample in self._samples:
                volumes[sample.labels.get("patient", sample.group)].append(sample.attributes["image"])
            self._volumes = {path: tuple(paths) for paths in volumes.values() for path in paths}
        if path in self._volumes:
            return self._volumes[path]
        return figshare.volume_of(path, self._patients) if _is_mat(path) else lgg.volume_of(path)

    def _tell(self, kind: str, names: Sequence[str], message: str, fatal: bool) -> None:
        """Tell an audit of files that cannot be used; without one it is an error, or a warning."""
        if fatal or self.findings is not None:
            self.found(kind, names, message)
        else:
            log.warning(message)

    def _existing_root(self) -> str:
        if self.root is None:
            raise FileNotFoundError(_nothing("data.root is not set"))
        if not Path(self.root).is_dir():
            raise FileNotFoundError(_nothing(f"there is no folder {Path(self.root).absolute()}"))
        return self.root

    def _recognised(self, root: Path, tree: Tree) -> tuple[str, Any]:
        """Return the layout, and what its module found of it."""
        asked = list(_FIND) if self.layout is None else [self.layout]
        found = {layout: _FIND[layout](tree) for layout in asked}
        layouts = [layout for layout, files in found.items() if files]
        if not layouts:
            raise FileNotFoundError(_nothing(f"no files of {' or '.join(found)} in {root.absolute()}"))
        if len(layouts) > 1:
            raise ValueError(
                f"{root} holds files of {' and of '.join(_WANTED[layout] for layout in layouts)}: which one counts? "
                f"Use data.layout={layouts[0]} or data.layout={layouts[1]}, or a folder of one layout."
            )
        why = "recognised by its files" if self.layout is None else f"as data.layout={self.layout} says"
        log.info("Brain tumours: layout %s in %s, %s.", layouts[0], root, why)
        return layouts[0], found[layouts[0]]

    def _fold_path(self, root: Path) -> Path:
        beside = root / str(self.fold_file)
        return beside if beside.is_file() else Path(str(self.fold_file))

    def _check_settings(self) -> None:
        """Refuse what no layout could mean."""
        if self.channels == "flair" and self.in_channels != 1:
            raise ValueError(
                f"data.channels=flair is one channel, data.in_channels is {self.in_channels}. Use data.in_channels=1, "
                "or data=brain_tumour_flair, which sets both."
            )
        ends = list(self.percentiles)
        if len(ends) != 2 or not 0 <= ends[0] < ends[1] <= 100:
            raise ValueError(
                f"data.percentiles={ends} must be two numbers from 0 to 100, the lower one first. Use [0,100]."
            )

    def _check_layout(self, layout: str) -> None:
        """Refuse what this layout has not."""
        several = f"{len(figshare.TUMOURS)} kinds of tumour ({', '.join(figshare.TUMOURS)})"
        wrong = {
            "lgg": (
                (self.channels == "all" and self.in_channels != 3, "has 3 channels", "data.in_channels=3"),
                (self.out_channels > 2, "has one kind of tumour", "data.out_channels=1"),
                (self.fold_file is not None, "has no data.fold_file", "data.folds=5 data.fold=0"),
            ),
            "coco": (
                (self.channels == "flair", "has no FLAIR channel", "data.channels=all"),
                (self.intensity == "volume", "has no volumes", "data.intensity=file"),
            ),
            "figshare": (
                (self.channels == "flair", "has no FLAIR channel", "data.channels=all"),
                (self.intensity == "file", "has intensities without a common range", "data.intensity=image"),
                (self.in_channels not in (1, 3), "has 1 channel, which may be repeated", "data.in_channels=1 or 3"),
                (
                    self.out_channels not in (1, 2, 4),
                    f"has {several}",
                    "data.out_channels=1, or data=brain_tumour_classes",
                ),
            ),
        }
        for is_wrong, what, fix in wrong[layout]:
            if is_wrong:
                raise ValueError(
                    f"The layout {layout} {what}; the configuration has data.in_channels={self.in_channels}, "
                    f"out_channels={self.out_channels}, channels={self.channels}, intensity={self.intensity}, "
                    f"fold_file={self.fold_file}. Use {fix}."
                )


def _is_mat(path: Path) -> bool:
    return path.suffix.lower() == ".mat"


def _nothing(found: str) -> str:
    return (
        f"Brain tumours: {found}. Looked for {'; '.join(_WANTED.values())}. Unpack one of these sets and name its "
        "folder by data.root=<folder>, or put it at $SEGFIELD_DATA/brain_tumour. To try without: data=blobs needs no "
        "files."
    )
