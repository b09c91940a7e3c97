"""`python -m segfield <verb>`, also the console script `segfield`. A verb's module is imported when it is called."""

import importlib
import sys

VERBS = {
    "check": "find what would keep a run from starting, without starting it",
    "audit": "look at data before training: counts, faults, duplicates, pictures of samples",
    "execute": "run or continue a frozen run folder, or a sweep's",
    "runs": "a table of runs, or what differs between two",
    "reproduce": "run a run again and give a verdict: bit-equal, within tolerance, differs",
    "save": "keep a finished run without its weights, for a repository",
    "evaluate": "score a run again: per image, per group, at the images' own size",
    "predict": "masks for new images, and a submission; the densities of a drift",
    "prepare": "make or fetch data: prepare demo carvana <folder>",
}


def main(arguments: list[str] | None = None) -> int:
    """Run one verb and return its exit code; 2 for a wrong call."""
    words = sys.argv[1:] if arguments is None else arguments
    if words and words[0] in VERBS:
        try:
            code: int = importlib.import_module(f"segfield.commands.{words[0]}").main(words[1:])
        except KeyboardInterrupt:
            sys.stderr.write("interrupted\n")
            return 130
        return code
    lines = "\n".join(f"  {verb:10} {text}" for verb, text in VERBS.items())
    usage = f"usage: python -m segfield <verb> ...\n{lines}\nTrain with: python train.py model=unet data=carvana\n"
    if words and words[0] in ("-h", "--help"):
        sys.stdout.write(usage)
        return 0
    sys.stderr.write(f"unknown verb {words[0]!r}\n{usage}" if words else usage)
    return 2


if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[0]  # where the command is typed: a run folder that others sent may hold a yaml.py
    sys.exit(main())
