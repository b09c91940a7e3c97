"""Several processes for one run: how many, how they are started and what becomes of them when one of them ends.

Ranks are started by torch elastic, one per device, each as `python -m segfield execute <folder>`; rank.py is what they
do. Whether they are started again is decided here: an error of a rank's own would only come again.
"""

import contextlib
import logging
import os
import signal
import socket
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, final

_log = logging.getLogger(__name__)

STRATEGIES = ("auto", "ddp", "fsdp")
LAUNCHER = "SEGFIELD_LAUNCHER"  # in a rank's environment: the process that holds the folder's lock and waits for it
LOST, HUNG = 113, 114  # exit codes of a rank that lost the others, and of one that found that a rank hangs
_TO_SAVE = 60.0  # [s] that ranks may take after a signal, beside the time in which a hang is found
_ELASTIC = "torch.distributed.elastic"


class RankError(RuntimeError):
    """A rank ended a run; the message names it and says why."""


@final
class Ranks:
    """How the processes of one run are looked after, where there are several.

    Args:
        max_restarts: how often all of them start again, from the last checkpoint, after one was killed.
        timeout: [s] without a sign of progress from any rank, after which the one that hangs is named and the run ends;
            a restart in which a rank hangs counts as one, and is followed by the next.
        port: where rank 0 listens for the others; None: any free one.

    Raises:
        ValueError: if a number is outside its range.
    """

    def __init__(self, max_restarts: int = 3, timeout: float = 300.0, port: int | None = None) -> None:
        if max_restarts < 0:
            raise ValueError(f"ranks.max_restarts={max_restarts} is a number of restarts, 0 or more. Use 3.")
        if not 1 <= timeout < 10**7:
            raise ValueError(f"ranks.timeout={timeout} is a number of seconds, 1 or more. Use 300.")
        if port is not None and not 0 < port < 2**16:
            raise ValueError(f"ranks.port={port} is no port: use one from 1024 to 65535, or null for any free one.")
        self.max_restarts, self.timeout, self.port = max_restarts, float(timeout), port


def settings(config: dict[str, Any]) -> Ranks:
    """Return the config's Ranks; the default where it is older than they are."""
    node = {name: value for name, value in (config.get("ranks") or {}).items() if not name.startswith("_")}
    return Ranks(**node)


