"""Whether a prediction's memory grows with the number of images: 2,000 small ones against 200, each in its own process.

python experiments/speed/predict.py [few=200] [many=2000] [side=64]

Trains a tiny network on blobs, draws the images, then runs `python -m segfield predict` on `few` and on `many` of them,
with overlays and a submission, and compares the peak memory of the two processes. Wanted: within 5 %.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

PROJECT = Path(__file__).resolve().parents[2]
OF_CHILD = (
    "import resource, sys; from segfield.__main__ import main; code = main(sys.argv[1:]); "
    "print('peak', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss); sys.exit(code)"
)


def draw(folder: Path, number: int, side: int) -> None:
    """Write images of noise, which have as many runs as possible."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for place in range(number):
        pixels = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{place:05}.png", compress_level=1)


def run(*words: str) -> str:
    """Run a command of the project and return what it writes."""
    environment = {**os.environ, "PYTHONPATH": str(PROJECT / "src")}
    done = subprocess.run([sys.executable, *words], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}\n{done.stdout}{done.stderr}")
    return done.stdout


def main() -> None:
    """Measure."""
    settings = {"few": 200, "many": 2000, "side": 64}
    settings |= {key: int(value) for key, value in (word.split("=") for word in sys.argv[1:])}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tiny = ("debug=fast", f"data.size=[{settings['side']},{settings['side']}]", "data.length=10", "threads=1")
        run(str(PROJECT / "train.py"), *tiny, "model.width=4", f"hydra.run.dir={folder / 'run'}")
        peaks = {}
        for number in (settings["few"], settings["many"]):
            images, out = folder / f"images{number}", folder / f"out{number}"
            draw(images, number, settings["side"])
            start = time.perf_counter()
            choices = ("overlays=true", "submission=true", f"out={out}")
            said = run("-c", OF_CHILD, "predict", str(folder / "run"), str(images), *choices)
            seconds = time.perf_counter() - start
            peaks[number] = int(said.rpartition("peak ")[2]) / 1e3
            print(f"{number} images of {settings['side']}: peak {peaks[number]:.1f} MB, {seconds:.1f} s")
        print(f"ratio {peaks[settings['many']] / peaks[settings['few']]:.4f}")


if __name__ == "__main__":
    main()
