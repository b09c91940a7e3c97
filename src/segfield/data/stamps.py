"""Is a file still what it was when the run began? Its size and time say so at every read; its hash where they differ.

The hashes of a whole data set are compared when a run begins and when it goes on (run/data.py), not here.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import final

from segfield.data.fingerprint import hashed

_REMEDY = "Give the file of the beginning back and continue the run, or start a new run."


@final
class Stamps:
    """Sizes and times of files, taken when it is made.

    Args:
        digests: by file, the hash of its content; one that cannot be seen is left to whoever reads it.
    """

    def __init__(self, digests: Mapping[Path, str]) -> None:
        self._digests = digests
        self._known = {path: stamp for path in digests if (stamp := _stamp(path))}

    def check(self, files: Iterable[Path]) -> None:
        """Compare files that are about to be read with what they were.

        Raises:
            FileNotFoundError: if one is gone.
            ValueError: if one has changed; the message names it. A new time alone is no change.
        """
        for path in files:
            before, now = self._known.get(path), _stamp(path)
            if before is None or before == now:
                continue
            if now is None:
                raise FileNotFoundError(
                    f"{path} is gone: it had {before[0]:,} bytes when this run looked for its data. {_REMEDY}"
                )
            if now[0] == before[0] and hashed(path) == (before[0], self._digests[path]):
                self._known[path] = now
                continue
            what = f"it had {before[0]:,} bytes, now {now[0]:,}" if now[0] != before[0] else "its content is another"
            raise ValueError(f"{path} has changed since this run looked at its data: {what}. {_REMEDY}")


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns
