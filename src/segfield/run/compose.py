"""Compose: what train.py, the only Hydra program, does with a composed config. Torch is imported after it."""

import contextlib
import sys
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from segfield.run import launcher, placement


def register() -> None:
    """Make the resolvers and the launcher known to Hydra; call it before hydra.main."""
    placement.share_cores()
    OmegaConf.register_resolver("outputs", lambda: str(placement.outputs()), replace=True)
    OmegaConf.register_resolver("cores", placement.cores, replace=True)
    Plugins.instance().register(launcher.ProcessesLauncher)


def plan(composed: DictConfig, hydra_config: DictConfig, folder: Path) -> None:
    """Check a composed config and freeze it in `folder`.

    Raises:
        CheckError: with everything that is wrong; the folder then is as before.
        ValueError: if `folder` holds another run.
    """
    from segfield.run.check import CheckError, check
    from segfield.run.freeze import freeze

    try:
        config: Any = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise CheckError([str(error)]) from error
    config = placement.absolute(config)
    if not (folder / "config.yaml").exists():
        check(config, folder)
    record = {
        "config.yaml": OmegaConf.to_yaml(composed),
        "hydra.yaml": OmegaConf.to_yaml(hydra_config),
        "overrides.yaml": OmegaConf.to_yaml(hydra_config.hydra.overrides.task),
    }
    freeze(config, folder, record)


def run(composed: DictConfig) -> None:
    """Check, freeze and execute one run.

    Raises:
        SystemExit: 2 where it cannot start, 1 where it failed, 130 or 143 after a signal.
    """
    from segfield.run.execute import attempt

    hydra_config: Any = HydraConfig.instance().cfg
    folder = Path(hydra_config.hydra.runtime.output_dir)
    try:
        plan(composed, hydra_config, folder)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted before the run was frozen\n")
        sys.exit(130)
    except ValueError as error:
        sys.stderr.write(f"This run cannot start:\n{error}\n")
        sys.exit(2)
    finally:
        with contextlib.suppress(OSError):
            folder.rmdir()  # Hydra has made it; it is empty where nothing was frozen
    sys.exit(attempt(folder))
