"""Every conf/augmentation/*.yaml: composes, is edited from the command line, and changes samples."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from segfield.data.loader import collate
from segfield.run import compose as composing
from segfield.run.build import part

CONF = Path(__file__).resolve().parents[2] / "conf"
DATA = sorted(path.stem for path in (CONF / "data").glob("*.yaml"))
NAMES = sorted(path.stem for path in (CONF / "augmentation").glob("*.yaml"))


def composed(*overrides: str) -> dict[str, Any]:
    composing.register()
    with initialize_config_dir(str(CONF)):
        resolved: Any = OmegaConf.to_container(compose("train", overrides=list(overrides)), resolve=True)
    return dict(resolved)


def test_those_of_the_issues_are_here() -> None:
    assert NAMES == ["carvana", "light", "medical", "none", "ocean", "unet_paper"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("data", DATA)
def test_every_augmentation_composes_with_every_data(name: str, data: str) -> None:
    config = composed(f"augmentation={name}", f"data={data}")
    assert (config["augmentation"] is None) == (name == "none")
    assert config["data"]["_target_"].startswith("segfield.data.")


@pytest.mark.parametrize("name", [name for name in NAMES if name != "none"])
def test_it_changes_drawn_samples_and_keeps_their_classes(name: str) -> None:
    config = composed(f"augmentation={name}", "data=blobs", "data.size=[48,64]", "data.length=12")
    data, augmentation = part(config, "data"), part(config, "augmentation")
    data.setup()
    batch = collate([data.item(index) for index in range(8)])
    batch["image"] = batch["image"].float() / 255
    result = augmentation(batch, 0, 0)
    assert set(result["target"].unique().tolist()) == {0, 1}
    assert 0 <= result["image"].min() <= result["image"].max() <= 1 + 1e-6
    moved = [not torch.equal(a, b) for a, b in zip(result["image"], batch["image"], strict=True)]
    assert sum(moved) >= 4
    assert torch.equal(result["index"], batch["index"])


def test_the_command_line_edits_and_removes() -> None:
    words = ("augmentation.affine.rotation=[-30,30]", "augmentation.elastic.sigma=2", "~augmentation.colour.gamma")
    node = composed("augmentation=medical", *words)["augmentation"]
    assert (node["affine"]["rotation"], node["elastic"]["sigma"]) == ([-30, 30], 2)
    assert list(node["colour"]) == ["contrast", "brightness"]
    assert "elastic" not in composed("augmentation=unet_paper", "~augmentation.elastic")["augmentation"]


def test_the_original_carvana_recipe_uses_its_augmentation() -> None:
    node = composed("experiment=carvana_original")["augmentation"]
    assert (node["horizontal_flip"], node["vertical_flip"]) == (0.5, 0.0)
    assert (node["affine"]["shift"], node["affine"]["scale"]) == ([-0.0625, 0.0625], [0.9, 1.1])
    assert node["colour"]["hsv"]["hue"] == [-100, 100]
    assert node["colour"]["hsv"]["saturation"] == pytest.approx([-5 / 255, 5 / 255], abs=1e-4)
    assert node["colour"]["hsv"]["value"] == pytest.approx([-15 / 255, 15 / 255], abs=1e-4)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("augmentation=medical", "augmentation.affine.rotation=[15,-15]"),
            "augmentation.affine.rotation is [low, high]",
        ),
        (
            ("augmentation=unet_paper", "data.size=[16,16]"),
            "- augmentation.elastic.sigma=10 is more than the 7.5 pixels",
        ),
        (("augmentation=carvana", "data=folder", "data.in_channels=1"), "needs an image of 3 channels"),
        (("augmentation=medical", "augmentation.elastic.points=x"), "augmentation.elastic.points=x must be a whole"),
    ],
)
def test_check_tells_what_is_wrong(cli: Callable[..., Any], tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    if "data=folder" in words:
        from PIL import Image

        for number in range(4):
            Image.new("L", (32, 32), 40 * number).save(tmp_path / f"{number}.png")
            Image.new("1", (32, 32), number % 2).save(tmp_path / f"{number}_m.png")
        place = (f"data.images={tmp_path}", f"data.masks={tmp_path}", 'data.mask_pattern="{stem}_m"')
        words = (*words, *place, "data.batch_size=2")
    outcome = cli("segfield", "check", *words, "threads=1", "model.width=4")
    assert outcome.code == 2
    assert said in outcome.err, outcome.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("augmentation=medical",), "- augmentation.affine has no rule for channel 0, 'east'"),
        (
            ("augmentation=medical", "~augmentation.affine", "data/inputs=ssh"),
            "- augmentation.elastic has no rule for channel 0, 'stream': a field of the sea that is stretched is none "
            "that water follows. Use augmentation=ocean, or ~augmentation.elastic.",
        ),
        (("augmentation.quarter_turn=1",), "- augmentation.quarter_turn=1 needs as many rows as columns"),
    ],
)
def test_what_no_water_follows_is_refused_before_anything_runs(
    cli: Callable[..., Any], drift_set: Path, outputs: Path, words: tuple[str, ...], said: str
) -> None:
    place = ("data=ocean_density", f"data.root={drift_set}", "threads=1", "model.width=4", "model.depth=2")
    outcome = cli("train.py", *place, *words)
    assert outcome.code == 2
    assert said in outcome.err, outcome.err
    assert not list(outputs.glob("*/*/config.yaml"))
