"""What a run would meet in its first step and in its last: data, network, loss, metrics, scheduler, each tried out.

One sample is read; the network runs on torch's meta device, which computes sizes only; the scheduler is stepped as
often as the run will. Nothing is written.
"""

import contextlib
import copy
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytorch_lightning as pl
import torch
from lightning_fabric.utilities.exceptions import MisconfigurationException
from torch import Tensor, nn

from segfield.data.loader import collate
from segfield.data.module import PixelwiseData
from segfield.data.sampler import EpochBatches
from segfield.run.ranks import gpus, has_batch_norm, local_ranks, wanted

_RANKS_A_CORE = 2  # on a CPU; more is a slip of the finger
_STEPS = 1000  # of a scheduler, one by one; of more the last alone


class Errors(list[str]):
    """A list that takes what goes wrong in a block of code."""

    @contextlib.contextmanager
    def trying(self, what: str) -> Iterator[None]:
        """Turn any exception inside into an error of the list: libraries' exceptions have no base in common."""
        try:
            yield
        except Exception as error:
            text = str(error).strip()
            if not isinstance(error, ValueError | OSError | MisconfigurationException):
                text = f"{text} ({type(error).__name__})".strip()
            names_its_key = text.startswith((f"{what}.", f"{what}=", "data."))
            self.append(text if names_its_key else f"{what}: {text or type(error).__name__}")


def try_devices(trainer: dict[str, Any], model: nn.Module | None) -> Iterator[str]:
    """Yield what the devices of this machine are too few or too simple for."""
    here, devices = gpus(trainer), local_ranks(trainer)
    cores = os.cpu_count() or 1
    if here and devices > here:
        yield (
            f"trainer.devices={devices}, and {here} GPUs are here (CUDA_VISIBLE_DEVICES counts). "
            f"Use trainer.devices={here}."
        )
    if not here and devices > _RANKS_A_CORE * cores:
        yield (
            f"trainer.devices={devices} processes on {cores} processor cores would only wait for one another: at most "
            f"{_RANKS_A_CORE * cores} are started. Use trainer.devices={cores}, one per core."
        )
    if not here and trainer.get("strategy") == "fsdp":
        yield "trainer.strategy=fsdp shares weights out over GPUs, and there is none. Use trainer=ddp."
    if not here and wanted(trainer) and trainer.get("sync_batchnorm") and model and has_batch_norm(model):
        yield (
            "trainer.sync_batchnorm=true: torch synchronises batch norm on GPUs only, and these ranks are on a CPU. "
            "Use model.norm=group, whose scores do not depend on the number of ranks, or ~trainer.sync_batchnorm."
        )


def try_data(data: PixelwiseData, accumulate: int, world: int, errors: Errors) -> dict[str, Any] | None:
    """List and split the data, share out its batch, and read one sample of each part; return one of them."""
    item = None
    with errors.trying("data"):
        EpochBatches(range(data.batch_size), data.batch_size, accumulate=accumulate, world=world)
    before = len(errors)
    with errors.trying("data"):
        data.setup()
        for part in ("test", "val", "train"):
            if data.indices(part):
                item = data.item(data.indices(part)[0])
            elif part != "test":
                raise ValueError(f"The {part} part has no sample. Give more data, or another data.val_fraction.")
    with errors.trying("data"):
        if before == len(errors) and data.batch_size % (accumulate * world) == 0:
            EpochBatches(data.indices("train"), data.batch_size, accumulate=accumulate, world=world)
            EpochBatches(data.indices("val"), data.batch_size, train=False, accumulate=accumulate, world=world)
    return item


def try_batches(trainer: pl.Trainer, data: PixelwiseData, slices: int, world: int, errors: Errors) -> None:
    """Find out whether the trainer ever validates, and only between two steps of the optimiser.

    Args:
        trainer: with its limits.
        data: set up.
        slices: that an epoch trains.
        world: number of ranks.
        errors: takes what is wrong.
    """
    accumulate, limit = trainer.accumulate_grad_batches, trainer.limit_val_batches
    shares = {"accumulate": accumulate, "world": world, "rank": world - 1}  # the last rank has the fewest
    batches = len(EpochBatches(data.indices("val"), data.batch_size, train=False, **shares))
    if isinstance(limit, float) and int(batches * limit) == 0:
        errors.append(f"trainer.limit_val_batches={limit} is less than one batch of this data. Use 1.0.")
    interval, every, epochs = trainer.val_check_interval, trainer.check_val_every_n_epoch, trainer.max_epochs or 1
    taken = interval if isinstance(interval, int) else max(1, int(slices * interval))
    most = slices if every else slices * epochs
    if taken > most:
        errors.append(f"trainer.val_check_interval={interval}: there are {most} slices. Use 1.0, once an epoch.")
    elif taken % accumulate and taken != slices:
        fits = max(1, round(taken / accumulate)) * accumulate
        errors.append(
            f"trainer.val_check_interval={interval} validates after {taken} slices, inside a step of {accumulate} "
            f"(trainer.accumulate_grad_batches). Use trainer.val_check_interval={fits if fits < most else 1.0}."
        )


