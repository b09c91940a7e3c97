"""A step with DDP and one rank against a step without: what several processes cost before there are several.

python experiments/speed/ddp.py [pairs=3] [epochs=4]

Trains the same run both ways, turn by turn, each as its own command (U-Net of width 32, batches of 4x3x128x128), and
compares time/step of metrics.csv, the first epoch left out. Its losses must be equal to the last bit.
"""

import csv
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
RUN = (
    *("model=unet_small", "model.width=32", "data.batch_size=4", "data.length=100", "data.size=[128,128]"),
    *("~callbacks.panels", "threads=1"),
)


def train(folder: Path, epochs: int, *words: str) -> list[float]:
    """Train; return the seconds of a step in each epoch but the first."""
    command = [sys.executable, PROJECT / "train.py", *RUN, f"trainer.max_epochs={epochs}", f"hydra.run.dir={folder}"]
    subprocess.run([*command, *words], check=True, capture_output=True)
    rows = list(csv.DictReader((folder / "metrics.csv").open()))
    return [float(row["time/step"]) for row in rows[1:]]


def main() -> None:
    """Measure turn by turn."""
    given = dict(word.split("=") for word in sys.argv[1:])
    pairs, epochs = int(given.get("pairs", 3)), int(given.get("epochs", 4))
    without: list[float] = []
    with_ddp: list[float] = []
    with tempfile.TemporaryDirectory() as place:
        os.environ["SEGFIELD_OUTPUTS"] = place
        for pair in range(pairs):
            one, other = Path(place, f"{pair}.none"), Path(place, f"{pair}.ddp")
            without += train(one, epochs)
            with_ddp += train(other, epochs, "trainer=ddp", "trainer.devices=1")
            if (one / "trace.csv").read_bytes() != (other / "trace.csv").read_bytes():
                print("losses differ")
    for name, choose in (("median", statistics.median), ("quietest", min)):
        a, b = choose(without), choose(with_ddp)
        print(f"{name} step: {1000 * a:.1f} ms without, {1000 * b:.1f} ms with DDP and one rank: ratio {b / a:.3f}")


if __name__ == "__main__":
    main()
