"""The one batch sampler: which samples make which batch, as a pure function of (seed, epoch).

No state to save: a run continues by naming the epoch and the number of global batches that are done.
"""

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

_ORDER = 3  # stream of the random numbers that order an epoch


class EpochBatches:
    """Batches of sample indices for one rank.

    Training: the epoch's order is cut in *global* batches (the last, short one is dropped), each global batch in
    accumulation x ranks equal slices. So the samples of an optimiser's step depend on neither. Evaluation: every
    sample once, in order, rank r takes every world-th one; nothing is padded or repeated, and every rank has as many
    batches as the others (one of them may have one less where a batch is one sample).

    Args:
        indices: of the part's samples.
        batch_size: global batch of the optimiser's step.
        seed: of the order; (seed, epoch) fixes it.
        train: shuffle and drop the short batch.
        accumulate: slices of a global batch that one rank takes one after the other.
        rank: of this process.
        world: number of processes.

    Raises:
        ValueError: if the global batch cannot be shared out, or is larger than the training part, or if there are
            fewer samples than ranks.
    """

    def __init__(
        self,
        indices: Sequence[int],
        batch_size: int,
        *,
        seed: int = 0,
        train: bool = True,
        accumulate: int = 1,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        share = world * accumulate
        if train and (batch_size < 1 or batch_size % share):
            raise ValueError(
                f"data.batch_size={batch_size} is the global batch: it must be a positive multiple of "
                f"devices x accumulation = {world} x {accumulate}. Use data.batch_size={_nearest(batch_size, share)}, "
                "or another number of devices."
            )
        if train and len(indices) < batch_size:
            raise ValueError(
                f"The training part has {len(indices)} samples, fewer than data.batch_size={batch_size}: "
                f"an epoch would have no step. Use data.batch_size={max(1, len(indices))} or less."
            )
        if not train and 0 < len(indices) < world:
            raise ValueError(
                f"A part of {len(indices)} samples cannot be shared out over {world} devices: each needs one. "
                f"Use trainer.devices={len(indices)}, or more data."
            )
        self.indices = np.asarray(indices, dtype=np.int64)
        self.batch_size, self.seed, self.train = batch_size, seed, train
        self.accumulate, self.rank, self.world = accumulate, rank, world
        self.epoch = 0
        self._done = (0, 0)
        self.sampler = self  # Lightning calls set_epoch on batch_sampler.sampler

    def set_epoch(self, epoch: int) -> None:
        """Order the next iteration as epoch number `epoch`."""
        self.epoch = epoch

    def start_at(self, epoch: int, batches: int) -> None:
        """Leave out the first global batches of one epoch.

        Sets the epoch too: workers fetch ahead before Lightning calls set_epoch.
        """
        self.epoch, self._done = epoch, (epoch, batches)

    def __len__(self) -> int:
        if self.train:
            return len(self.indices) // self.batch_size * self.accumulate
        longest = -(-len(self.indices) // self.world)
        return min(-(-longest // self._evaluation_batch), len(range(self.rank, len(self.indices), self.world)))

    @property
    def _evaluation_batch(self) -> int:
        return max(1, self.batch_size // (self.world * self.accumulate))

    def __iter__(self) -> Iterator[list[int]]:
        return self._train_batches() if self.train else self._evaluation_batches()

    def _train_batches(self) -> Iterator[list[int]]:
        epoch, done = self.epoch, self._done[1] if self._done[0] == self.epoch else 0
        order = np.random.default_rng([self.seed, _ORDER, epoch]).permutation(self.indices)
        local = self.batch_size // (self.world * self.accumulate)
        for start in range(done * self.batch_size, len(order) - self.batch_size + 1, self.batch_size):
            for turn in range(self.accumulate):
                first = start + (turn * self.world + self.rank) * local
                yield order[first : first + local].tolist()

    def _evaluation_batches(self) -> Iterator[list[int]]:
        mine = self.indices[self.rank :: self.world].tolist()
        count = len(self)
        # Whole batches first; as many samples are kept back as batches are to come.
        starts = [min(turn * self._evaluation_batch, len(mine) - (count - turn)) for turn in range(count)]
        for start, end in itertools.pairwise([*starts, len(mine)]):
            yield mine[start:end]


def _nearest(number: int, step: int) -> int:
    """Return the multiple of step, at least one of it, that is nearest to the number."""
    return max(1, round(number / step)) * step
