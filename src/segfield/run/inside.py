"""A run writes inside its own folder only: paths in a config, and links in a folder, that lead elsewhere."""

from pathlib import Path
from typing import Any

from segfield.run.placement import leaves


def paths_outside(config: dict[str, Any]) -> list[str]:
    """Find paths that lead out of the run folder, and what would be resolved at execution; only data lies elsewhere."""
    errors = []
    for key, value in leaves(config):
        for word in value if isinstance(value, list) else [value]:
            if not isinstance(word, str) or key.endswith("_target_"):
                continue
            if "${" in word:
                errors.append(f"{key}={word} is an interpolation: a frozen config holds values. Write the value.")
            path = Path(word)
            outside = path.is_absolute() or word.startswith("~") or ".." in path.parts or "://" in word
            if outside and not key.startswith("data."):
                errors.append(
                    f"{key}={word} leads out of the run folder: a run writes inside its own folder only. "
                    "Use a relative path without '..', or choose the folder with hydra.run.dir=<folder>."
                )
    return errors
