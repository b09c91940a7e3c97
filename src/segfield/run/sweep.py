"""A sweep is a folder: sweep.yaml says which jobs it has, each has a run folder named by its number.

    sweep.yaml   the jobs, written whole before the first of them starts
    sweep.csv    a row a job: how it ended, its varied overrides, its best score
    folds.csv    mean and standard deviation over data.fold, where a sweep varies it
    lock.json    who runs the sweep; one at a time
    <number>/    a run folder

Knows no Hydra: launcher.py plans a sweep, this file runs it, again and again until every job has ended.
"""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, final

import yaml

from segfield.files import write_text
from segfield.run.inside import links_outside
from segfield.run.job import Job

NAME = "sweep.yaml"
_HEADER = "# Written by segfield. Run or continue the sweep: python -m segfield execute <this folder>\njobs:\n"
_TYPES = {"number": int, "digest": str, "monitor": str, "mode": str, "epochs": int, "overrides": list}
_KNOWN = tuple(field.name for field in dataclasses.fields(Job))


@final
class Sweep:
    """The jobs of a sweep folder; make it, and add to it, under the folder's lock.

    Args:
        folder: of the sweep.

    Raises:
        ValueError: if sweep.yaml is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.jobs: dict[int, Job] = {}
        self._lines: dict[int, str] = {}
        if (folder / NAME).exists():
            self._note(_read(folder / NAME))

    def add(self, jobs: Iterable[Job]) -> None:
        """Write the jobs to sweep.yaml that it does not hold yet."""
        new = [job for job in jobs if self.jobs.get(job.number) != job]
        if new:
            self._note(new)
            write_text(self.folder / NAME, _HEADER + "".join(self._lines[number] for number in sorted(self._lines)))

    def highest(self) -> int:
        """Return the highest number that a job or a folder has; -1 where there is none."""
        names = (path.name for path in self.folder.iterdir()) if self.folder.exists() else ()
        return max([-1, *self.jobs, *(int(name) for name in names if is_number(name))])

    def _note(self, jobs: Iterable[Job]) -> None:
        for job in jobs:
            entry = {key: value for key, value in dataclasses.asdict(job).items() if (key, value) != ("same_as", None)}
            line = yaml.safe_dump(entry, default_flow_style=True, width=2**31, sort_keys=False, allow_unicode=True)
            self.jobs[job.number], self._lines[job.number] = job, f"- {line}"


def is_number(name: str) -> bool:
    """Tell whether a folder's name is a job's number."""
    return name.isascii() and name.isdecimal() and name == str(int(name))


def is_sweep(folder: str | Path) -> bool:
    """Tell whether a folder is a sweep's."""
    return (Path(folder) / NAME).exists()


def opened(folder: Path) -> Sweep:
    """Read a sweep that others may have sent: nothing in it leads elsewhere.

    Raises:
        ValueError: if it is damaged, or a link leads out of it, or a job's folder is a link.
    """
    errors = links_outside(folder)
    errors += [f"{path} is a link: a sweep holds its jobs. Replace it by what it names." for path in _links(folder)]
    if errors:
        raise ValueError("\n".join(errors))
    return Sweep(folder)


def _links(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.iterdir()) if is_number(path.name) and path.is_symlink())


def _read(path: Path) -> list[Job]:
    try:
        content = yaml.safe_load(path.read_bytes())
    except (yaml.YAMLError, ValueError, AttributeError, RecursionError) as error:  # what its constructors raise
        raise ValueError(f"{path} is no YAML: {error}. Restore it from a copy of the sweep.") from error
    entries = content.get("jobs") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not entries:
        raise ValueError(f"{path} lists no jobs, expected jobs: with an entry a job. Restore it from a copy.")
    wrong = list(_misfits(entries))
    if wrong:
        lines = "\n".join(f"- {line}" for line in wrong[:10])
        raise ValueError(f"{path} is damaged:\n{lines}\nRestore it from a copy of the sweep.")
    return [Job(**entry) for entry in entries]


def _misfits(entries: Sequence[Any]) -> Iterator[str]:
    """Yield what keeps the entries from being jobs."""
    before: dict[int, dict[str, Any]] = {}
    for place, entry in enumerate(entries):
        if not isinstance(entry, dict) or not {*_TYPES} <= {*entry} <= {*_KNOWN}:
            yield f"entry {place} must have {', '.join(_KNOWN)}; found {entry!r:.80}"
            continue
        wrong = [name for name, kind in _TYPES.items() if type(entry[name]) is not kind]
        wrong += ["monitor"] if not wrong and not entry["monitor"].isprintable() else []
        if wrong or not all(isinstance(word, str) for word in entry["overrides"]):
            name = wrong[0] if wrong else "overrides"
            yield f"entry {place}: {name}={entry[name]!r:.80}, expected {_TYPES[name].__name__}"
            continue
        number, first = entry["number"], entry.get("same_as")
        if number < 0 or number in before:
            yield f"entry {place}: number {number} must be 0 or more, and stand once"
        if entry["mode"] not in ("max", "min"):
            yield f"entry {place}: mode={entry['mode']!r:.80}, expected max or min"
        if first is not None and (
            type(first) is not int
            or before.get(first, {}).get("same_as", 0) is not None
            or before[first]["digest"] != entry["digest"]
        ):
            yield f"entry {place}: same_as={first!r:.80} must be the number of an earlier job with the same digest"
        before[number] = {"same_as": None, **entry}
