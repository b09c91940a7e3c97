"""Seeds: of numbers that say where a run is, given to the generators of its process."""

import hashlib
import random

import numpy as np
import torch


def step_seed(*key: int) -> int:
    """Derive a seed from numbers such as (seed, epoch, step, rank)."""
    return int.from_bytes(hashlib.sha256(repr(key).encode()).digest()[:8], "little") >> 1


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed Python's, NumPy's and torch's global generators, of the CPU and of this device."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    # torch.manual_seed takes 100 microseconds: it writes down the call stack for devices that nobody has used so far.
    torch.default_generator.manual_seed(seed)
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(seed)
