"""`segfield execute <folder> [key=value ...]`: run or continue a frozen run folder, or all jobs of a sweep folder."""

import sys

from segfield.run import resume
from segfield.run.execute import attempt, execute_rank
from segfield.run.placement import share_cores
from segfield.run.pool import follow_parent
from segfield.run.ranks import is_rank
from segfield.run.sweep import is_sweep

USAGE = """usage: python -m segfield execute <run folder> [placement key=value ...]
       python -m segfield execute <sweep folder> [hydra.launcher.jobs=2] [hydra.launcher.retry_failed=true]
                                  [hydra.launcher.preload=true] [placement key=value ... for every job]
"""


def main(arguments: list[str]) -> int:
    """Execute the folder; placement keys such as threads=4 or data.root=<folder> may be given again."""
    if not follow_parent():
        sys.stderr.write("the sweep that started this job has ended: nothing was run\n")
        return 2
    if not arguments or arguments[0] in ("-h", "--help"):
        (sys.stdout if arguments[:1] in (["-h"], ["--help"]) else sys.stderr).write(USAGE)
        return 0 if arguments[:1] in (["-h"], ["--help"]) else 2
    share_cores()
    if is_rank():
        execute_rank(arguments[0], arguments[1:])
        return 0
    if is_sweep(arguments[0]):
        return resume.attempt(arguments[0], arguments[1:])
    return attempt(arguments[0], arguments[1:])
