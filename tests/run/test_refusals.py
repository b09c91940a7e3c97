"""Keys that are typed without their group, or of an option that was not chosen."""

from pathlib import Path

import pytest

from segfield.run.compose import faults, register
from segfield.run.refusals import suggestion


def refused(key: str) -> str:
    return f"Could not override '{key}'. To append to your config use +{key}=3 Key '{key}' is not in struct"


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("size", ". Did you mean data.size?"),
        ("lr", ". Did you mean optimizer.lr?"),
        (
            "augmentation.rotation",
            ". Did you mean augmentation.affine.rotation (augmentation=carvana, medical, unet_paper)?",
        ),
        (
            "augmentation.affine.rotation",
            ". augmentation.affine.rotation is a key of augmentation=carvana or medical or unet_paper",
        ),
        ("data.layout", ". data.layout is a key of data=brain_tumour or brain_tumour_classes or brain_tumour_flair"),
        ("nonsense", ""),
    ],
)
def test_a_key_that_ends_like_one_of_conf_is_suggested_with_its_group(key: str, said: str) -> None:
    assert suggestion(refused(key)) == said


def test_where_hydra_suggests_something_itself_and_of_other_texts_nothing_is_said() -> None:
    assert suggestion(refused("trainer.max_epoch") + ". Did you mean: 'max_epochs'?") == ""
    assert suggestion("something else") == ""


def test_a_key_of_few_options_is_suggested_with_them(tmp_path: Path) -> None:
    for name, text in {
        "a": "x: 1\n",
        "b": "x: 1\nfar: {near: 2}\n",
        "c": "# @package _global_\ngroup: {y: 3}\n",
    }.items():
        (tmp_path / "group").mkdir(exist_ok=True)
        (tmp_path / "group" / f"{name}.yaml").write_text(text)
    assert suggestion(refused("near"), tmp_path) == ". Did you mean group.far.near (group=b)?"
    assert suggestion(refused("x"), tmp_path) == ". Did you mean group.x?"
    assert suggestion(refused("y"), tmp_path) == ". Did you mean group.y (group=c)?"


def test_options_of_an_option_that_was_not_chosen_are_told_whose_they_are() -> None:
    register()
    assert next(faults(["data/inputs=ssh"])) == (
        "data/inputs belongs to data=ocean_density: add data=ocean_density, or leave it out."
    )
    assert next(faults(["data=ocean_density", "data.inputs=ssh"])).endswith(
        " does not resolve: data.inputs was given a word. Its options are chosen by data/inputs=<option>."
    )


def test_a_head_that_needs_a_key_of_other_data_says_which() -> None:
    register()
    assert next(faults(["head=conserving"])) == (
        "head.scale=${data.density_scale} does not resolve: only data=ocean_density has data.density_scale. Choose it, "
        "or another head."
    )
