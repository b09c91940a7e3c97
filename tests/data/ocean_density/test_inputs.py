"""Inputs: the six sets of conf/, what they are checked for, and how their channels turn."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from segfield.data.ocean_density.inputs import SETS, Inputs

CONF = Path(__file__).resolve().parents[3] / "conf/data/inputs"


def of(*variables: str, **given: Any) -> Inputs:
    return Inputs(variables=variables, in_channels=len(variables) + 1, **given)


def test_conf_has_the_six_sets_of_the_notes() -> None:
    content = {path.stem: yaml.safe_load(path.read_text()) for path in CONF.glob("*.yaml")}
    made = {
        name: Inputs(**{key: value for key, value in node.items() if key != "_target_"})
        for name, node in content.items()
    }
    assert {name: (one.channels, list(one.standardised)) for name, one in made.items()} == {
        "uv": ([("u", 0), ("v", 0)], []),
        "ssh": ([("ssh", 0)], []),
        "sst_ssh": ([("sst", 0), ("ssh", 0)], []),
        "sst_pair": ([("sst", 0), ("sst", 1)], []),
        "sst_pair_standardised": ([("sst", 0), ("sst", 1)], ["sst"]),
        "ssh_sst_standardised": ([("ssh", 0), ("sst", 0)], ["sst"]),
    }
    assert {name: set(one.variables) for name, one in made.items()} == {name: set(has) for name, has in SETS.items()}


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        (of("u", "v"), ("east", "north", "scalar")),
        (of("v", "u"), ("north", "east", "scalar")),
        (of("ssh", "sst", "chl"), ("stream", "scalar", "none", "scalar")),
        (of("chl", rules={"chl": "scalar"}), ("scalar", "scalar")),
        (of("u"), ("none", "scalar")),
        (of("u", "v", offsets=[0, 1]), ("none", "none", "scalar")),
        (of("u", "v", standardised=["u"]), ("none", "none", "scalar")),
        (of("ssh", standardised=["ssh"]), ("stream", "scalar")),
    ],
)
def test_a_channel_turns_by_its_rule_and_velocities_only_as_a_vector(inputs: Inputs, words: tuple[str, ...]) -> None:
    assert inputs.rule_words() == words


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"variables": [], "in_channels": 1}, r"variables is empty.*data\.inputs\.variables=\[ssh\]"),
        ({"variables": ["u", "v", "ssh"], "in_channels": 3}, r"are 4 channels, .* Use data\.inputs\.in_channels=4"),
        ({"variables": ["u", "v"], "in_channels": 3, "offsets": [0]}, r"has 1 numbers.*offsets=null"),
        ({"variables": ["sst", "sst"], "in_channels": 3}, r"same one twice.*data\.inputs\.offsets=\[0,1\]"),
        ({"variables": ["ssh"], "in_channels": 2, "standardised": ["sst"]}, r"standardised names sst, .*=\[ssh\] does"),
        ({"variables": ["ssh"], "in_channels": 2, "rules": {"chl": "scalar"}}, r"rules names chl"),
        (
            {"variables": "ssh", "in_channels": 2},
            r"=ssh is a word, expected a list\. Use data\.inputs\.variables=\[ssh\]",
        ),
        (
            {"variables": ["ssh"], "in_channels": 2, "standardised": "ssh"},
            r"standardised=ssh is a word, expected a list\. Use data\.inputs\.standardised=\[ssh\]",
        ),
        ({"variables": ["ssh"], "in_channels": 2, "rules": {"ssh": "up"}}, r"'up' is none of scalar, east"),
    ],
)
def test_inputs_that_contradict_themselves_are_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Inputs(**given)
