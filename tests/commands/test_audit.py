"""`segfield audit` as a user types it, in a forked child; data damaged as it is met in the wild."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from segfield.data.demo import prepare_carvana

Cli = Callable[..., Any]
SIZE = "data.size=[64,96]"


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audited") / "carvana"
    prepare_carvana(folder, cars=3, views=2, size=(64, 96), test_cars=0)
    return folder


@pytest.fixture
def root(drawn: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage."""
    return Path(shutil.copytree(drawn, tmp_path / "carvana"))


@pytest.fixture
def audit(cli: Cli, tmp_path: Path) -> Callable[..., tuple[Any, dict[str, Any]]]:
    """Audit Carvana's layout in a folder: the outcome, and audit.json with findings by kind."""

    def call(root: Path, *words: str) -> tuple[Any, dict[str, Any]]:
        outcome = cli("segfield", "audit", "data=carvana", f"data.root={root}", SIZE, f"out={tmp_path / 'out'}", *words)
        facts = json.loads((tmp_path / "out/audit.json").read_text())
        for name in ("errors", "warnings"):
            facts[name] = {finding["kind"]: finding for finding in facts[name]}
        return outcome, facts

    return call


Audit = Callable[..., tuple[Any, dict[str, Any]]]


def files(root: Path) -> tuple[list[Path], list[Path]]:
    return sorted((root / "train").iterdir()), sorted((root / "train_masks").iterdir())


def test_sound_data_is_described_with_code_0(audit: Audit, drawn: Path, tmp_path: Path) -> None:
    outcome, facts = audit(drawn)
    assert outcome.code == 0, outcome.err
    assert facts["errors"] == {}
    assert (facts["samples"], facts["groups"], facts["sound"]) == (6, 3, 6)
    assert {part: row["groups"] for part, row in facts["parts"].items()} == {"train": 2, "val": 1}
    assert facts["files"]["image"] == {"kinds": {"jpg": 6}, "modes": {"RGB": 6}, "sizes": {"64x96": 6}}
    assert facts["files"]["mask"]["modes"] == {"P": 6}
    assert facts["mask_values"] == {"{0, 1}": 6}
    assert [row["name"] for row in facts["classes"]] == ["background", "car"]
    assert "6 of 3 groups, 6 can be used" in outcome.out
    assert outcome.out.splitlines()[-1] == f"wrote {tmp_path / 'out/audit.html'} and audit.json"
    assert (tmp_path / "out/audit.html").stat().st_size < 1_000_000


def test_a_damaged_file_is_named_by_its_path(audit: Audit, root: Path) -> None:
    photographs, _ = files(root)
    photographs[1].write_bytes(photographs[1].read_bytes()[:900])
    outcome, facts = audit(root)
    assert outcome.code == 1
    (name,) = facts["errors"]["unreadable"]["names"]
    assert name.startswith(f"{photographs[1]} is damaged or cut short")
    assert "samples with a file that cannot be read: 1. Copy or download them again" in outcome.err
    assert facts["sound"] == 5


def test_missing_and_orphaned_masks_are_named_and_the_others_audited(audit: Audit, root: Path) -> None:
    photographs, masks = files(root)
    masks[0].unlink()
    photographs[3].unlink()
    outcome, facts = audit(root)
    assert outcome.code == 1
    assert facts["errors"]["missing"]["names"] == [str(photographs[0])]
    assert facts["warnings"]["orphaned"]["names"] == [str(masks[3])]
    assert facts["sound"] == 4


def test_a_mask_of_another_size_and_one_of_greys_are_told_apart(audit: Audit, root: Path) -> None:
    _, masks = files(root)
    Image.new("L", (48, 32)).save(masks[0])
    Image.fromarray(np.tile(np.arange(96, dtype=np.uint8), (64, 1))).save(masks[1])
    outcome, facts = audit(root)
    assert outcome.code == 1
    assert f"its mask {masks[0]} is 32x48" in facts["errors"]["mask size"]["names"][0]
    assert f"{masks[1]} holds 96 values" in facts["errors"]["mask values"]["names"][0]


def test_the_same_photograph_in_two_parts_is_an_error(audit: Audit, root: Path) -> None:
    photographs, masks = files(root)
    for car in {path.name[:12] for path in photographs}:
        shutil.copy(photographs[0], root / f"train/{car}_50.jpg")
        shutil.copy(masks[0], root / f"train_masks/{car}_50_mask.gif")
    outcome, facts = audit(root)
    assert outcome.code == 1
    assert "images that stand in several parts, pixel by pixel: 1" in outcome.err
    (name,) = facts["errors"]["duplicates"]["names"]
    assert name.count("_50.jpg") == 3
    assert name.endswith("(train, val)")


def test_a_copy_in_another_part_that_was_saved_again_is_a_warning(audit: Audit, root: Path) -> None:
    photographs, masks = files(root)
    for place, car in enumerate(sorted({path.name[:12] for path in photographs})):
        with Image.open(photographs[0]) as picture:
            picture.save(root / f"train/{car}_50.jpg", quality=60 + place)
        shutil.copy(masks[0], root / f"train_masks/{car}_50_mask.gif")
    outcome, facts = audit(root)
    assert outcome.code == 0
    assert "look alike" in outcome.err
    assert facts["warnings"]["near-duplicates"]["names"]
    assert facts["likeness"]["near"][0]["distance"] <= facts["likeness"]["bits"]


