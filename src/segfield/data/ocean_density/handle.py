"""Handle: an open NetCDF file in each process that reads it; it is pickled, and forked, closed."""

import os
from collections.abc import Callable
from typing import Any, final


@final
class Handle:
    """Opens a file when it is first asked for in a process.

    Args:
        opener: returns the open file; it can be pickled.
    """

    def __init__(self, opener: Callable[[], Any]) -> None:
        self._opener = opener
        self._process, self._file = -1, None

    def __call__(self) -> Any:
        """Return the open file of this process."""
        if self._process != os.getpid():  # HDF5's state is not to be shared with the process that forked this one
            self._file, self._process = self._opener(), os.getpid()
        return self._file

    def __getstate__(self) -> dict[str, Any]:
        return {"_opener": self._opener, "_process": -1, "_file": None}
