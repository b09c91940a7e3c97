import random
from typing import Any

import numpy as np
import pytest
import torch

from segfield.data.blobs import Blobs
from segfield.data.loader import collate, load


def item(index: int, *, shape: tuple[int, ...] = (1, 4, 4)) -> dict[str, Any]:
    return {
        "image": torch.full(shape, index), "target": torch.zeros(shape[1:]), "valid": torch.ones((1, *shape[1:])),
        "id": f"{index:02d}", "group": f"g{index // 2}", "index": index,
    }  # fmt: skip


def drawn(index: int) -> dict[str, Any]:
    """Return the worker and what the three sources of random numbers give there."""
    info = torch.utils.data.get_worker_info()
    worker = -1 if info is None else info.id
    return {"image": torch.tensor([worker, random.random(), np.random.random(), torch.rand(()).item()])}


def by_worker(seed: int) -> dict[int, list[list[float]]]:
    found: dict[int, list[list[float]]] = {}
    for batch in load(drawn, [[0], [1], [2], [3]], workers=2, seed=seed):
        worker, *numbers = batch["image"][0].tolist()
        found.setdefault(int(worker), []).append(numbers)
    return found


def test_random_numbers_of_workers_are_a_function_of_seed_and_worker() -> None:
    torch.manual_seed(1)
    one = by_worker(5)
    torch.manual_seed(2)
    assert by_worker(5) == one
    assert by_worker(6) != one
    assert one.keys() == {0, 1}
    for source in range(3):
        numbers = [draw[source] for draws in [*one.values(), *by_worker(6).values()] for draw in draws]
        assert len(set(numbers)) == 8


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_moves_no_random_number_of_the_training_process(workers: int) -> None:
    random.seed(0)
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]
    assert len(list(load(item, [[0], [1]], workers=workers, seed=0))) == 2
    after = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]


def test_a_data_module_gives_its_seed_to_the_loader() -> None:
    data = Blobs(in_channels=3, batch_size=4, length=15, size=[16, 16], seed=3)
    data.setup()
    for loader in (data.train_dataloader(), data.val_dataloader()):
        assert loader.generator.initial_seed() == 3


def test_a_batch_stacks_tensors_and_lists_names() -> None:
    batch = collate([item(3), item(5)])
    assert {name: tuple(value.shape) for name, value in batch.items() if isinstance(value, torch.Tensor)} == {
        "image": (2, 1, 4, 4), "target": (2, 4, 4), "valid": (2, 1, 4, 4), "index": (2,),
    }  # fmt: skip
    assert (batch["id"], batch["group"], batch["index"].tolist()) == (["03", "05"], ["g1", "g2"], [3, 5])


def test_a_batch_of_different_sizes_is_refused_with_the_settings_that_help() -> None:
    message = r"00 is \(1, 4, 4\) and 01 is \(1, 4, 6\): .*Set data.size=\[H,W\], or data.batch_size=1"
    with pytest.raises(ValueError, match=message):
        collate([item(0), item(1, shape=(1, 4, 6))])
