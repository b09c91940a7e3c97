"""Image and mask files as arrays at the working size: one loader for training, validation and prediction.

Pixels stay as they are stored: an EXIF orientation is not applied, since masks are drawn on the stored pixels.
Sixteen-bit grey becomes eight bits by its full range, v / 257; stretch a narrower range before.
Not here: run-length masks (rle.py), which values mean which class (the data modules).
"""

import contextlib
import struct
import threading
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

_MODES = {1: "L", 3: "RGB"}
_LFS = b"version https://git-lfs"
_MAX_PIXELS = 2**30  # of one file: 1 GiB of grey, 3 GiB of RGB
# What Pillow's decoders let through for damaged content, besides OSError and SyntaxError.
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, IndexError, KeyError, TypeError)


class _UnfitError(ValueError):
    """A sound file that is not what is needed here."""


def read_image(path: str | Path, channels: int, size: Sequence[int] | None = None) -> np.ndarray:
    """Read a picture, resized by a bicubic filter (with antialiasing).

    JPEG is decoded at the smallest of 1/1, 1/2, 1/4, 1/8 that is still at least `size`.

    Args:
        path: of any file that Pillow reads.
        channels: C; 1 makes grey of colours (ITU-R 601), 3 repeats grey. Transparency is dropped.
        size: [H, W]; None keeps the file's.

    Returns:
        [C, H, W] uint8, writable.

    Raises:
        ValueError: if the file cannot be used: what was found, and the fix.
    """
    if channels not in _MODES:
        raise ValueError(f"Pictures are read with 1 channel (grey) or 3 (RGB); got data.in_channels={channels}. Use 3.")
    with _opened(path) as picture:
        if size is not None:
            picture.draft(_MODES[channels], (size[1], size[0]))
        picture = _eight_bits(picture, path).convert(_MODES[channels])
        if size is not None and picture.size != (size[1], size[0]):
            picture = picture.resize((size[1], size[0]), Image.Resampling.BICUBIC)
        # One plane after the other: twice as fast as to transpose [H, W, 3].
        return np.stack([np.asarray(band) for band in picture.split()])


def read_mask(path: str | Path, size: Sequence[int] | None = None) -> np.ndarray:
    """Read a mask's stored values, resized to the nearest pixel.

    Args:
        path: of any file that Pillow reads.
        size: [H, W]; None keeps the file's.

    Returns:
        [H, W] integers, writable: palette indices for a palette, {0, 1} for one bit, else the grey value.

    Raises:
        ValueError: if the file cannot be used or holds colours: what was found, and the fix.
    """
    with _opened(path) as picture:
        if picture.mode not in {"1", "P", "PA", "L", "LA", "I", "I;16", "I;16B", "I;16L", "RGB", "RGBA"}:
            raise _UnfitError(
                f"{path} has mode {picture.mode}, which is no mask: a mask holds one whole number per pixel. "
                "Save it as 8-bit grey PNG."
            )
        array = np.array(picture)
    if array.ndim == 3:
        grey = array[..., 0]
        coloured = (array[..., 1:3] != grey[..., None]).any(axis=2) if array.shape[2] >= 3 else False  # LA, PA: alpha
        if np.any(coloured):
            raise ValueError(
                f"{path} is a colour mask: R, G and B differ at {np.count_nonzero(coloured)} pixels, but a mask holds "
                "one number per pixel. Save it as grey or palette PNG with one value per class."
            )
        array = np.ascontiguousarray(grey)
    return nearest(array.astype(np.uint8) if array.dtype == np.bool_ else array, size)


def nearest(mask: np.ndarray, size: Sequence[int] | None) -> np.ndarray:
    """Resize [h, w] to size [H, W]: each pixel takes the value at its centre. None changes nothing."""
    if size is None or mask.shape == tuple(size):
        return mask
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.intp) for old, new in zip(mask.shape, size, strict=True)
    )
    return np.asarray(mask.take(rows, axis=0).take(columns, axis=1))


def resized(image: np.ndarray, size: Sequence[int] | None) -> np.ndarray:
    """Resize [C, h, w] uint8 to size [H, W] by a bicubic filter (with antialiasing). None changes nothing."""
    if size is None or image.shape[1:] == tuple(size):
        return image
    side = (size[1], size[0])
    return np.stack([np.asarray(Image.fromarray(channel).resize(side, Image.Resampling.BICUBIC)) for channel in image])


def suffixes() -> set[str]:
    """Return the endings of file names that Pillow reads, in lower case: ".png", ".tif", ..."""
    Image.init()
    return {suffix for suffix, kind in Image.registered_extensions().items() if kind in Image.OPEN}


def file_size(path: str | Path) -> tuple[int, int]:
    """Return (H, W) of a file from its header, as stored.

    Raises:
        ValueError: if the file is no image.
    """
    with _opened(path) as picture:
        return picture.height, picture.width


