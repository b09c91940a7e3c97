"""conf/ mirrors src/: what the rules of DESIGN.md ask of the configuration."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from segfield.run import compose as composing
from segfield.run import whitelist
from segfield.run.inside import paths_outside
from segfield.run.placement import KEYS, leaves

PROJECT = Path(__file__).resolve().parents[1]
CONF = PROJECT / "conf"
FILES = sorted(path for path in CONF.rglob("*.yaml") if path.parent.parent.name != "hydra" and path.parent != CONF)
MODELS = sorted(path.stem for path in (CONF / "model").glob("*.yaml"))
DATA = sorted(path.stem for path in (CONF / "data").glob("*.yaml"))


def targets(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from (value for key, value in node.items() if key == "_target_")
        for value in node.values():
            yield from targets(value)


def composed(*overrides: str) -> dict[str, Any]:
    composing.register()
    with initialize_config_dir(str(CONF)):
        config = compose("train", overrides=list(overrides))
        resolved: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    return dict(resolved)


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_every_target_of_conf_is_in_the_whitelist(file: Path) -> None:
    named = set(targets(yaml.safe_load(file.read_text())))
    assert named <= set(whitelist.LISTED)


def test_every_segfield_class_of_the_whitelist_is_used_by_conf() -> None:
    used = {target for file in FILES for target in targets(yaml.safe_load(file.read_text()))}
    assert {name for name in whitelist.LISTED if name.startswith("segfield.")} <= used


@pytest.mark.parametrize("group", ["model", "data"])
def test_a_config_targets_the_one_class_of_the_module_of_its_name(group: str) -> None:
    package = {"model": "models", "data": "data"}[group]
    for file in (CONF / group).glob("*.yaml"):
        content = yaml.safe_load(file.read_text())
        node = content.get(group, content)  # of a file that chooses its task too
        if "_target_" in node:
            assert node["_target_"].startswith(f"segfield.{package}.{file.stem}.")
        else:
            variant_of = content["defaults"][0].partition("@")[0]
            assert file.stem.startswith(f"{variant_of}_"), f"{file} is a variant of {variant_of} by another name"


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("data", DATA)
def test_every_model_composes_with_every_data(model: str, data: str) -> None:
    config = composed(f"model={model}", f"data={data}")
    assert config["model"]["in_channels"] == config["data"]["in_channels"]
    assert config["callbacks"]["best"]["monitor"] == config["task"]["monitor"]
    assert paths_outside(config) == []


def test_the_original_recipe_is_available() -> None:
    config = composed("optimizer=sgd", "scheduler=plateau")
    assert (config["optimizer"]["lr"], config["optimizer"]["momentum"]) == (0.01, 0.99)
    assert (config["callbacks"]["plateau"]["patience"], config["callbacks"]["plateau"]["min_lr"]) == (2, 1e-7)
    assert config["task"]["threshold"] == 0.5
    assert config["scheduler"] is None


@pytest.mark.parametrize("words", [[], ["task=binary"], ["data=carvana"]])
def test_scores_chosen_on_the_command_line_win_over_those_of_the_task(words: list[str]) -> None:
    config = composed("metrics=binary_group", *words, "task.threshold=0.3")
    names = {"dice": "Dice", "dice_set": "DiceSet", "iou": "IoU", "accuracy": "PixelAccuracy"}
    classes = {name: f"segfield.metrics.{kind}" for name, kind in names.items()}
    classes["dice_group"] = "segfield.metrics.group.DiceGroup"
    assert {name: node["_target_"] for name, node in config["metrics"]["metrics"].items()} == classes
    assert {node["threshold"] for node in config["metrics"]["metrics"].values()} == {0.3}
    assert "dice_group" not in composed(*words)["metrics"]["metrics"]


def test_data_with_several_classes_choose_their_task_which_names_them() -> None:
    config = composed("data=blobs_shapes", "metrics=multiclass_group")
    assert config["loss"]["_target_"] == "segfield.losses.CEDice"
    assert config["task"]["activation"] == {"_target_": "torch.nn.Softmax", "dim": 1}
    names = ["background", "ellipse", "polygon"]
    assert config["metrics"]["classes"] == config["metrics"]["metrics"]["dice_group"]["classes"] == names
    assert config["model"]["out_channels"] == config["data"]["out_channels"] == 3
    assert {**composed()["data"], **config["data"]} == config["data"]
    assert composed("data=blobs_shapes", "task=binary")["loss"]["_target_"] == "segfield.losses.BCEDice"


@pytest.mark.parametrize("words", [[], ["callbacks=prune"]])
def test_densities_bring_their_own_pictures_and_the_roll_out_beside_the_callbacks_that_are_chosen(
    words: list[str],
) -> None:
    callbacks = composed("data=ocean_density", *words)["callbacks"]
    assert callbacks["panels"]["_target_"] == "segfield.callbacks.density_panels.DensityPanels"
    assert callbacks["panels"]["height"] == composed(*words)["callbacks"]["panels"]["height"]
    assert callbacks["rollout"]["_target_"] == "segfield.callbacks.rollout.Rollout"
    assert set(callbacks) == {"rollout", *composed(*words)["callbacks"]}
    assert composed("data=ocean_density", "~callbacks.rollout", *words)["callbacks"].keys() == callbacks.keys() - {
        "rollout"
    }


@pytest.mark.parametrize("data", DATA)
def test_every_data_names_as_many_classes_as_its_network_tells_apart(data: str) -> None:
    content = composed(f"data={data}")["data"]
    assert len(content["classes"]) == max(2, content["out_channels"])


@pytest.mark.parametrize("data", DATA)
def test_no_data_holds_samples_out_by_default(data: str) -> None:
    assert composed(f"data={data}")["data"]["test_fraction"] == 0


def test_data_locations_of_conf_are_null() -> None:
    for file in (CONF / "data").glob("*.yaml"):
        content = yaml.safe_load(file.read_text())
        content = content.get("data", content)
        typed = {key: content.get(key.removeprefix("data.")) for key in KEYS if key.startswith("data.")}
        for how in ("data.num_workers", "data.cache"):
            typed.pop(how)
        assert not any(typed.values()), file


def test_interpolations_are_numbers_words_or_lists_of_them_never_nodes() -> None:
    for file in FILES:
        for key, value in leaves(yaml.safe_load(file.read_text()) or {}):
            chosen = key.startswith("defaults.")  # there ${data} is the name of the option
            if isinstance(value, str) and "${" in value and "hydra" not in value and not chosen:
                config = composed(f"model={MODELS[0]}")
                name = value.strip("${}")
                found = OmegaConf.select(OmegaConf.create(config), name)
                several = list(found) if OmegaConf.is_list(found) else [found]
                assert not any(OmegaConf.is_config(one) for one in several), f"{file}: {key}"


@pytest.mark.parametrize("flag", [["--help"], ["--cfg", "job"]])
def test_help_and_the_composed_config_are_shown_without_importing_torch(flag: list[str]) -> None:
    code = (
        "import runpy, sys\n"
        f"sys.argv = [{str(PROJECT / 'train.py')!r}, *{flag!r}]\n"
        "try:\n    runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "finally:\n    print('torch' in sys.modules, 'numpy' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False False"
    assert "optimizer" in done.stdout
