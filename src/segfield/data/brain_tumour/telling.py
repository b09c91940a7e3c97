"""What the layouts share: which files there are, and how an audit or a run is told of those that cannot be used."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

Tree = Mapping[Path, list[str]]  # names of files by folder, relative to the root, in the order of tree.walked()
Tell = Callable[[str, Sequence[str], str, bool], None]  # kind, names of files, message, whether training cannot begin
