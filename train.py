"""Compose a run from conf/ and the command line, check it, freeze it in a folder, execute it.

python train.py model=unet data=carvana data.root=<folder>

The only Hydra program of the project. It imports torch nowhere at the top: --help and --cfg answer at once.
"""

import sys
from typing import Any

try:
    import hydra
    from omegaconf import DictConfig

    from segfield.run import compose
except ModuleNotFoundError as error:
    sys.exit(f"{error}. Set up once with `make setup`, then type: source .venv/bin/activate (in the project's folder)")
except KeyboardInterrupt:
    sys.exit(130)

compose.register()


@hydra.main(config_path="conf", config_name="train", execution_whitelist=[])  # a config names no hydra.callbacks either
def main(config: DictConfig) -> Any:
    """Run what was composed, in a sweep (-m) only on a worker of ray or submitit: our launcher starts processes."""
    return compose.run(config)


if __name__ == "__main__":
    compose.start(main)
