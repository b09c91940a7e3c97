"""`segfield check [group=option ...] [key=value ...]`: what would keep a run from starting, all of it in one list."""

import sys
from typing import Any

from segfield.run import compose
from segfield.run.check import announce
from segfield.run.lock import alive
from segfield.run.status import shown

USAGE = """usage: python -m segfield check [group=option ...] [key=value ...]
The same words as after train.py: composes that run and checks it; nothing is written, nothing trained.
Exit code 0: the run can start. 2: the list on stderr says what is wrong.
"""


def main(arguments: list[str]) -> int:
    """Compose and check one run."""
    if arguments[:1] in (["-h"], ["--help"]):
        sys.stdout.write(USAGE)
        return 0
    if flags := [word for word in arguments if word.startswith("-")]:
        sys.stderr.write(f"check takes overrides alone, found {flags[0]}.\n{USAGE}")
        return 2
    compose.register()
    facts: dict[str, Any] = {}
    if announce(compose.faults(arguments, facts)):
        return 2
    folder = facts["folder"]
    if alive(folder):
        sys.stderr.write(f"{folder} is being executed already. Wait for its end, or choose another folder.\n")
        return 2
    stands = (folder / "config.yaml").exists()
    state = f"stands already, {shown(folder)['state']}: train.py goes on there" if stands else "can start"
    test = f", {facts['test']:,} test samples" if facts["test"] else ""
    sys.stdout.write(
        f"this run {state}: {' '.join(['python train.py', *arguments])}\n"
        f"  {facts['parameters']:,} parameters\n"
        f"  {facts['train']:,} training and {facts['val']:,} validation samples{test}\n"
        f"  checkpoints of up to {facts['bytes'] / 1e6:,.1f} MB under {folder.parent}\n"
    )
    return 0
