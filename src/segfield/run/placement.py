"""Placement: the closed list of keys that say where a run is computed, never what.

They are frozen like the others, may be given again at execution, and never count as a change of the experiment.
"""

import copy
import difflib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

KEYS = (
    "data.root",
    "data.images",
    "data.masks",
    "data.cache",
    "data.cache_dir",
    "data.num_workers",
    "trainer.accelerator",
    "trainer.devices",
    "trainer.num_nodes",
    "trainer.strategy",
    "ranks.max_restarts",
    "ranks.timeout",
    "ranks.port",
    "threads",
)
# What null means at execution, beside data.root and threads (the cores given): files under experiments/ hold null.
_HERE = {
    "data.cache": "none",
    "data.num_workers": 0,
    "trainer.accelerator": "auto",
    "trainer.devices": 1,
    "trainer.num_nodes": 1,
    "trainer.strategy": "auto",
    "ranks.max_restarts": 3,
    "ranks.timeout": 300.0,
}
SOURCES = ("data.root", "data.images", "data.masks")  # where data is read from
FOLDERS = (*SOURCES, "data.cache_dir")
# Files beside the data: what they hold is part of the experiment, so they are no placement.
FILES = ("data.split_file", "data.fold_file")
PROJECT = Path(__file__).resolve().parents[3]


def outputs() -> Path:
    """Return where run folders are made: $SEGFIELD_OUTPUTS, else outputs/ of the project."""
    return Path(os.environ.get("SEGFIELD_OUTPUTS") or PROJECT / "outputs").expanduser().absolute()


def cores() -> int:
    """Return the number of processor cores that this process was given: by the system, by SLURM or by Ray."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    name = "OMP_NUM_THREADS" if "RAY_JOB_ID" in os.environ else "SLURM_CPUS_PER_TASK"  # Ray's way to tell a task
    given = os.environ.get(name, "")
    return min(found, int(given)) if given.isdecimal() and int(given) else found


def share_cores() -> None:
    """Let OpenMP's waiting threads sleep instead of spin; call it before torch is imported.

    Beside other work on the same cores (a sweep, a second user) a step is then faster
    (experiments/speed/contention.py); the environment's own OMP_WAIT_POLICY wins. Results keep their bits.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def leaves(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted key, value) of every leaf of nested mappings; a list is a leaf, unless it holds mappings."""
    if isinstance(config, dict) and config:
        for name, value in config.items():
            yield from leaves(value, f"{prefix}.{name}" if prefix else str(name))
    elif isinstance(config, list) and any(isinstance(value, dict) for value in config):
        for place, value in enumerate(config):
            yield from leaves(value, f"{prefix}.{place}")
    else:
        yield prefix, config


