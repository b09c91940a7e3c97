"""`segfield save <run> experiments/<study>/<name>`: keep what a run says, without its weights and events."""

import argparse
import sys
from pathlib import Path
from typing import Any

import yaml

from segfield.data.fingerprint import FINGERPRINT
from segfield.files import write_text
from segfield.run.environment import NAME as ENVIRONMENT
from segfield.run.freeze import CONFIG, load
from segfield.run.placement import FOLDERS, unplaced
from segfield.run.status import shown
from segfield.run.verdict import evidence
from segfield.run.weights import NAME as DIGESTS

COPIED = ("splits.csv", FINGERPRINT, "trace.csv", "metrics.csv", DIGESTS)
# Names no machine, no person, no path.
_SHAREABLE = (
    *("when", "from_step", "commit", "code_sha256", "python", "packages", "platform", "devices", "processor"),
    *("splits_sha256", "data_sha256"),
)


def main(arguments: list[str]) -> int:
    """Keep a finished run in a folder that may go into a repository; 2 where it cannot be kept."""
    parser = argparse.ArgumentParser("python -m segfield save", description=__doc__.partition(": ")[2])
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("place", type=Path, help="new folder, for example experiments/<study>/<name>")
    words = parser.parse_args(arguments)
    try:
        sys.stdout.write(save(words.run, words.place))
    except (ValueError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


def save(run: Path, place: Path) -> str:
    """Write config, split, fingerprint of the data, losses, scores, digests and environment of a run to a new folder.

    Returns:
        What was kept, and how to reproduce it.

    Raises:
        ValueError: if the run has not finished, lacks a file, or the folder holds something already.
    """
    config = load(run)
    state = shown(run)["state"]
    if state != "finished":
        whole = "Give its command again without callbacks=prune, keep that run."
        mend = whole if state == "pruned" else f"Finish it: python -m segfield execute {run}"
        raise ValueError(f"{run} is {state}: only a finished run is kept. {mend}")
    entries = evidence(run).executions
    if place.exists() and not (place.is_dir() and not any(place.iterdir())):
        raise ValueError(f"{place} is not an empty folder, and nothing is overwritten. Choose another one.")
    missing = [name for name in COPIED if not (run / name).exists()]
    if missing:
        raise ValueError(f"{run} lacks {', '.join(missing)}: it cannot be kept as it is. Reproduce it, keep the rerun.")
    for name, text in {name: (run / name).read_text() for name in COPIED}.items():  # read all, then write
        write_text(place / name, text)
    write_text(place / ENVIRONMENT, yaml.safe_dump([_shareable(entry) for entry in entries], sort_keys=False))
    header = "# Kept by segfield. Run it again and compare: python -m segfield reproduce <this folder>\n"
    text = yaml.safe_dump(unplaced(config), sort_keys=False, allow_unicode=True)
    write_text(place / CONFIG, header + text)
    size = sum(path.stat().st_size for path in place.iterdir())
    lines = [
        f"kept in {place} ({size / 1000:.0f} kB): {', '.join((CONFIG, ENVIRONMENT, *COPIED))}",
        f"reproduce it with: python -m segfield reproduce {place}",
    ]
    if any(entry.get("patch") for entry in entries):
        lines.append(
            "Its code had uncommitted changes, which are not kept: better commit, run again and keep that run."
        )
    return "\n".join(lines) + "\n"


def _shareable(entry: dict[str, Any]) -> dict[str, Any]:
    placed = {key: value for key, value in (entry.get("placement") or {}).items() if key not in FOLDERS}
    kept = {name: entry[name] for name in _SHAREABLE if name in entry}
    return {**kept, "patch": "not kept" if entry.get("patch") else None, "placement": placed}
