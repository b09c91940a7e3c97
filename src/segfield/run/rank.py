"""One of several processes of a run: what `execute` does where torch elastic has started it.

A rank composes nothing and takes no lock: its launcher holds it. Where the user started torchrun (several nodes),
rank 0 stands in for the launcher. Only rank 0 writes to the run folder; the others write ranks/<n>.log.
"""

import contextlib
import json
import logging
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn, TypeVar, final

from segfield.files import write_text
from segfield.processes import die_with_parent
from segfield.run.pool import appended
from segfield.run.ranks import LAUNCHER, LOST, Ranks, gpus, is_rank, local_ranks, settings, threads, world_size

_log = logging.getLogger(__name__)
T = TypeVar("T")

_LONGEST = timedelta(days=7)  # that others wait for what rank 0 does once: reading a large data set, for example
_BROKEN = re.compile(r"gloo/transport|Connection (closed|reset)|Timed out waiting|Broken pipe|NCCL", re.IGNORECASE)


def number() -> int:
    """Return this process's rank; 0 where there is one process."""
    return int(os.environ["RANK"]) if is_rank() else 0


def world() -> int:
    """Return the number of ranks; 1 where there is one process."""
    return int(os.environ["WORLD_SIZE"]) if is_rank() else 1


def log_of(rank: int) -> str:
    """Return where a rank says what it has to say, in the run folder."""
    return f"ranks/{rank}.log" if rank else "log.txt"


def begin() -> None:
    """Tie this rank to its launcher's life.

    Raises:
        SystemExit: if the launcher is gone already.
    """
    die_with_parent()
    if os.getppid() != int(os.environ.get(LAUNCHER, os.getppid())):
        raise SystemExit(LOST)


def talk_to_log(folder: Path) -> None:
    """Send what a rank other than 0 says to its own log; not before the folder is known to be sound."""
    if number():
        log = folder / log_of(number())
        log.parent.mkdir(exist_ok=True)
        sys.stdout.flush()
        sys.stderr.flush()
        with appended(log) as file:
            os.dup2(file, 1)
            os.dup2(file, 2)


def fits(config: dict[str, Any]) -> None:
    """Compare the ranks that were started with those that the run wants.

    Raises:
        ValueError: if their numbers differ; what to type instead.
    """
    trainer = config["trainer"]
    here, nodes = local_ranks(trainer), int(trainer.get("num_nodes") or 1)
    started = int(os.environ["LOCAL_WORLD_SIZE"])
    if here != started or world_size(trainer) != world():
        raise ValueError(
            f"torchrun started {world()} ranks, {started} on this node; trainer.devices={here} "
            f"trainer.num_nodes={nodes} want {here * nodes}. Give the same numbers: "
            f"torchrun --nnodes {nodes} --nproc-per-node {here}, or execute <folder> trainer.devices={started} "
            f"trainer.num_nodes={world() // started}."
        )


@contextlib.contextmanager
def group(config: dict[str, Any]) -> Iterator["Peers"]:
    """Meet the other ranks; at a clean end wait for all of them, after an error leave at once."""
    import torch
    import torch.distributed as dist
    from torch.distributed.rendezvous import rendezvous

    os.environ["OMP_NUM_THREADS"] = str(threads(config))  # else Lightning takes all cores of the machine
    ranks: Ranks = settings(config)
    # Ten times: a hang is found, and named, by watch.py; a collective by itself only tells that it waited.
    limit = timedelta(seconds=10 * ranks.timeout)
    device = None
    if gpus(config["trainer"]) and torch.cuda.is_available():
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    backend = "nccl" if device else "gloo"
    try:
        with _mortal():
            store, rank, size = next(iter(rendezvous("env://", timeout=timedelta(minutes=15))))
            peers = {"store": store, "rank": rank, "world_size": size}
            dist.init_process_group(backend, **peers, timeout=limit, device_id=device)
    except dist.DistNetworkError as error:
        raise ValueError(
            f"The ranks cannot meet at {os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}: "
            f"{str(error).splitlines()[0]} Where the port is in use give torchrun another one: "
            "--rdzv-endpoint <node 0>:<port>."
        ) from error
    yield Peers(store)
    dist.barrier()
    dist.destroy_process_group()  # else rank 0 may die of SIGABRT when its threads outlive it


@contextlib.contextmanager
def _mortal() -> Iterator[None]:
    """Let signals end this process while it waits in torch, where Python's handlers would wait too."""
    both = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, signal.SIG_DFL) for number in both}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@final
class Peers:
    """The ranks of a run, or its one process.

    Args:
        store: of key and value, which all ranks see; None where there is one process.
    """

    def __init__(self, store: Any = None) -> None:
        self.store, self._turn = store, 0
        self.number = number()

    def once(self, work: Callable[[], T]) -> T:
        """Do some work at rank 0 while the others wait for it, and return its result everywhere.

        Call it alike on every rank. A result is made of numbers, words, lists and null: it travels as JSON.
        """
        if self.store is None:
            return work()
        self._turn += 1
        key = f"segfield/once/{self._turn}"
        if self.number == 0:
            result = work()
            self.store.set(key, json.dumps(result))
            return result
        with _mortal():
            self.store.wait([key], _LONGEST)
        content: T = json.loads(self.store.get(key))
        return content


def leave(error: BaseException, reason: str, code: int | None = None) -> NoReturn:
    """End a rank after an error, at once: what is left of the group would wait for the others.

    Args:
        error: that ended it.
        reason: what it says, for the launcher.
        code: exit code; None: LOST where the others are gone, 1 for an error of its own.
    """
    if code is None:
        code = LOST if _is_lost(error) else 1
    with contextlib.suppress(OSError):
        if path := os.environ.get("TORCHELASTIC_ERROR_FILE"):
            report(Path(path), reason)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def report(path: Path, reason: str) -> None:
    """Write an error as torch elastic reads it."""
    write_text(path, json.dumps({"message": reason, "timestamp": str(int(time.time()))}))


def _is_lost(error: BaseException) -> bool:
    """Tell whether an error comes from the ranks' connection: another rank is gone."""
    known = getattr(sys.modules.get("torch.distributed"), "DistError", ())  # torch may be half imported
    return isinstance(error, known) or (isinstance(error, RuntimeError) and bool(_BROKEN.search(str(error))))
