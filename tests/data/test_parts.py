"""The parts of a data module: who is tested, and what is predicted."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, final

import numpy as np
import pytest

from segfield.data.module import PixelwiseData
from segfield.data.sample import Sample


@final
@dataclass(kw_only=True, eq=False, repr=False)
class Cars(PixelwiseData):
    """23 cars with two views each, in images of one grey."""

    in_channels: int = 1
    batch_size: int = 4

    def samples(self) -> list[Sample]:
        return [Sample(f"car{n // 2}/{n % 2}", f"car{n // 2}", {"number": n}) for n in range(46)]

    def read(self, sample: Sample, size: Sequence[int] | None) -> dict[str, np.ndarray]:
        return {
            "image": np.full((1, 4, 4), sample.attributes["number"], np.uint8),
            "target": np.zeros((4, 4), np.uint8),
        }

    def read_picture(self, path: Path, size: Sequence[int] | None) -> np.ndarray:
        raise AssertionError("nobody asks for a picture here")


def cars(**settings: Any) -> Cars:
    data = Cars(**settings)
    data.setup()
    return data


def ids(loader: Any) -> list[str]:
    return [id_ for batch in loader for id_ in batch["id"]]


def of(part: str, data: Cars) -> list[str]:
    return [id_ for id_, _, name in data.split_table() if name == part]


# What the split was before there was a test part.
VALIDATED = ["car11/0", "car11/1", "car20/0", "car20/1", "car21/0", "car21/1", "car5/0", "car5/1", "car6/0", "car6/1"]


def test_a_run_without_a_test_part_keeps_its_split() -> None:
    data = cars()
    assert of("val", data) == VALIDATED
    assert len(of("train", data)) == 36
    assert data.split_table() == cars(test_fraction=0.0).split_table()


def test_whole_groups_are_tested() -> None:
    table = cars(test_fraction=0.2).split_table()
    assert len({group for _, group, part in table if part == "test"}) == 5
    assert all(len({part for _, g, part in table if g == group}) == 1 for _, group, _ in table)


def test_no_training_or_validation_loader_serves_a_tested_sample() -> None:
    data = cars(test_fraction=0.2)
    seen = {*ids(data.train_dataloader()), *ids(data.val_dataloader())}
    assert seen == {*of("train", data), *of("val", data)}
    assert not seen & set(of("test", data))


def test_the_test_loader_serves_every_sample_of_its_part_once_in_order() -> None:
    data = cars(test_fraction=0.2)
    assert ids(data.test_dataloader()) == of("test", data)


def test_a_sample_is_tested_by_itself_whatever_the_batch_size() -> None:
    for batch_size in (1, 4):
        data = cars(test_fraction=0.2, batch_size=batch_size)
        assert [len(batch["id"]) for batch in data.test_dataloader()] == [1] * 10


@pytest.mark.parametrize("world", [1, 2, 3])
def test_ranks_share_out_a_part_without_repeating_a_sample(world: int) -> None:
    data, found = cars(test_fraction=0.2), list[str]()
    for rank in range(world):
        data.trainer = SimpleNamespace(accumulate_grad_batches=1, global_rank=rank, world_size=world)  # type: ignore[assignment]
        found += ids(data.test_dataloader())
    assert sorted(found) == of("test", data)
    assert len(found) == 10


def test_a_part_that_the_split_has_not_is_named_with_those_it_has() -> None:
    data = cars()
    message = r"no part 'test', it has train, val\. Use one of these; a new run with data\.test_fraction=0\.2 has"
    with pytest.raises(ValueError, match=message):
        data.test_dataloader()


def test_a_frozen_split_keeps_its_test_part_whatever_the_fraction_says() -> None:
    table = cars(test_fraction=0.2, split_seed=4).split_table()
    data = Cars()
    data.keep_split(table)
    data.setup()
    assert data.split_table() == table
    assert ids(data.test_dataloader()) == of("test", data) != []
