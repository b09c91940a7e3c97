"""Channels last against contiguous convolutions: ratio of the times of one training step, same data, one process.

python experiments/speed/memory_format.py [width=16] [repeats=10]
"""

import statistics
import sys
import time

import torch

from segfield.models.unet import UNet


def step(network: torch.nn.Module, image: torch.Tensor) -> float:
    """Return the seconds of a forward and a backward pass."""
    start = time.perf_counter()
    network(image).mean().backward()
    return time.perf_counter() - start


def main() -> None:
    """Time both formats turn by turn, so that other work on the machine hits both."""
    settings = {"width": 16, "repeats": 10} | {k: int(v) for k, v in (word.split("=") for word in sys.argv[1:])}
    torch.manual_seed(0)
    image = torch.randn(16, 3, 128, 128)
    contiguous = UNet(3, 1, width=settings["width"])
    last = UNet(3, 1, width=settings["width"]).to(memory_format=torch.channels_last)
    for network in (contiguous, last):
        step(network, image)
    pairs = [(step(contiguous, image), step(last, image)) for _ in range(settings["repeats"])]
    slow, fast = (statistics.median(times) for times in zip(*pairs, strict=True))
    print(f"contiguous {slow:.3f} s, channels last {fast:.3f} s a step: {slow / fast:.2f} times as fast")


if __name__ == "__main__":
    main()