def try_network(model: nn.Module, data: PixelwiseData, image: Tensor, slices: int, errors: Errors) -> Tensor | None:
    """Run the network on the meta device in training mode.

    Args:
        model: stays as it is.
        data: with the number of channels that the logits must have.
        image: [C, H, W], the first of the batch.
        slices: N of the batch that the network gets at once.
        errors: takes what is wrong.

    Returns:
        Zeros [1, K, H', W'] in the size of one image's logits; None where they are wrong or cannot be known.
    """
    network = copy.deepcopy(model).to("meta").train()
    logits: Any = None
    with errors.trying("model"), torch.no_grad():
        try:
            logits = network(torch.empty(slices, *image.shape, device="meta"))
        except (NotImplementedError, RuntimeError, TypeError) as error:
            if "meta" not in str(error):
                raise  # a network that the meta device cannot run says nothing about its sizes
    if not isinstance(logits, Tensor):
        return None
    channels = data.out_channels
    if logits.ndim == 4 and logits.shape[1] == channels:
        return torch.zeros(1, *logits.shape[1:])
    errors.append(
        f"The network gives {list(logits.shape)}, data.out_channels={channels} wants [N, {channels}, H, W]. Use one "
        "number: leave model.out_channels as conf/ has it, and set data.out_channels."
    )
    return None


def try_scores(task: Any, item: dict[str, Any], logits: Tensor, errors: Errors) -> None:
    """Give head, loss, metrics and activation one sample and the logits [1, K, H', W']."""
    with errors.trying("task.activation"):
        if task.activation(logits).shape != logits.shape:
            raise ValueError("It must keep the shape of the logits. Use task.activation._target_=torch.nn.Sigmoid.")
    before = len(errors)
    batch: dict[str, Any] = {}
    with errors.trying("augmentation"):
        batch = task.prepare(collate([item]), augment=True)
    if len(errors) > before:
        return
    with errors.trying("head"):
        logits, batch = _finished(task, logits, batch)
    if len(errors) > before:
        return
    with errors.trying(f"loss, with data.out_channels={logits.shape[1]}"):
        float(task.loss(logits, batch["target"], batch.get("weight"), batch.get("valid")))
    if len(errors) > before:
        return
    with errors.trying(f"metrics, with data.out_channels={logits.shape[1]}"):
        metrics = task.metrics["val/"]
        metrics.update(logits, batch["target"], batch.get("valid"), batch["group"])
        metrics.compute()


def _finished(task: Any, logits: Tensor, batch: dict[str, Any]) -> tuple[Tensor, dict[str, Any]]:
    """Crop the batch to the logits, and apply the head, whose result must have their shape."""
    kind = type(task.head).__name__
    try:
        values, batch = task.finish(logits, batch)
    except TypeError as error:
        raise ValueError(
            f"{kind} cannot be called as (logits, valid, image): {error}. Use head=residual for densities, 'head=[]' "
            "for classes."
        ) from error
    if not isinstance(values, Tensor) or values.shape != logits.shape:
        found = list(values.shape) if isinstance(values, Tensor) else type(values).__name__
        raise ValueError(
            f"{kind} must keep the shape of the logits, {list(logits.shape)}; it gives {found}. Use head=residual for "
            "densities, 'head=[]' for classes."
        )
    return values, batch


def try_schedule(
    make_optimizer: Callable[..., Any], make_scheduler: Callable[..., Any] | None, steps: int, errors: Errors
) -> None:
    """Make optimiser and scheduler for one number, and step the scheduler `steps` times."""
    optimizer: Any = None
    with errors.trying("optimizer"):
        optimizer = make_optimizer([nn.Parameter(torch.zeros(1))])
    if optimizer is None or make_scheduler is None:
        return
    with errors.trying("scheduler"):
        scheduler = make_scheduler(optimizer)
        optimizer.step()  # torch warns of a scheduler that goes first
        for _ in range(min(steps, _STEPS)):
            scheduler.step()
        if steps > _STEPS:
            scheduler.last_epoch = steps - 1
            scheduler.step()