def is_rank() -> bool:
    """Tell whether this process was started by torch elastic."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def gpus(trainer: dict[str, Any]) -> int:
    """Return the number of accelerators that a run may use here; 0 where it runs on the CPU."""
    import torch

    on_cpu = trainer.get("accelerator") == "cpu" or not torch.accelerator.is_available()
    return 0 if on_cpu else torch.accelerator.device_count()


def local_ranks(trainer: dict[str, Any]) -> int:
    """Return the number of processes of one node; "auto" is one per GPU, one on a CPU."""
    devices = trainer["devices"]
    return max(1, gpus(trainer)) if devices in ("auto", -1) else int(devices)


def world_size(trainer: dict[str, Any]) -> int:
    """Return the number of processes of a run."""
    return local_ranks(trainer) * int(trainer.get("num_nodes") or 1)


def threads(config: dict[str, Any]) -> int:
    """Return the number of processor cores that one process of a run computes with: the ranks of a node share them."""
    return max(1, int(config["threads"]) // local_ranks(config["trainer"]))


def wanted(trainer: dict[str, Any]) -> bool:
    """Tell whether a run has ranks: several devices, or a strategy for them, or several nodes."""
    return trainer.get("strategy") in STRATEGIES[1:] or world_size(trainer) > 1


def has_batch_norm(network: Any) -> bool:
    """Tell whether a torch module takes statistics from its batch, which each rank has a part of."""
    from torch.nn.modules.batchnorm import _BatchNorm

    return any(isinstance(module, _BatchNorm) for module in network.modules())


def launch(folder: Path, placement: Sequence[str], config: dict[str, Any]) -> None:
    """Start the ranks of a run on this node and wait for them; after a kill start them again.

    Raises:
        RankError: if a rank failed, hangs without a kill before, or the restarts were more than ranks.max_restarts.
        SystemExit: 130 or 143 after SIGINT or SIGTERM, which the ranks have got too.
        ValueError: if the port is taken.
    """
    ranks, trainer = settings(config), config["trainer"]
    _log.info("starting %d ranks, %d threads each", local_ranks(trainer), threads(config))
    command = ["-m", "segfield", "execute", str(folder), *placement]
    for restart in range(ranks.max_restarts + 1):
        failures = _started(command, local_ranks(trainer), ranks)
        if not failures:
            return
        _judge(failures, restarted=restart > 0)
        told = "; ".join(f"rank {number} {_end(failure)}" for number, failure in sorted(failures.items()))
        if {failure.exitcode for failure in failures.values()} == {LOST}:
            told += "; one ended without a word, see ranks/*.log"
        if restart < ranks.max_restarts:
            text = "%s: all ranks start again from the last checkpoint (restart %d of %d)"
            _log.warning(text, told, restart + 1, ranks.max_restarts)
    raise RankError(f"{told}, after {ranks.max_restarts} restarts (ranks.max_restarts). See log.txt and ranks/*.log.")


def refuse_several_nodes(folder: Path, trainer: dict[str, Any]) -> None:
    """Let a run of several nodes be started on each of them.

    Raises:
        ValueError: if the run wants more than one; what to type there.
    """
    if (nodes := int(trainer.get("num_nodes") or 1)) > 1:
        devices = local_ranks(trainer)
        raise ValueError(
            f"This run wants {nodes} nodes, and a node starts its own ranks only. It is frozen; type on each node:\n"
            f"  torchrun --nnodes {nodes} --nproc-per-node {devices} --rdzv-backend c10d "
            f"--rdzv-endpoint <node 0>:29500 --rdzv-id {folder.name} -m segfield execute {folder}\n"
            "Or use one node: trainer.num_nodes=1."
        )


def _started(command: Sequence[str], processes: int, ranks: Ranks) -> Mapping[int, Any]:
    """Run all ranks once; return the ends of those that did not end well, by rank."""
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.rendezvous.api import RendezvousConnectionError

    from segfield.run.agent import Agent

    with tempfile.TemporaryDirectory(prefix="segfield-") as logs, _environment(), _quiet():
        try:
            agent = Agent(command, processes, ranks.port, ranks.timeout + _TO_SAVE, DefaultLogsSpecs(log_dir=logs))
            return agent.ends()
        except SignalException as stop:
            raise SystemExit(128 + int(stop.sigval)) from stop
        except RendezvousConnectionError as error:
            raise ValueError(taken(ranks.port) if ranks.port else f"The ranks cannot meet: {error}") from error


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """Tell ranks whose they are, and the agent which signals it passes on."""
    given = {LAUNCHER: str(os.getpid()), "TORCHELASTIC_SIGNALS_TO_HANDLE": "SIGTERM,SIGINT"}
    given["TORCH_CPP_LOG_LEVEL"] = os.environ.get("TORCH_CPP_LOG_LEVEL", "ERROR")  # DDP's advice, broken connections
    before = {name: os.environ.get(name) for name in given}
    os.environ.update(given)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the agent's own account from the terminal: what it says is said here in plain words."""
    logger = logging.getLogger(_ELASTIC)
    nowhere, before = logging.NullHandler(), logger.propagate
    logger.addHandler(nowhere)
    logger.propagate = False
    try:
        yield
    finally:
        logger.propagate = before
        logger.removeHandler(nowhere)


def _judge(failures: Mapping[int, Any], *, restarted: bool) -> None:
    """Return where the ranks may start again; else raise what ended the run.

    A rank that hangs does so again, as a rule; not where it met the others anew after a kill.
    """
    by_code = {failure.exitcode: (number, failure) for number, failure in sorted(failures.items(), reverse=True)}
    if HUNG in by_code and not restarted:
        raise RankError(by_code[HUNG][1].message)
    own = [(number, failure) for number, failure in sorted(failures.items()) if failure.exitcode in (1, 2)]
    if own:
        number, failure = own[0]
        raise RankError(f"rank {number} failed: {failure.message}")
    if set(by_code) <= {130, 143}:  # somebody signalled the ranks themselves: all of them have saved
        raise SystemExit(max(by_code))


def _end(failure: Any) -> str:
    if failure.exitcode < 0:
        return f"was killed ({signal.Signals(-failure.exitcode).name})"
    if failure.exitcode == HUNG:
        return f"found that {failure.message}"
    return "lost the others" if failure.exitcode == LOST else f"ended with exit code {failure.exitcode}"


def taken(port: int) -> str:
    """Say that a port is in use."""
    return f"ranks.port={port} is in use by another process. Use another one, or ranks.port=null for any free one."


def is_free(port: int) -> bool:
    """Tell whether a port of this machine can be listened at."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True
