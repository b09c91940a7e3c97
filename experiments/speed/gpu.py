"""`make gpu`: everything that needs a GPU, in one go, within 8 minutes. Now: 2 steps of each model in bf16.

Each model is a real run of train.py; the table goes into docs/measurements.md. Without a GPU it says so and ends;
`python experiments/speed/gpu.py rehearse` does the same on the CPU with tiny images, to see that it would run.
"""

import csv
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
MODELS = ("unet_small", "unet", "unet_original", "resnet_unet")


def run(model: str, outputs: str, accelerator: str, side: int) -> str:
    """Train a model for 2 steps in bf16 and return its row of the table."""
    folder = Path(outputs) / model
    command = [
        *(sys.executable, str(PROJECT / "train.py"), f"model={model}", "debug=fast", f"hydra.run.dir={folder}"),
        *(f"trainer.accelerator={accelerator}", "trainer.precision=bf16-mixed"),
        *(f"data.size=[{side},{side}]", "data.batch_size=8"),
    ]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(PROJECT / "src"), os.environ.get("PYTHONPATH", "")])}
    start = time.monotonic()
    subprocess.run(command, check=True, env=environment, timeout=110)
    seconds = time.monotonic() - start
    status = json.loads((folder / "status.json").read_text())
    with (folder / "metrics.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert status["state"] == "finished", status
    loss, memory = float(row["train/loss"]), status.get("peak_gpu_memory_mb")
    return f"| {model} | {loss:.4f} | {float(row['time/step']):.3f} | {memory} | {seconds:.1f} |"


def main() -> int:
    """Run every model; the exit code tells whether all of them trained."""
    import torch

    rehearsal = sys.argv[1:] == ["rehearse"]
    if not torch.cuda.is_available() and not rehearsal:
        print("make gpu: torch sees no CUDA device here; nothing was run and nothing is claimed.")
        return 0
    accelerator, side = ("cpu", 32) if rehearsal else ("gpu", 256)
    name = "rehearsal on the CPU" if rehearsal else torch.cuda.get_device_name()
    print(f"{name}, torch {torch.__version__}, Python {sys.version.split()[0]}")
    with tempfile.TemporaryDirectory() as outputs:
        rows = [run(model, outputs, accelerator, side) for model in MODELS]
    print("| model | train/loss after 2 steps | s/step (first two) | peak GPU memory [MB] | whole command [s] |")
    print("|---|---|---|---|---|")
    print("\n".join(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