def difference(old: dict[str, Any], new: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return {key: (old, new)} for every key whose value differs, placement aside; a key that is absent is None."""
    before, after = dict(leaves(old)), dict(leaves(new))
    keys = [key for key in {**before, **after} if key not in KEYS]
    return {key: (before.get(key), after.get(key)) for key in keys if before.get(key) != after.get(key)}


def absolute(config: dict[str, Any], typed: Sequence[str] = FILES) -> dict[str, Any]:
    """Return the config with typed data locations made absolute.

    Args:
        config: as composed or changed.
        typed: which of FILES were typed here and now; one that is not here lies in the data's folder, and stays.
    """
    config = copy.deepcopy(config)
    data = config.get("data") or {}
    for key in (*FOLDERS, *FILES):
        name = key.removeprefix("data.")
        if data.get(name) is not None:
            path = Path(str(data[name])).expanduser().absolute()
            if key in FOLDERS or (key in typed and path.is_file()):
                data[name] = str(path)
    return config


def override(config: dict[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """Return the config with placement keys replaced: key=value, values as YAML.

    Raises:
        ValueError: for any other key, or a word that is no assignment.
    """
    for assignment in assignments:
        key, equals, _ = assignment.partition("=")
        if equals and key not in KEYS:
            near = difflib.get_close_matches(key, KEYS, n=1)
            raise ValueError(
                f"{key} is no placement{f' (did you mean {near[0]}?)' if near else ''}. What is computed is frozen in "
                f"the run's config.yaml; execute changes only where: {', '.join(KEYS)}. For another experiment start a "
                f"new run: python train.py ... {assignment}"
            )
    return change(config, assignments)


def change(config: dict[str, Any], assignments: Sequence[str]) -> dict[str, Any]:
    """Return the config with any keys replaced that it has: key=value, values as YAML; +key=value adds one.

    Raises:
        ValueError: for a key that is not there (or, with +, is there already), or a word that is no assignment.
    """
    config = copy.deepcopy(config)
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals:
            raise ValueError(f"Expected key=value after the folder, found {assignment!r}: for example threads=4.")
        *parents, last = key.removeprefix("+").split(".")
        node: Any = config
        for parent in parents:
            node = node.get(parent) if isinstance(node, dict) else None
        if not isinstance(node, dict) or (last in node) == key.startswith("+") or isinstance(node.get(last), dict):
            raise ValueError(_no_such(config, key))
        node[last] = _value(assignment, text)
    return absolute(config, [assignment.partition("=")[0].removeprefix("+") for assignment in assignments])


def _no_such(config: dict[str, Any], key: str) -> str:
    if key in FOLDERS:
        name = str(config["data"].get("_target_")).rpartition(".")[2]
        here = ", ".join(name for name, _ in leaves(config) if name in KEYS)
        return f"{key}: {name}, this run's data, has no such folder. Its placement keys are {here}."
    known = [name for name, _ in leaves(config)]
    near = difflib.get_close_matches(key.removeprefix("+"), known, n=1)
    if near == [key.removeprefix("+")]:
        return f"{key}: this run has that key already. Leave the + out."
    suggestion = f"did you mean {near[0]}? " if near else ""
    return f"{key}: this run has no such key with one value; {suggestion}Its config.yaml shows all of them."


def _value(assignment: str, text: str) -> Any:
    try:
        parsed: Any = OmegaConf.to_container(OmegaConf.create(f"value: {text}"), resolve=False)
        return parsed["value"]  # OmegaConf's YAML, to which 1e-3 is a number
    except (yaml.YAMLError, OmegaConfBaseException, TypeError, KeyError, ValueError) as error:
        raise ValueError(f"{assignment}: the value is no YAML. Write for example threads=4.") from error


def located(config: dict[str, Any]) -> dict[str, Any]:
    """Return the config with every placement that was not typed, or not kept, filled in for this machine.

    A data root is $SEGFIELD_DATA/<data>, else data/<data> of the project: where that alone is there, or the variable is
    not set.
    """
    config = placed(config)
    data = config["data"]
    if "root" in data and data["root"] is None:
        name = data["_target_"].split(".")[-2]
        own, base = PROJECT / "data" / name, os.environ.get("SEGFIELD_DATA")
        given = Path(base).absolute() / name if base else own
        data["root"] = str(own if own.is_dir() and not given.is_dir() else given)
    return config


def placed(config: dict[str, Any]) -> dict[str, Any]:
    """Return the config with every placement but the data's filled in where it is null."""
    config = copy.deepcopy(config)
    for key, value in _HERE.items():
        group, name = key.split(".")
        node = config.get(group) or {}  # a run may be older than ranks
        if name in node and node[name] is None:
            node[name] = value
    if config.get("threads") is None:
        config["threads"] = cores()
    return config


def unplaced(config: dict[str, Any]) -> dict[str, Any]:
    """Return the config with every placement key null: what may be kept in a repository and used elsewhere."""
    config = copy.deepcopy(config)
    for key, _ in list(leaves(config)):
        if key in KEYS:
            *parents, last = key.split(".")
            node = config
            for parent in parents:
                node = node[parent]
            node[last] = None
    return config
