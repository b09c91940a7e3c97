"""`segfield prepare carvana` with zips of drawn cars; downloads are test_carvana_download's."""

import re
import shutil
import zipfile
from pathlib import Path

import pytest

from segfield.commands.prepare import main
from segfield.data import competition

PAGE = "https://www.kaggle.com/competitions/carvana-image-masking-challenge"
pytestmark = pytest.mark.usefixtures("small")


def test_the_whole_competition_has_5088_photographs_and_100064_to_predict() -> None:
    whole = type(competition.Counts())()
    assert (whole.cars, whole.of("train"), whole.of("train_masks"), whole.of("test")) == (318, 5088, 5088, 100_064)


def there(folder: Path) -> dict[str, int]:
    return {path.name: len(list(path.iterdir())) for path in folder.iterdir() if path.is_dir() and path.name[0] != "."}


def test_zips_that_lie_there_are_unpacked_once_and_counted(
    tmp_path: Path, zips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["carvana", str(tmp_path / "c"), f"zips={zips}"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    assert said.out.splitlines() == [
        "train/: 4 photographs of 2 cars",
        "train_masks/: 4 masks of 2 cars",
        "test/: 2 photographs of 1 cars",
        "Train on it with:",
        f"  python train.py model=unet data=carvana data.root={tmp_path / 'c'}",
    ]
    assert (tmp_path / "c/metadata.csv").is_file()
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "c").rglob("*.jpg")}
    assert main(["carvana", str(tmp_path / "c"), f"zips={zips}"]) == 0
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "c").rglob("*.jpg")}


def test_zips_in_the_folder_itself_are_found(tmp_path: Path, zips: Path) -> None:
    folder = Path(shutil.copytree(zips, tmp_path / "c"))
    assert main(["carvana", str(folder)]) == 0
    assert there(folder) == {"train": 4, "train_masks": 4, "test": 2}
    assert (folder / "train.zip").is_file()


def test_the_bundle_of_all_zips_serves_and_tables_may_be_unpacked_already(tmp_path: Path, zips: Path) -> None:
    (tmp_path / "z").mkdir()
    with zipfile.ZipFile(tmp_path / "z/carvana-image-masking-challenge.zip", "w") as bundle:
        for name in ("train.zip", "train_masks.zip"):
            bundle.write(zips / name, name)
    with zipfile.ZipFile(zips / "metadata.csv.zip") as archive:
        archive.extractall(tmp_path / "z")
    assert main(["carvana", str(tmp_path / "c"), f"zips={tmp_path / 'z'}"]) == 0
    assert there(tmp_path / "c") == {"train": 4, "train_masks": 4}
    assert (tmp_path / "c/metadata.csv").is_file()


@pytest.mark.parametrize(
    ("start", "byte", "said"),
    [
        (b"PK\x03\x04", 0, "is damaged at train_masks.zip"),
        (b"PK\x01\x02", 8, "is encrypted. Unpack it yourself, with its password"),
    ],
)
def test_a_bundle_whose_zips_cannot_be_taken_out_is_named(
    tmp_path: Path, zips: Path, capsys: pytest.CaptureFixture[str], start: bytes, byte: int, said: str
) -> None:
    path = tmp_path / "z/carvana-image-masking-challenge.zip"
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as bundle:
        for name in ("train_masks.zip", "train.zip"):
            bundle.write(zips / name, name)
    content = bytearray(path.read_bytes())
    inside = len(content) - 150 if byte else 0  # the bundle's own directory stands at its end
    content[content.index(start, inside) + byte] ^= 1
    path.write_bytes(content)
    assert main(["carvana", str(tmp_path / "c"), f"zips={path.parent}"]) == 1
    assert re.search(said, capsys.readouterr().err)


def test_a_bundle_that_is_cut_short_is_named(tmp_path: Path, zips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "carvana-image-masking-challenge.zip").write_bytes((zips / "train.zip").read_bytes()[:1000])
    assert main(["carvana", str(tmp_path / "c"), f"zips={tmp_path}"]) == 1
    assert "carvana-image-masking-challenge.zip is damaged or cut short: its end is missing" in capsys.readouterr().err


def test_a_part_that_was_not_asked_for_is_not_missed(tmp_path: Path, zips: Path) -> None:
    assert main(["carvana", str(tmp_path / "c"), f"zips={zips}", "parts=test"]) == 0
    assert there(tmp_path / "c") == {"test": 2}


def test_what_lacks_is_counted_with_code_1(tmp_path: Path, zips: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["carvana", str(tmp_path / "c"), f"zips={zips}"])
    first = min((tmp_path / "c/train").iterdir())
    first.unlink()
    assert main(["carvana", str(tmp_path / "c"), f"zips={zips}"]) == 1
    err = capsys.readouterr().err
    assert "- train/ has 3 files of the competition's names, expected 4." in err
    assert f"- train/: cars with other than 2 views: 1, first {first.name[:12]} with 1." in err


def test_zips_that_lack_are_named_with_where_to_get_them(
    tmp_path: Path, zips: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "z").mkdir()
    shutil.copy(zips / "train.zip", tmp_path / "z")
    assert main(["carvana", str(tmp_path / "c"), f"zips={tmp_path / 'z'}"]) == 1
    assert f"z lacks train_masks.zip. Download them at {PAGE}/data" in capsys.readouterr().err
    assert main(["carvana", str(tmp_path / "c"), f"zips={tmp_path / 'nowhere'}"]) == 1
    assert "nowhere is no folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "expected: <folder>; got: nothing"),
        (["zips=x"], "expected: <folder>; got: zips=x"),
        (["c", "zip=x"], "unknown argument 'zip=x'"),
        (["c", "zips="], "unknown argument 'zips='"),
        (["c", "parts=train,validation"], "'validation' is none of train, test, hq"),
    ],
)
def test_a_wrong_call_is_answered_with_the_usage_and_code_2(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["carvana", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "usage: python -m segfield prepare carvana" in error
