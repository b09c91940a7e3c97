"""Compose: from conf/ and the command line to a checked and frozen folder. Torch is imported after it.

Hydra's own errors are told in plain words here, with exit code 2: nothing has started then.
"""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.errors import HydraException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError, OmegaConfBaseException

from segfield.run import extras, launcher, placement, search
from segfield.run.check import announce, problems
from segfield.run.job import key_of
from segfield.run.refusals import CONF, REFUSALS, culprit_of, plain, unresolved
from segfield.run.worker import WorkerError, anchored, work

_SWEEPS = ("hydra.sweep", "hydra.launcher", "hydra/sweeper", "hydra/launcher")  # words without use in a single run


def register() -> None:
    """Make the resolvers and the launcher known to Hydra; call it before hydra.main."""
    placement.share_cores()
    outputs = str(placement.outputs())  # also on a worker, to which Hydra sends its resolvers
    OmegaConf.register_resolver("outputs", lambda: outputs, replace=True)
    started = datetime.now().strftime("%Y-%m-%d_%H-%M-%S-%f")  # Hydra's now is another one in each copy of a config
    OmegaConf.register_resolver("started", lambda: started, replace=True)
    OmegaConf.register_resolver("cores", placement.cores, replace=True)
    for plugin in (launcher.ProcessesLauncher, search.OptunaSearch):
        Plugins.instance().register(plugin)


def start(main: Callable[[], None]) -> None:
    """Call what hydra.main has made.

    Raises:
        SystemExit: 2 for what Hydra refuses (options, keys, syntax, a folder it cannot make), 1 where a job of a sweep
            failed, 130 after Ctrl-C.
    """
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises its errors, instead of printing tracebacks
    sys.argv[1:] = map(anchored, sys.argv[1:])
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except launcher.JobError as error:
        if isinstance(error, WorkerError):  # others are said when they happen
            sys.stderr.write(f"{error}\n")
        sys.exit(1)
    except (RuntimeError, ConnectionError) as error:
        if (hint := extras.missing(error)) is None:
            raise
        announce([hint])
        sys.exit(2)
    except REFUSALS as error:
        words = sys.argv[1:]
        alone = isinstance(error, HydraException) and not any(word.startswith("-") for word in words)
        announce(faults(words) if alone else [plain(error, words)])
        sys.exit(2)


