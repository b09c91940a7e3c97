"""A training step beside one busy process: OpenMP's waiting threads spinning against sleeping, as runs let them.

python experiments/speed/contention.py
"""

import os
import statistics
import subprocess
import sys

_STEP = """
import statistics, time, torch
from segfield.models.unet import UNet
network, image = UNet(3, 1, width=16).to(memory_format=torch.channels_last), torch.randn(16, 3, 128, 128)
times = []
for _ in range(6):
    start = time.perf_counter()
    network(image).mean().backward()
    times.append(time.perf_counter() - start)
print(statistics.median(times[1:]))
"""


def seconds(policy: str, *, busy: bool) -> float:
    """Return the median seconds of a step in a process of its own, beside a busy one or alone."""
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if busy else None
    try:
        command = [sys.executable, "-c", _STEP]
        environment = os.environ | {"OMP_WAIT_POLICY": policy}
        return float(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)
    finally:
        if other is not None:
            other.kill()
            other.wait()


def main() -> None:
    """Measure both policies turn by turn, alone and beside a busy process."""
    for busy in (False, True):
        pairs = [(seconds("ACTIVE", busy=busy), seconds("PASSIVE", busy=busy)) for _ in range(3)]
        spin, sleep = (statistics.median(times) for times in zip(*pairs, strict=True))
        where = "beside a busy process" if busy else "alone"
        print(f"{where}: spinning {spin:.3f} s, sleeping {sleep:.3f} s a step: {spin / sleep:.2f} times as fast")


if __name__ == "__main__":
    main()
