"""`segfield predict <run> <images or folders ...> out=<folder>`: masks for new images, at their own size."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from segfield.commands.predict.words import Words, split

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


def parsed(arguments: list[str]) -> Callable[[], int]:
    """Return the work that is asked for, which returns 1 where some images could not be read.

    Raises:
        ValueError: for a wrong call.
    """
    words, settings, placement = _parsed(arguments)
    choices = {name: _choice(name, settings.get(name, "false")) for name in _CHOICES}
    folder = words[0]
    out = (Path(settings["out"]).expanduser() if "out" in settings else folder / "predictions").absolute()

    def work() -> int:
        """Predict and tell what came of it."""
        from segfield.run.predict import FAILED, Wanted, predict  # imports torch

        done = predict(folder, words[1:], out, Wanted(**choices), placement)
        before = f", {done.before} of them before" if done.before else ""
        sys.stdout.write(f"{done.written} images predicted{before}: {out}\n")
        if done.failed:
            sys.stdout.write(f"{done.failed} images could not be read, see {out / FAILED}\n")
        return 1 if done.failed else 0

    return work


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
