"""What can be wrong before work starts: found in two phases, told in one list.

First what needs no import of torch, so that it is told within a second; then, in rehearsal.py, what needs the objects.
"""

import contextlib
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeGuard

from segfield.run.freeze import NEEDED, OPTIONAL, SEVERAL
from segfield.run.inside import nodes, paths_outside
from segfield.run.log import told_later
from segfield.run.placement import leaves, located
from segfield.run.ranks import STRATEGIES, is_free, is_rank, taken
from segfield.run.signature import near, shown
from segfield.run.whitelist import refused

_ABSENT = object()
ELSEWHERE = "Choose another place with SEGFIELD_OUTPUTS=<folder>, hydra.run.dir=<folder> (a sweep: hydra.sweep.dir)."
# (key, least, most, what it is, an example); a key that may be absent has its class's default then.
_WHOLE: tuple[tuple[str, int, int | None, str, int], ...] = (
    ("seed", 0, 2**32 - 1, "a whole number", 0),
    ("threads", 1, None, "a number of processor cores", 1),
    ("trainer.num_nodes", 1, None, "a number of machines", 1),
    ("trainer.max_epochs", 1, None, "a number of epochs", 10),
    ("trainer.accumulate_grad_batches", 1, None, "a number of slices", 1),
    ("trainer.check_val_every_n_epoch", 1, None, "a number of epochs", 1),
    ("trainer.log_every_n_steps", 0, None, "a number of steps", 10),
    ("trainer.num_sanity_val_steps", -1, None, "a number of batches", 0),
    ("data.batch_size", 1, None, "a number of samples", 4),
    ("data.num_workers", 0, None, "a number of processes", 0),
)
_MAY_LACK = ("trainer.num_nodes", "trainer.accumulate_grad_batches", "data.batch_size", "data.num_workers")
_MAY_BE_NULL = ("trainer.check_val_every_n_epoch", "trainer.log_every_n_steps", "trainer.num_sanity_val_steps")
# Values of the trainer that Lightning would take and a run would ignore or break on; what to do instead.
_REFUSED = {
    "fast_dev_run": "would keep no checkpoint and no score. Use debug=fast",
    "overfit_batches": "would change the order of the data. Use data.sample_fraction",
}


