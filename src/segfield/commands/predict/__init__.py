"""`segfield predict <run> ...`: masks of new images, or the densities of a drift, by what the run predicts."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from segfield.commands.predict import densities, images
from segfield.run.placement import share_cores

USAGE = f"{images.USAGE}\n{densities.USAGE}"


def main(arguments: list[str]) -> int:
    """Predict: 0 all written, 1 some could not be, 2 for a wrong call."""
    if arguments[:1] in (["-h"], ["--help"]):
        sys.stdout.write(USAGE)
        return 0
    kind = densities if _of_densities(arguments) else images
    try:
        work: Callable[[], int] = kind.parsed(arguments)
    except ValueError as error:
        sys.stderr.write(f"{error}\n{kind.USAGE}")
        return 2
    share_cores()
    try:
        return work()
    except (ValueError, FileNotFoundError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except OSError as error:  # a full disk, a folder that may not be written
        sys.stderr.write(f"{error}\nThe same command again goes on where this one stopped.\n")
        return 1


def _of_densities(words: Sequence[str]) -> bool:
    """Tell what is predicted: as the run says, or, where there is none, as the settings do."""
    from segfield.run.freeze import load

    settings = {word.partition("=")[0] for word in words if "=" in word}
    for word in words:
        if (Path(word).expanduser() / "config.yaml").is_file():
            try:
                return load(Path(word).expanduser()).get("head") is not None
            except (ValueError, OSError):  # it is told by whoever predicts
                break
    return bool(settings & {*densities.SETTINGS} - {"out"})
