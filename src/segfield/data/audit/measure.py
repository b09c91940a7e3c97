"""One sample of a data set in numbers: read as training reads it, then measured; damage is told, never raised."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import imagehash
import numpy as np
from PIL import Image

from segfield.data.images import file_size, read_mask
from segfield.data.loader import tensors
from segfield.data.module import PixelwiseData
from segfield.data.sample import Sample

# What is wrong with a sample that cannot be used.
UNREADABLE, OTHER_SIZE, VALUES, UNFIT = "unreadable", "mask size", "mask values", "unfit"
_KEPT = 512  # values of a float image that are kept for percentiles, per channel
_FEW = 32  # values of a mask file that are listed; more are greys
SMALL = 16  # side of the picture that nearly equal ones are compared by
_HASHED = 256  # longest side of the picture that is hashed, after a fast reduction


class Stored(NamedTuple):
    """A file as its header describes it; size [H, W], None of what is no picture."""

    kind: str
    mode: str
    size: tuple[int, int] | None


class Channels(NamedTuple):
    """Values of an image, per channel: uint8 ones as histogram [C, 256], floats as a few of them [C, n]."""

    pixels: int
    total: np.ndarray
    squares: np.ndarray
    least: np.ndarray
    most: np.ndarray
    values: np.ndarray
    infinite: int


class Measured(NamedTuple):
    """A sample in numbers. `problem` says why it cannot be used; what follows is empty then."""

    files: Mapping[str, Stored]
    problem: str | None = None
    message: str = ""
    size: tuple[int, int] = (0, 0)
    channels: Channels | None = None
    classes: tuple[int, ...] = ()  # pixels of each class; of a target in floats: none
    share: float = 0.0  # of the pixels that are not background
    target_range: tuple[float, float] | None = None  # of a target in floats
    stored_values: tuple[int, ...] = ()  # of the mask's file
    digest: str = ""  # of the image's pixels
    target_digest: str = ""
    hash64: int = 0
    small: bytes = b""  # the picture at 16x16, RGB
    is_constant: bool = False


def measure(data: PixelwiseData, sample: Sample) -> Measured:
    """Read a sample at data.size, else its own size, and measure it."""
    paths = {name: value for name, value in sample.attributes.items() if isinstance(value, Path)}
    files = {name: _stored(path) for name, path in paths.items()}
    try:
        arrays = data.read(sample, data.size)
        image, target, valid = arrays["image"], arrays["target"], arrays.get("valid")
        tensors(sample.id, arrays, data.in_channels, data.size, data.out_channels)  # refuses what a batch refuses
    except (ValueError, OSError) as error:
        return Measured(files, _kind(files, paths), str(error))
    inside = target.reshape(-1, *target.shape[-2:])[0] if target.dtype.kind == "f" else target
    if valid is not None:
        inside = inside[valid[0]]
    counts = np.bincount(inside.ravel(), minlength=_classes(data)) if inside.dtype.kind in "iub" else np.zeros(0, int)
    floats = (float(target.min()), float(target.max())) if target.dtype.kind == "f" else None
    seen = _picture(image)
    seen.thumbnail((_HASHED, _HASHED), Image.Resampling.BOX)
    constant = bool((image == image[:, :1, :1]).all())
    return Measured(
        files,
        size=(int(image.shape[-2]), int(image.shape[-1])),
        channels=_channels(image),
        classes=tuple(counts.tolist()),
        share=float(np.count_nonzero(inside)) / max(inside.size, 1),
        target_range=floats,
        stored_values=_stored_values(paths.get("mask")),
        digest=_digest(image),
        target_digest=_digest(target),
        hash64=0 if constant else _hash64(seen),
        small=seen.convert("RGB").resize((SMALL, SMALL), Image.Resampling.BOX).tobytes(),
        is_constant=constant,
    )


def _classes(data: PixelwiseData) -> int:
    return 2 if data.out_channels == 1 else data.out_channels


def _stored(path: Path) -> Stored:
    """Describe a file by its header; a damaged one is described by read()."""
    kind = path.suffix.lower().removeprefix(".") or "no suffix"
    try:
        with Image.open(path) as opened:
            return Stored(kind, opened.mode, (opened.height, opened.width))
    except Exception:  # whatever a damaged header brings about
        return Stored(kind, "", None)


def _kind(files: Mapping[str, Stored], paths: Mapping[str, Path]) -> str:
    """Say what is wrong with a sample that read() refused."""
    for name, path in paths.items():
        if files[name].size is None:
            return UNREADABLE
        try:
            file_size(path)
            with Image.open(path) as opened:
                opened.load()
        except Exception:  # a decoder of damaged content raises anything
            return UNREADABLE
    if "image" in files and "mask" in files:
        return OTHER_SIZE if files["image"].size != files["mask"].size else VALUES
    return UNFIT


def _picture(image: np.ndarray) -> Image.Image:
    """Return [C, H, W] as a picture to hash: three channels in colours, else the first; floats are stretched."""
    shown = image[:3] if len(image) >= 3 else image[:1]
    if shown.dtype != np.uint8:
        finite = np.isfinite(shown)
        low, high = (float(shown[finite].min()), float(shown[finite].max())) if finite.any() else (0.0, 0.0)
        scaled = (np.where(finite, shown, low) - low) * (255 / (high - low)) if high > low else np.zeros(shown.shape)
        shown = np.rint(scaled).astype(np.uint8)
    planes = [Image.fromarray(plane) for plane in shown]
    return planes[0] if len(planes) == 1 else Image.merge("RGB", planes)  # faster than a transposed array


def _stored_values(mask: Path | None) -> tuple[int, ...]:
    """Return the values of a mask's file, the first _FEW + 1 of them."""
    if mask is None:
        return ()
    try:
        values = read_mask(mask)
    except (ValueError, OSError):  # no picture, but read() knew what to do
        return ()
    if values.dtype == np.uint8:
        return tuple(np.flatnonzero(Image.fromarray(values).histogram())[: _FEW + 1].tolist())
    return tuple(np.unique(values)[: _FEW + 1].tolist())


def _channels(image: np.ndarray) -> Channels:
    flat = image.reshape(len(image), -1)
    if image.dtype == np.uint8:
        counts = np.array([Image.fromarray(channel).histogram() for channel in image], dtype=np.int64)
        levels = np.arange(256) / 255
        present = [np.flatnonzero(row) for row in counts]
        least, most = (np.array([levels[row[at]] for row in present]) for at in (0, -1))
        return Channels(flat.shape[1], counts @ levels, counts @ levels**2, least, most, counts, 0)
    finite = np.isfinite(flat)
    values = np.where(finite, flat, 0).astype(np.float64)
    kept = np.ascontiguousarray(values[:, :: max(1, values.shape[1] // _KEPT)], dtype=np.float32)
    sums = values.sum(axis=1), (values**2).sum(axis=1), values.min(axis=1), values.max(axis=1)
    return Channels(flat.shape[1], *sums, kept, int(finite.size - np.count_nonzero(finite)))


def _digest(array: np.ndarray) -> str:
    content = hashlib.sha256(f"{array.dtype} {array.shape}".encode())
    content.update(np.ascontiguousarray(array).data)
    return content.hexdigest()[:32]


def _hash64(seen: Image.Image) -> int:
    """Return ImageHash's perceptual hash: the signs of 64 low frequencies, against their median."""
    bits: np.ndarray = imagehash.phash(seen).hash
    return int.from_bytes(np.packbits(bits.ravel()).tobytes(), "big")