class CheckError(ValueError):
    """The configuration cannot run; the message lists every reason found."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("\n".join(f"- {error}" for error in errors))
        self.errors = errors


def check(config: dict[str, Any], folder: Path) -> None:
    """Verify a resolved config.

    Args:
        config: resolved, not yet frozen.
        folder: where the run would stand.

    Raises:
        CheckError: with every error found.
    """
    errors = list(problems(config, folder))
    if errors:
        raise CheckError(errors)


def announce(found: Iterable[str], header: str = "This run cannot start:") -> bool:
    """Write errors to stderr as they are found, under one header; tell whether there were any."""
    wrong = False
    for error in found:
        sys.stderr.write(f"- {error}\n" if wrong else f"{header}\n- {error}\n")
        sys.stderr.flush()
        wrong = True
    return wrong


def problems(
    config: dict[str, Any],
    folder: Path,
    unresolved: Mapping[str, str] | None = None,
    facts: dict[str, Any] | None = None,
) -> Iterator[str]:
    """Yield everything that keeps a config from running, each error when it is found.

    Torch is imported after the first phase alone. A group that one phase refused is skipped by the next.

    Args:
        config: resolved as far as it can be; "???" stands where it cannot.
        folder: where the run would stand.
        unresolved: why, by key.
        facts: takes what was counted: parameters, train and val [samples], bytes of the checkpoints. None: a run
            follows, which says of its data what is to be said.
    """
    try:
        list(nodes(config))
        found = refused(config)
    except ValueError as error:  # nested without end, or SEGFIELD_ALLOW is no list of classes
        yield str(error)
        return
    config = _placed(config)
    wrong: set[str] = set()
    for key, text in _without_torch(config, folder, found, unresolved or {}):
        wrong.add(key)
        yield text

    from segfield.run.rehearsal import Rehearsal

    with told_later() if facts is None else contextlib.nullcontext():
        yield from Rehearsal(config, folder, wrong, {} if facts is None else facts).problems()


def _placed(config: dict[str, Any]) -> dict[str, Any]:
    """Return the config as located for this machine, if it has what that looks at."""
    data, trainer = config.get("data"), config.get("trainer")
    return located(config) if _is_node(trainer) and _is_node(data) and "." in data["_target_"] else config


def standing(folder: Path) -> Path:
    """Return the folder, or the nearest of its parents that exists."""
    return next(parent for parent in (folder, *folder.parents) if os.path.exists(parent))  # noqa: PTH110, never raises


def _without_torch(
    config: dict[str, Any], folder: Path, not_allowed: list[str], unresolved: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    """Yield (key, error)."""
    for key, value in leaves(config):
        if "???" in (value if isinstance(value, list) else [value]):
            yield key, unresolved.get(key, f"{key} must be given: {key}=<value>.")
    for error in [*paths_outside(config), *not_allowed]:
        yield re.split(r"[=:\s]", error, maxsplit=1)[0], error
    yield from _groups(config)
    yield from _numbers(config)
    yield from _trainer(config.get("trainer"))
    yield from _port(config)
    existing = standing(folder)
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        why = "cannot be written to" if existing.is_dir() else "is a file"
        yield "", f"{folder} cannot be made: {existing} {why}. {ELSEWHERE}"


def _groups(config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    known = (*NEEDED, *OPTIONAL, *SEVERAL, "seed", "threads")
    for name in config:
        if name not in known:
            yield str(name), f"{name} is no part of a run, which has {', '.join(known)}{near(str(name), known)}"
    for name in (*NEEDED, *OPTIONAL, *SEVERAL):
        group = config.get(name)
        if group in (None, {}, "???"):
            if name in NEEDED and group != "???":
                yield name, f"{name} is missing: choose one, {name}=<an option of conf/{name}/>."
        elif name not in SEVERAL:
            if not _is_node(group):
                yield name, f"{name} must name a class with {name}._target_; it is {shown(group)}."
        elif not isinstance(group, dict):
            yield name, f"{name} must be nodes by name, as in conf/{name}/; it is {shown(group)}."
        else:
            for inner, node in group.items():
                if node and node != "???" and not _is_node(node):
                    key = f"{name}.{inner}"
                    yield key, f"{key} must name a class with {key}._target_; it is {shown(node)}. Or remove it: ~{key}"


def _is_node(value: Any) -> TypeGuard[dict[str, Any]]:
    return isinstance(value, dict) and isinstance(value.get("_target_"), str)


def _numbers(config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for key, least, most, what, example in _WHOLE:
        value = _value(config, key)
        may_lack = key in _MAY_LACK or key in _MAY_BE_NULL
        if value == "???" or (value is _ABSENT and may_lack) or (value is None and key in _MAY_BE_NULL):
            continue
        if type(value) is not int or value < least or (most is not None and value > most):
            bounds = f"{least} or more" if most is None else f"from {least} to {most}"
            text = "" if value is _ABSENT else f"={shown(value)}"
            yield key, f"{key}{text} must be {what}, {bounds}. Use {key}={example}."


def _value(config: dict[str, Any], key: str) -> Any:
    group, _, name = key.rpartition(".")
    node = config.get(group) if group else config
    return node.get(name, _ABSENT) if isinstance(node, dict) else (_ABSENT if not group else "???")


def _trainer(trainer: Any) -> Iterator[tuple[str, str]]:
    """Judge values that Lightning would take, and we do not."""
    if not isinstance(trainer, dict):
        return
    yield from _devices(trainer)
    if trainer.get("max_steps") not in (None, -1, "???"):
        text = f"trainer.max_steps={shown(trainer['max_steps'])}: such a run is not continued exactly."
        yield "trainer.max_steps", f"{text} Use trainer.max_epochs and trainer.limit_train_batches."
    precision = trainer.get("precision")
    if precision in ("16-true", "bf16-true"):
        text = f"trainer.precision={precision}: weights stay float32. Use trainer.precision=bf16-mixed."
        yield "trainer.precision", text
    for name, what in (("limit_train_batches", "trains"), ("limit_val_batches", "validates")):
        if trainer.get(name) == 0:
            yield f"trainer.{name}", f"trainer.{name}={shown(trainer[name])} {what} nothing. Use 1.0 for all batches."
    for name, why in _REFUSED.items():
        if trainer.get(name):
            yield f"trainer.{name}", f"trainer.{name}={shown(trainer[name])} {why}."
    yield from _validation(trainer)


def _devices(trainer: dict[str, Any]) -> Iterator[tuple[str, str]]:
    devices, strategy = trainer.get("devices"), trainer.get("strategy", "auto")
    if devices not in ("auto", "???") and not (type(devices) is int and (devices > 0 or devices == -1)):
        text = f"trainer.devices={shown(devices)} must be a number of devices of one machine, or auto"
        yield "trainer.devices", f"{text}; choose which with CUDA_VISIBLE_DEVICES=0,1. Use trainer.devices=1."
    if strategy not in (*STRATEGIES, "???"):
        text = f"trainer.strategy={shown(strategy)} is none of {', '.join(STRATEGIES)}"
        yield "trainer.strategy", f"{text}, which start their processes here. Use trainer.strategy=ddp."
    tasks, nodes = os.environ.get("SLURM_NTASKS", ""), trainer.get("num_nodes") or 1
    if tasks.isdecimal() and type(nodes) is int and int(tasks) > nodes:
        text = (
            f"SLURM_NTASKS={tasks}: this run takes {nodes}, one per node, which starts a process per device by itself"
        )
        each = devices if type(devices) is int and devices > 0 else "<number>"
        mend = f"#SBATCH --nodes={nodes} --ntasks-per-node=1 --gpus-per-node={each}"
        yield (
            "trainer.num_nodes",
            f"{text}. Use {mend}, or, in a shell of SLURM's, SLURM_NTASKS={nodes} before the command.",
        )


def _port(config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    port = (config.get("ranks") or {}).get("port")
    if type(port) is int and 0 < port < 2**16 and not is_rank() and not is_free(port):
        yield "ranks.port", taken(port)


def _validation(trainer: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Judge how often a run validates."""
    interval = trainer.get("val_check_interval")
    if interval not in (None, "???") and (type(interval) not in (int, float) or not interval > 0):
        text = f"trainer.val_check_interval={shown(interval)} must be a share of an epoch, or a number of slices"
        yield "trainer.val_check_interval", f"{text}: a run that goes by the clock cannot be repeated. Use 1.0."
    every, epochs = trainer.get("check_val_every_n_epoch"), trainer.get("max_epochs")
    if type(every) is int and type(epochs) is int and every > epochs > 0:
        text = f"trainer.check_val_every_n_epoch={every} is more than trainer.max_epochs={epochs}: no epoch is scored"
        yield "trainer.check_val_every_n_epoch", f"{text}. Use 1."
