import itertools

import pytest

from segfield.data.sampler import EpochBatches

INDICES = list(range(100, 153))


def train(epoch: int = 0, **settings: object) -> list[list[int]]:
    batches = EpochBatches(INDICES, **{"batch_size": 12, **settings})
    batches.set_epoch(epoch)
    assert len(batches) == len(list(batches))
    return list(batches)


def test_an_epoch_has_whole_batches_of_distinct_samples_and_drops_the_short_one() -> None:
    batches = train()
    assert [len(batch) for batch in batches] == [12] * 4
    seen = list(itertools.chain(*batches))
    assert len(set(seen)) == 48
    assert set(seen) < set(INDICES)


def test_the_order_depends_on_seed_and_epoch_only() -> None:
    assert train(3, seed=1) == train(3, seed=1)
    assert len({str(train(epoch, seed=seed)) for epoch in range(3) for seed in range(3)}) == 9


def test_what_an_epoch_holds_does_not_depend_on_the_epochs_before() -> None:
    batches = EpochBatches(INDICES, 12)
    list(batches)
    batches.set_epoch(2)
    assert list(batches) == train(2)


@pytest.mark.parametrize(("world", "accumulate"), [(2, 1), (1, 3), (3, 2), (2, 6), (12, 1)])
def test_the_slices_of_ranks_and_accumulation_partition_each_global_batch(world: int, accumulate: int) -> None:
    whole = train(1)
    ranks = [train(1, rank=rank, world=world, accumulate=accumulate) for rank in range(world)]
    for number, batch in enumerate(whole):
        turns = range(number * accumulate, (number + 1) * accumulate)
        slices = [ranks[rank][turn] for turn in turns for rank in range(world)]
        assert {len(one) for one in slices} == {12 // (world * accumulate)}
        assert list(itertools.chain(*slices)) == batch


@pytest.mark.parametrize("done", range(5))
def test_start_at_leaves_out_exactly_the_batches_that_are_done(done: int) -> None:
    whole = train(2, accumulate=2)
    batches = EpochBatches(INDICES, 12, accumulate=2)
    batches.start_at(2, done)
    assert list(batches) == whole[done * 2 :]  # without set_epoch: workers fetch before Lightning calls it
    assert len(batches) == len(whole)  # of the full epoch, as Lightning's counters want it


def test_start_at_concerns_its_own_epoch_only() -> None:
    batches = EpochBatches(INDICES, 12)
    batches.start_at(2, 3)
    batches.set_epoch(3)
    assert list(batches) == train(3)
    batches.set_epoch(2)
    assert len(list(batches)) == 1


@pytest.mark.parametrize("world", [1, 2, 3, 5])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_evaluation_covers_every_sample_once_also_on_ranks_with_uneven_shares(world: int, accumulate: int) -> None:
    parts = []
    for rank in range(world):
        batches = EpochBatches(INDICES, 12, train=False, world=world, rank=rank, accumulate=accumulate)
        parts.append(list(batches))
        assert len(batches) == len(parts[-1])
        assert all(1 <= len(batch) <= max(1, 12 // (world * accumulate)) for batch in parts[-1])
    assert sorted(index for part in parts for batch in part for index in batch) == INDICES


@pytest.mark.parametrize("samples", range(3, 60))
def test_every_rank_evaluates_as_many_batches(samples: int) -> None:
    for world, size in ((2, 4), (3, 6), (3, 12)):
        ranks = [EpochBatches(range(samples), size, train=False, world=world, rank=rank) for rank in range(world)]
        parts = [list(batches) for batches in ranks]
        assert len({len(part) for part in parts}) == 1
        assert sorted(index for part in parts for batch in part for index in batch) == list(range(samples))
        assert all(1 <= len(batch) <= size // world for part in parts for batch in part)


def test_a_batch_of_one_sample_stays_one_sample_on_every_rank() -> None:
    # Images of different sizes do not fit into one batch.
    parts = [list(EpochBatches(range(11), 3, train=False, world=3, rank=rank)) for rank in range(3)]
    assert parts == [[[0], [3], [6], [9]], [[1], [4], [7], [10]], [[2], [5], [8]]]


def test_a_part_with_fewer_samples_than_devices_is_refused() -> None:
    message = r"A part of 2 samples cannot be shared out over 3 devices: each needs one\. Use trainer\.devices=2, or"
    with pytest.raises(ValueError, match=message):
        EpochBatches([4, 7], 12, train=False, world=3, rank=0)


def test_evaluation_keeps_the_order_and_does_not_depend_on_the_epoch() -> None:
    batches = EpochBatches(INDICES, 12, train=False)
    batches.set_epoch(4)
    assert list(itertools.chain(*batches)) == INDICES


def test_evaluation_of_fewer_samples_than_a_batch_is_one_short_batch() -> None:
    assert list(EpochBatches([4, 7], 12, train=False)) == [[4, 7]]


@pytest.mark.parametrize(("world", "accumulate", "nearest"), [(5, 1, 10), (2, 4, 16), (24, 1, 24)])
def test_a_batch_that_cannot_be_shared_out_is_refused(world: int, accumulate: int, nearest: int) -> None:
    message = (
        rf"data\.batch_size=12 .*devices x accumulation = {world} x {accumulate}\. Use data\.batch_size={nearest}, or"
    )
    with pytest.raises(ValueError, match=message):
        EpochBatches(INDICES, 12, world=world, accumulate=accumulate)


@pytest.mark.parametrize("size", [0, -4])
def test_a_batch_of_nothing_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=rf"data\.batch_size={size} .*positive multiple"):
        EpochBatches(INDICES, size)


def test_a_batch_larger_than_the_training_part_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"has 53 samples, fewer than data.batch_size=54.*Use data.batch_size=53 or less"
    ):
        EpochBatches(INDICES, 54)