def check_same_size(image: str | Path, mask: str | Path) -> None:
    """Compare the sizes in two files' headers.

    Raises:
        ValueError: if they differ: a mask belongs to its image pixel by pixel.
    """
    check_sizes(image, file_size(image), mask, file_size(mask))


def check_sizes(image: str | Path, size: Sequence[int], mask: str | Path, of_mask: Sequence[int]) -> None:
    """Compare the sizes (H, W) of an image and of its mask, which are named in the message.

    Raises:
        ValueError: if they differ: a mask belongs to its image pixel by pixel.
    """
    if tuple(size) != tuple(of_mask):
        raise ValueError(
            f"{image} is {size[0]}x{size[1]} but its mask {mask} is {'x'.join(map(str, of_mask))} (HxW): a mask must "
            "have the size of its image. Export the mask again, or remove the pair."
        )


def binary(mask: np.ndarray, name: str | Path) -> np.ndarray:
    """Turn a mask of {0, 1} or {0, 255} into uint8 of {0, 1}.

    Raises:
        ValueError: if it holds other values; which, and whose it is.
    """
    inside, top = mask > 0, mask.max(initial=0)
    if top not in (0, 1, 255) or mask.min(initial=0) < 0 or (inside & (mask < top)).any():
        found = np.unique(mask)
        raise ValueError(
            f"{name} holds {len(found)} values from {found[0]} to {found[-1]}; a binary mask holds {{0, 1}} or "
            "{0, 255}. Resized or JPEG masks have such greys: copy the data set's own files."
        )
    return np.asarray(inside.astype(np.uint8))


@contextlib.contextmanager
def _opened(path: str | Path) -> Iterator[Image.Image]:
    """Open a file with one picture; whatever its content does inside the block names the file."""
    try:
        with _unlimited(), Image.open(path) as picture:
            _check_one_picture(picture, path)
            yield picture
    except (FileNotFoundError, _UnfitError):
        raise
    except _DAMAGE as error:
        raise ValueError(diagnosis(path, error)) from error


class _Limit:
    """Pillow's own limit, put aside while a thread of ours reads: it warns at 89 megapixels, _MAX_PIXELS is ours."""

    lock, readers, kept = threading.Lock(), 0, Image.MAX_IMAGE_PIXELS


@contextlib.contextmanager
def _unlimited() -> Iterator[None]:
    with _Limit.lock:
        if _Limit.readers == 0:
            _Limit.kept, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        _Limit.readers += 1
    try:
        yield
    finally:
        with _Limit.lock:
            _Limit.readers -= 1
            if _Limit.readers == 0:
                Image.MAX_IMAGE_PIXELS = _Limit.kept


def _check_one_picture(picture: Image.Image, path: str | Path) -> None:
    pixels = picture.width * picture.height
    if pixels > _MAX_PIXELS:
        raise _UnfitError(f"{path} has {pixels} pixels; at most {_MAX_PIXELS} are read at once. Cut it in tiles.")
    frames = getattr(picture, "n_frames", 1)
    if frames > 1 and picture.format != "MPO":  # a camera's MPO is a JPEG with its preview
        raise _UnfitError(
            f"{path} is a stack of {frames} pictures; one file is one sample. Save each picture as a file of its own."
        )


def _eight_bits(picture: Image.Image, path: str | Path) -> Image.Image:
    """Return a picture that converts to L and RGB without loss of range or a warning."""
    if picture.mode.startswith("I;16"):
        return Image.fromarray(((np.asarray(picture, dtype=np.uint32) + 128) // 257).astype(np.uint8))
    if picture.mode in {"I", "F"}:
        raise _UnfitError(
            f"{path} has mode {picture.mode} (32-bit numbers), whose black and white are unknown. "
            "Save it as 8- or 16-bit grey."
        )
    return picture.convert("RGBA") if picture.mode == "P" and "transparency" in picture.info else picture


def diagnosis(path: str | Path, error: BaseException) -> str:
    """Say what a file that a reader refused is, and what to do."""
    try:
        with Path(path).open("rb") as file:
            start = file.read(64)
    except OSError as refused:
        return f"{path} cannot be read: {refused.strerror or refused}. Check its permissions and its disk."
    if start.startswith(_LFS):
        return f"{path} is a Git LFS pointer, not the image itself. Fetch the content with `git lfs pull`."
    if not start:
        return f"{path} is empty (0 bytes). Copy or download it again."
    if isinstance(error, UnidentifiedImageError):
        return f"{path} is no image that Pillow can read: it begins with {start[:16]!r}. Copy or download it again."
    return f"{path} is damaged or cut short: {error or type(error).__name__}. Copy or download it again."
