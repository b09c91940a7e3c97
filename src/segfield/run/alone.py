"""Parts of a config without the rest of a run: what looks at data before anything is trained composes them here."""

from collections.abc import Sequence
from typing import Any

from segfield.run.build import part
from segfield.run.compose import composed
from segfield.run.inside import paths_outside
from segfield.run.placement import leaves, located
from segfield.run.refusals import REFUSALS, plain
from segfield.run.signature import mismatches
from segfield.run.whitelist import refused


def chosen(words: Sequence[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Compose what `python train.py <words>` would, placed on this machine; nothing is checked yet.

    Returns:
        The config, "???" where a value must be given, and the chosen option of each group.

    Raises:
        ValueError: for a word that Hydra refuses: what to type.
    """
    try:
        config, values, _ = composed(words)
    except REFUSALS as error:
        raise ValueError(plain(error, words)) from error
    if not isinstance(values.get("data"), dict) or "." not in str(values["data"].get("_target_")):
        raise ValueError("data is missing: choose one, data=<an option of conf/data/>.")
    choices = {str(group): str(option) for group, option in config.hydra.runtime.choices.items()}
    return located(values), choices


def alone(config: dict[str, Any], group: str) -> Any:
    """Instantiate one group of a composed config; None where the config leaves it out.

    Raises:
        ValueError: with every reason why it cannot be made, one a line.
    """
    node = config.get(group)
    if not node:
        return None
    missing = [key for key, value in leaves({group: node}) if value == "???"]
    wrong = [f"{key} must be given: {key}=<value>." for key in missing]
    wrong += [*paths_outside({group: node}), *refused({group: node})]
    wrong += [] if wrong else mismatches(group, node)
    if wrong:
        raise ValueError("\n".join(wrong))
    return part({group: node}, group)
