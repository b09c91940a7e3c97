"""`segfield predict <run> <images or folders ...> out=<folder>`: masks for new images, at their own size."""

import sys
from collections.abc import Sequence
from pathlib import Path

from segfield.commands.predict.words import Words, split
from segfield.run.placement import share_cores

_OF_DENSITIES = ("point", "start", "hours", "radius_km")
_CHOICES = ("overlays", "probabilities", "submission")
USAGE = """usage: python -m segfield predict <run> <images or folders ...> [out=<folder>] [overlays=true]
                                  [probabilities=true] [submission=true] [placement key=value ...]
  out: of masks/<name>.png and what else is asked for; default: predictions/ of the run. The same command again goes on
  overlays: overlays/<name>.jpg, the mask drawn on its image
  probabilities: probabilities/<name>.png of 16 bits, 65535 is 1
  submission: submission.csv.gz for Carvana, a row per image
  Images that cannot be read are listed in failed.csv; the exit code is 1 then.
"""


def main(arguments: list[str]) -> int:
    """Predict images: 0 all written, 1 some could not be, 2 for a wrong call."""
    try:
        words, settings, placement = _parsed(arguments)
        choices = {name: _choice(name, settings.get(name, "false")) for name in _CHOICES}
    except ValueError as error:
        sys.stderr.write(f"{error}\n{USAGE}")
        return 2
    share_cores()
    from segfield.run.predict import FAILED, Wanted, predict  # imports torch

    folder = words[0]
    out = Path(settings["out"]).expanduser() if "out" in settings else folder / "predictions"
    try:
        done = predict(folder, words[1:], out.absolute(), Wanted(**choices), placement)
    except (ValueError, FileNotFoundError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except OSError as error:  # a full disk, a folder that may not be written
        sys.stderr.write(f"{error}\nThe same command again goes on where this one stopped.\n")
        return 1
    before = f", {done.before} of them before" if done.before else ""
    sys.stdout.write(f"{done.written} images predicted{before}: {out.absolute()}\n")
    if done.failed:
        sys.stdout.write(f"{done.failed} images could not be read, see {out.absolute() / FAILED}\n")
    return 1 if done.failed else 0


def _parsed(arguments: Sequence[str]) -> Words:
    """Return run and images, settings by name, placement."""
    words, settings, placement = split(arguments, ("out", *_CHOICES), _stranger)
    if len(words) < 2:
        raise ValueError("Expected a run folder and at least one image, or a folder of images.")
    return words, settings, placement


def _stranger(word: str, hint: str) -> str:
    if word.partition("=")[0] in _OF_DENSITIES:
        return (
            f"{word} is of a run that predicts densities; this one predicts masks. Type: "
            "python -m segfield predict <run> <images or folders>"
        )
    return (
        f"{word} is neither an image nor a setting{hint}. Settings are out, {', '.join(_CHOICES)} and "
        "placement keys; what is computed is frozen in the run."
    )


def _choice(name: str, text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError(f"{name}={text}: expected true or false.")
    return text.lower() == "true"