def test_masks_without_any_foreground_are_an_error(audit: Audit, root: Path) -> None:
    for path in files(root)[1]:
        Image.new("L", (96, 64)).save(path)
    outcome, facts = audit(root)
    assert outcome.code == 1
    assert facts["errors"]["all empty"]["what"] == "all 6 masks are empty"


def test_images_of_several_sizes_need_a_working_size(audit: Audit, root: Path) -> None:
    photographs, masks = files(root)
    for path in (photographs[0], masks[0]):
        with Image.open(path) as picture:
            picture.resize((48, 32), Image.Resampling.NEAREST).save(path)
    outcome, facts = audit(root, "data.size=null")
    assert outcome.code == 1
    assert facts["errors"]["sizes"]["names"] == ["64x96: 5 images", "32x48: 1 images"]
    assert audit(root)[0].code == 0


def test_data_that_cannot_be_split_is_audited_all_the_same(audit: Audit, root: Path) -> None:
    for path in [path for folder in files(root) for path in folder]:
        if path.name[:12] != files(root)[0][0].name[:12]:
            path.unlink()
    outcome, facts = audit(root)
    assert outcome.code == 1
    assert facts["sound"] == 2
    assert "A split by group needs at least 2 groups" in facts["errors"]["split"]["mend"]


def test_a_folder_without_data_is_answered_with_where_to_get_it(audit: Audit, tmp_path: Path) -> None:
    outcome, facts = audit(tmp_path / "nowhere")
    assert outcome.code == 1
    assert "there is no folder" in facts["errors"]["no data"]["mend"]
    assert "prepare demo carvana" in outcome.err


def test_augmented_samples_are_a_picture_beside_the_page(audit: Audit, drawn: Path, tmp_path: Path) -> None:
    outcome, _ = audit(drawn, "--augmented")
    assert outcome.code == 0, outcome.err
    with Image.open(tmp_path / "out/augmented.png") as picture:
        assert picture.mode == "RGB"
        assert picture.size == (4 * 96 + 3 * 4, 64)  # four training samples
        colours = {colour for _, colour in picture.convert("RGB").getcolors(2**24) or ()}
    assert "<h2>Augmented</h2>" in (tmp_path / "out/audit.html").read_text()
    assert (255, 220, 0) in colours  # as a mask is drawn in the page's samples


def test_a_skipped_sample_is_named_all_the_same_and_not_augmented(audit: Audit, root: Path, tmp_path: Path) -> None:
    for path in files(root)[0]:
        if path != files(root)[0][-1]:
            path.write_bytes(b"")
    _, facts = audit(root, "--augmented", "data.on_error=skip")
    assert len(facts["warnings"]["skipped"]["names"]) == 5
    assert "unreadable" not in facts["errors"]
    if (tmp_path / "out/augmented.png").exists():
        with Image.open(tmp_path / "out/augmented.png") as picture:
            assert picture.size == (96, 64)


def test_data_without_files_is_audited_where_runs_go(cli: Cli, outputs: Path) -> None:
    outcome = cli("segfield", "audit", "data=blobs", "data.length=40", "data.size=[32,32]")
    assert outcome.code == 0, outcome.err
    (folder,) = (outputs / "audits/blobs").iterdir()
    assert json.loads((folder / "audit.json").read_text())["samples"] == 40


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["data=carvana", "data.rot=x"], "data.rot"),
        (["data=cavana"], "data=cavana: conf/data/ has blobs"),
        (["data=blobs", "data.length=many"], "data.length"),
        (["data=blobs", "--fast"], "audit takes overrides, out=<folder> and --augmented; found --fast."),
        (["data=blobs", "out="], "out= names no folder"),
    ],
)
def test_a_wrong_call_is_told_with_code_2(cli: Cli, words: list[str], said: str) -> None:
    outcome = cli("segfield", "audit", *words)
    assert outcome.code == 2
    assert said in outcome.err


def test_a_place_that_cannot_be_written_is_named_with_code_2(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    outcome = cli("segfield", "audit", "data=blobs", "data.length=4", f"out={tmp_path / 'file/out'}")
    assert outcome.code == 2
    assert f"{tmp_path / 'file/out'} cannot be written" in outcome.err


def test_a_file_whose_name_is_html_stays_a_name(cli: Cli, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("<script>alert(1)<", '"><img src=x onerror=alert(1)>'.replace("/", ""), "c&d"):
        for folder in ("images", "masks"):
            path = tmp_path / folder / f"{name}.png"
            path.parent.mkdir(exist_ok=True)
            Image.fromarray(rng.integers(0, 2, (16, 16), dtype=np.uint8)).save(path)
    (tmp_path / "images" / "<b>x<.png").write_bytes(b"<script>alert(2)</script>")
    shutil.copy(tmp_path / "masks" / "c&d.png", tmp_path / "masks" / "<b>x<.png")
    places = (f"data.images={tmp_path / 'images'}", f"data.masks={tmp_path / 'masks'}")
    outcome = cli("segfield", "audit", "data=folder", *places, "data.in_channels=1", f"out={tmp_path / 'out'}")
    assert outcome.code == 1, outcome.err
    page = (tmp_path / "out/audit.html").read_text()
    assert "&lt;script&gt;alert(1)&lt;.png" in page
    for tag in ("<script", "<img src=x", "<b>x", "http://", "https://"):
        assert tag not in page
    assert "default-src 'none'" in page
