"""Samples as items of a batch: from files that are watched for changes, or from a cache; what cannot be read is told.

With data.on_error=skip an unreadable sample is an image of zeros without a valid pixel, so that neither the shape of
its batch nor the order of the others changes.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, final

import numpy as np

from segfield.data.cache import Cache, key_of, opened
from segfield.data.cache_build import Arrays, Layout, layout_of
from segfield.data.fingerprint import Row, fingerprint, named
from segfield.data.hooks import Hooks
from segfield.data.loader import tensors
from segfield.data.sample import Sample
from segfield.data.stamps import Stamps

_HINT = "A new run with data.on_error=skip leaves such samples out, and counts them."

_log = logging.getLogger(__name__)


def _files(sample: Sample) -> list[Path]:
    return [value for value in sample.attributes.values() if isinstance(value, Path)]


@final
class Items:
    """The samples in use, by index.

    Args:
        samples: in use.
        how: the data module's settings, and what it says of all samples.
        read: gives a sample's arrays at a size.
        picture: gives the image of a file at a size; asked with a cache of masks.
        places: folders that files lie in, each with the name that tells its files from others'.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        how: Hooks,
        read: Callable[[Sample, Sequence[int] | None], Arrays],
        picture: Callable[[Path, Sequence[int] | None], np.ndarray],
        places: Mapping[Path, str],
    ) -> None:
        self._samples, self._how, self._read, self._picture = samples, how, read, picture
        self._places = {**places, **{folder.resolve(): name for folder, name in places.items()}}
        self._rows: list[Row] | None = None
        self._stamps: Stamps | None = None
        self._layout: Layout | None = None
        self._cache: Cache | None = None
        self._common = how.common_files()
        self.skipped: dict[str, str] = {}  # why, by id: of the batches that came to this process

    def fingerprint(self) -> list[Row]:
        """Hash the files, at the first call; from then on one that changes is an error where it is read."""
        if self._rows is None:
            samples = [(sample.id, sample.attributes) for sample in self._samples]
            skip = self._how.on_error == "skip"
            rows = fingerprint(samples, self._places, self.read, skip=skip, common=self._common)
            self.keep_fingerprint(rows)
            return rows
        return self._rows

    def keep_fingerprint(self, rows: Sequence[Row]) -> None:
        """Take rows for what fingerprint() gives."""
        digests = {name: digest for _, name, _, digest in rows}
        files = {path for sample in self._samples for path in _files(sample)} | set(self._common)
        self._rows = list(rows)
        self._stamps = Stamps({path: digests.get(named(path, self._places), "") for path in files})

    def open_cache(self) -> None:
        """Open the cache, if there is to be one and it is not open yet; the first process that comes builds it."""
        if self._how.cache != "none" and self._cache is None:
            ids = [sample.id for sample in self._samples]
            key = key_of(self._how, ids, self.fingerprint(), self._how.statistics())
            self._cache = opened(self._how, ids, key, self.read)

    def note(self, skipped: Mapping[str, str]) -> None:
        """Count the skipped samples of a batch, and tell of each once."""
        for id_, why in skipped.items():
            if id_ not in self.skipped:
                self.skipped[id_] = why
                _log.warning("skipped %s, %d so far: %s", id_, len(self.skipped), why)

    def __getitem__(self, index: int) -> dict[str, Any]:
        sample, how = self._samples[index], self._how
        item: dict[str, Any] = {"id": sample.id, "group": sample.group, "index": index}
        try:
            arrays = self._arrays(index)
        except (ValueError, OSError) as error:
            if how.on_error != "skip":
                raise _told(error) from error
            arrays, item["skipped"] = self._blank(), str(error)
        found = tensors(sample.id, arrays, how.in_channels, how.size, how.out_channels)
        return {**found, **how.constants(), **item}

    def read(self, index: int) -> Arrays:
        """Read a sample from its files.

        Raises:
            FileNotFoundError: if a file is gone.
            OSError: if it cannot be read.
            ValueError: if it has changed or cannot be used.
        """
        try:
            self._check(index)
            return self._read(self._samples[index], self._how.size)
        except (ValueError, OSError) as error:
            if self._how.on_error == "skip":
                raise
            raise _told(error) from error

    def _arrays(self, index: int) -> Arrays:
        """Give a sample's arrays, from the cache as far as that has them."""
        cache = self._cache
        # What was unreadable then is tried again: it may have been changed, or out of reach, only while that was built.
        if cache is None or self._samples[index].id in cache.unreadable:
            return self.read(index)
        found = cache.arrays(index)
        if "image" not in found:
            self._check(index)
            found["image"] = self._picture(self._samples[index].attributes["image"], self._how.size)
        return found

    def _check(self, index: int) -> None:
        if self._stamps is not None:
            self._stamps.check([*_files(self._samples[index]), *self._common])

    def _blank(self) -> Arrays:
        """Give zeros like the first sample that can be read, none of them valid."""
        if self._layout is None:
            self._layout = self._first_layout()
        found = {name: np.zeros(shape, dtype) for name, (dtype, shape) in self._layout.items()}
        return {**found, "valid": np.zeros((1, *found["image"].shape[-2:]), dtype=np.bool_)}

    def _first_layout(self) -> Layout:
        why: Exception | None = None
        for index in range(len(self._samples)):
            try:
                return layout_of(self._arrays(index))
            except (ValueError, OSError) as error:
                why = why or error
        raise ValueError(f"None of {len(self._samples)} samples can be read, of the first: {why}") from why


def _told(error: ValueError | OSError) -> ValueError | OSError:
    """Return an error of the same kind that says how to go on without the sample."""
    kind = FileNotFoundError if isinstance(error, FileNotFoundError) else ValueError
    return error if str(error).endswith(_HINT) else kind(f"{error} {_HINT}")