def composed(words: Sequence[str]) -> tuple[DictConfig, dict[str, Any], dict[str, str]]:
    """Compose what `python train.py <words>` would.

    Returns:
        The config with Hydra's own part; the values without it, and why some do not resolve, as resolved() gives them.

    Raises:
        Exception: one of REFUSALS.
    """
    with initialize_config_dir(str(CONF)):
        config = compose("train", list(words), return_hydra_config=True)
        HydraConfig.instance().set_config(config)
        return config, *resolved(OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"]))


def faults(words: Sequence[str], facts: dict[str, Any] | None = None) -> Iterator[str]:
    """Compose as train.py does and yield everything that keeps the run from starting.

    A word that Hydra refuses is left out, so that the others are checked all the same.

    Args:
        words: of the command line.
        facts: takes what check counted, and `folder`, which the run would get.
    """
    left = list(words)
    while True:
        try:
            config, values, why = composed(left)
            folder = Path(str(config.hydra.run.dir)).absolute()
            break
        except REFUSALS as error:
            yield (text := plain(error, left))
            culprit = culprit_of(error, text, left)
            if culprit is None:
                return
            left.remove(culprit)
            if isinstance(error, MissingConfigException):  # keys of the option that was meant may be unknown to others
                left = [word for word in left if not key_of(word).startswith(f"{key_of(culprit)}.")]
    if facts is not None:
        facts["folder"] = folder
    yield from problems(values, folder, why, facts)


def resolved(config: DictConfig) -> tuple[dict[str, Any], dict[str, str]]:
    """Resolve as far as it goes.

    Returns:
        The config as plain values, "???" where a value must be given or does not resolve; why not, by key.
    """
    with contextlib.suppress(OmegaConfBaseException):  # as a rule all of it resolves
        whole: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
        return placement.absolute(whole), {}
    config = config.copy()
    why: dict[str, str] = {}
    for key, raw in placement.leaves(OmegaConf.to_container(config)):
        try:
            value = OmegaConf.select(config, key, throw_on_missing=True)
            if OmegaConf.is_config(value):
                OmegaConf.to_container(value, resolve=True, throw_on_missing=True)
        except InterpolationToMissingValueError:
            why[key] = f"{key}={raw} needs a value that must be given."
        except OmegaConfBaseException as error:
            reason = f"{key}={raw} does not resolve: {unresolved(error, key)}."
            why[key] = f"{key} must be given: {key}=<value>." if raw == "???" else reason
    for key in why:
        OmegaConf.update(config, key, "???")
    plain_values: Any = OmegaConf.to_container(config, resolve=True)
    return placement.absolute(plain_values), why


def frozen_record(config: DictConfig, hydra_config: DictConfig) -> dict[str, str]:
    """Return the texts of .hydra/ by name."""
    return {
        "config.yaml": OmegaConf.to_yaml(config),
        "hydra.yaml": OmegaConf.to_yaml(hydra_config),
        "overrides.yaml": OmegaConf.to_yaml(hydra_config.hydra.overrides.task),
    }


def plan(config: DictConfig, folder: Path, header: str) -> dict[str, Any]:
    """Resolve a composed config, and check it, or compare it with the run that stands in `folder` already.

    Args:
        config: composed.
        folder: of the run.
        header: of the list of errors, which is written to stderr while they are found.

    Returns:
        The resolved config; nothing where it is wrong.
    """
    values, why = resolved(config)
    return values if accepted(values, why, folder, header) else {}


def accepted(values: dict[str, Any], why: dict[str, str], folder: Path, header: str) -> bool:
    """Check what resolved() gave, or compare it with the run that stands; tell whether it can start.

    Args:
        values: as far as they resolve.
        why: they do not, by key.
        folder: of the run.
        header: of the list of errors.
    """
    return not announce(refused(values, why, folder), header)


def refused(values: dict[str, Any], why: dict[str, str], folder: Path) -> Iterator[str]:
    """Yield what keeps a run from starting, or from continuing the one that stands in its folder."""
    stands = (folder / "config.yaml").exists() and not why
    yield from _against(folder, values) if stands else problems(values, folder, why)


def _against(folder: Path, values: dict[str, Any]) -> Iterator[str]:
    from segfield.run.freeze import freeze

    try:
        freeze(values, folder)  # compares; where a run stands it writes nothing
    except ValueError as error:
        yield str(error)


def run(config: DictConfig) -> Any:
    """Check, freeze and execute one run, or, on a worker of another launcher than ours, a job of a sweep.

    Returns:
        Of a job: see worker.py.

    Raises:
        WorkerError: of a job, likewise.
        SystemExit: 2 where it cannot start, 1 where it failed, 130 or 143 after a signal.
    """
    from segfield.run.execute import attempt
    from segfield.run.freeze import freeze

    hydra_config: Any = HydraConfig.instance().cfg
    if hydra_config.hydra.mode == RunMode.MULTIRUN:
        return work(config)
    folder = Path(hydra_config.hydra.runtime.output_dir)
    try:
        new = not (folder / "config.yaml").exists()
        if words := [word for word in hydra_config.hydra.overrides.hydra if word.startswith(_SWEEPS)]:
            raise ValueError(f"{words[0]} is of a sweep. Add -m: python train.py -m ...")
        values = plan(config, folder, "This run cannot start:")
        if not values:
            sys.exit(2)
        freeze(values, folder, frozen_record(config, hydra_config))
    except ValueError as error:
        sys.stderr.write(f"This run cannot start:\n- {error}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted before the run was frozen\n")
        sys.exit(130)
    finally:
        with contextlib.suppress(OSError):
            folder.rmdir()  # Hydra has made it; it is empty where nothing was frozen
    sys.exit(attempt(folder, checked=new))
