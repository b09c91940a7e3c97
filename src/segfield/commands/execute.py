"""`segfield execute <folder> [key=value ...]`: run or continue a frozen run folder."""

import sys

from segfield.run.execute import attempt, execute_rank
from segfield.run.placement import share_cores
from segfield.run.ranks import is_rank

USAGE = "usage: python -m segfield execute <run folder> [placement key=value ...]\n"


def main(arguments: list[str]) -> int:
    """Execute the folder; placement keys such as threads=4 or data.root=<folder> may be given again."""
    if not arguments or arguments[0] in ("-h", "--help"):
        (sys.stdout if arguments[:1] in (["-h"], ["--help"]) else sys.stderr).write(USAGE)
        return 0 if arguments[:1] in (["-h"], ["--help"]) else 2
    share_cores()
    if is_rank():
        execute_rank(arguments[0], arguments[1:])
        return 0
    return attempt(arguments[0], arguments[1:])
