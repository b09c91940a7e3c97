"""fit(config): objects, data, checkpoint and trainer of one execution, in a process of its own or in a rank."""

import logging
from pathlib import Path
from typing import Any

from segfield.files import clear_temporaries
from segfield.run import environment, ranks
from segfield.run.log import quiet_lightning
from segfield.run.rank import Peers
from segfield.run.status import Status

_log = logging.getLogger(__name__)
_BATCH_NORM = (
    "batch norm takes its statistics from each rank's part of a batch, as torch synchronises it on GPUs only: scores "
    "depend on the number of ranks. With model.norm=group they do not"
)


def fit(config: dict[str, Any], status: Status | None, peers: Peers) -> None:
    """Train from the newest checkpoint of the current folder, which is the run's, to the end.

    Args:
        config: frozen, placed.
        status: of the run, which rank 0 keeps up to date; None at the others.
        peers: the ranks; rank 0 alone writes.
    """
    import torch

    from segfield.callbacks.prune import Prune
    from segfield.run.build import build, build_trainer
    from segfield.run.progress import Progress
    from segfield.run.watch import Watch
    from segfield.run.weights import write_digests

    quiet_lightning()
    torch.set_num_threads(ranks.threads(config))
    run = build(config)
    start, purge = peers.once(lambda: _begin(config, run, status))
    if peers.number:
        _follow(run)
    watches = [] if peers.store is None else [Watch(peers.store, ranks.settings(config).timeout)]
    trainer = build_trainer(config, [*run.callbacks, Progress(status), *watches], purge)
    trainer.fit(run.task, datamodule=run.data, ckpt_path=start, weights_only=True)
    write_digests(trainer, Path("checkpoints/best.ckpt"))
    if peers.number == 0:
        clear_temporaries("checkpoints")
    why = next((callback.reason for callback in run.callbacks if isinstance(callback, Prune)), None)
    if status and why:
        status.update(state="pruned", reason=why)


def _begin(config: dict[str, Any], run: Any, status: Status | None) -> list[Any]:
    """Hold the run to its data, choose where it goes on, and write down that it does.

    Returns:
        Path of the checkpoint, None for none; the first step that TensorBoard writes again, None for a new run.
    """
    from segfield.run.checkpoints import starting_point
    from segfield.run.data import hold_data

    assert status is not None, "rank 0 keeps the status"
    clear_temporaries("checkpoints")
    clear_temporaries(".")
    hold_data(run.data, environment.own_entries())
    run.data.decode()  # here the others wait as long as it takes
    start = starting_point(run.task)
    step = start.step if start else 0
    if start:
        _log.info("continuing from step %d", step)
    environment.record(config, step)
    purge = step if status.started_before else None
    status.update(state="running", reason=None, step=step)
    parameters = sum(parameter.numel() for parameter in run.task.parameters())
    train, val = len(run.data.indices("train")), len(run.data.indices("val"))
    if ranks.world_size(config["trainer"]) > 1 and not ranks.gpus(config["trainer"]) and ranks.has_batch_norm(run.task):
        _log.warning(_BATCH_NORM)
    _log.info("%s parameters, %d training and %d validation samples", f"{parameters:,}", train, val)
    return [str(start.path) if start else None, purge]


def _follow(run: Any) -> None:
    """List the data with the split that rank 0 holds the run to."""
    from segfield.run.data import share_data

    share_data(run.data)
