import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segfield.data.carvana import Carvana
from segfield.data.demo import prepare_carvana
from segfield.data.fingerprint import drift, fingerprint, read_table, write_table
from segfield.data.folder import Folder
from segfield.data.module import PixelwiseData


def ready(data: PixelwiseData) -> PixelwiseData:
    data.setup()
    return data


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "carvana"
    prepare_carvana(folder, cars=2, views=2, size=(32, 48), test_cars=0)
    return folder


@pytest.fixture
def root(demo: Path, tmp_path: Path) -> Path:
    """A copy that the test may change, in another place."""
    return Path(shutil.copytree(demo, tmp_path / "another/carvana"))


def carvana(root: Path) -> PixelwiseData:
    return ready(Carvana(in_channels=3, batch_size=1, root=str(root), size=[32, 48]))


def in_folders(images: Path, masks: Path, pattern: str = "{stem}") -> PixelwiseData:
    places = {"images": str(images), "masks": str(masks), "mask_pattern": pattern}
    return ready(Folder(in_channels=1, batch_size=1, **places))


def pair(image: Path, mask: Path) -> None:
    for path in (image, mask):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4)).save(path)


def test_every_file_is_named_relative_to_the_root_with_bytes_and_sha256(root: Path) -> None:
    rows = carvana(root).fingerprint()
    files = sorted(path for name in ("train", "train_masks") for path in (root / name).iterdir())
    assert sorted(file for _, file, *_ in rows) == [path.relative_to(root).as_posix() for path in files]
    for _, file, size, digest in rows:
        content = (root / file).read_bytes()
        assert (size, digest) == (len(content), hashlib.sha256(content).hexdigest()[:16])
    assert {id_ for id_, *_ in rows} == {id_ for id_, *_ in carvana(root).split_table()}


def test_the_same_tree_elsewhere_and_through_a_link_has_the_same_fingerprint(
    demo: Path, root: Path, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(root)
    assert carvana(demo).fingerprint() == carvana(root).fingerprint() == carvana(tmp_path / "link").fingerprint()


def test_run_lengths_count_by_their_row(root: Path) -> None:
    shutil.rmtree(root / "train_masks")
    before = carvana(root).fingerprint()
    table = root / "train_masks.csv"
    lines = table.read_text().splitlines()
    lines[1] = lines[1].rsplit(" ", 1)[0] + " 1"
    table.write_text("\n".join([*lines[:1], *reversed(lines[1:])]))  # the order of rows is nothing
    name = lines[1].split(",")[0]
    assert drift(before, carvana(root).fingerprint()) == [f"changed: train_masks.csv, row of train/{name}"]


def test_a_byte_that_changed_a_file_that_is_gone_and_a_new_one_are_named(root: Path) -> None:
    before = carvana(root).fingerprint()
    changed, gone, *_ = sorted((root / "train").iterdir())
    content = bytearray(changed.read_bytes())
    content[-1] ^= 1
    changed.write_bytes(content)
    gone.rename(root / f"train/{gone.stem[:-1]}9.jpg")
    (root / f"train_masks/{gone.stem}_mask.gif").rename(root / f"train_masks/{gone.stem[:-1]}9_mask.gif")
    assert drift(before, carvana(root).fingerprint()) == [
        f"changed: train/{changed.name}",
        f"gone: train/{gone.name}",
        f"gone: train_masks/{gone.stem}_mask.gif",
        f"new: train/{gone.stem[:-1]}9.jpg",
        f"new: train_masks/{gone.stem[:-1]}9_mask.gif",
    ]


def test_only_samples_in_use_count(root: Path) -> None:
    before = carvana(root)
    table = before.split_table()
    (root / "train/0123456789ab_01.jpg").write_bytes(b"new")
    (root / "train_masks/0123456789ab_01_mask.gif").write_bytes(b"new")
    data = Carvana(in_channels=3, batch_size=1, root=str(root))
    data.keep_split(table)
    data.setup()
    assert drift(before.fingerprint(), data.fingerprint()) == []


def test_images_and_masks_of_one_name_are_told_apart_wherever_they_lie(tmp_path: Path) -> None:
    for name in ("a", "b"):
        pair(tmp_path / f"x/{name}.png", tmp_path / f"y/{name}.png")
        pair(tmp_path / f"z/{name}.png", tmp_path / f"z/labels/{name}.png")
        pair(tmp_path / f"one/p/{name}.png", tmp_path / f"one/p/{name}_mask.png")
    expected = [
        ("a.png", "images/a.png"),
        ("a.png", "masks/a.png"),
        ("b.png", "images/b.png"),
        ("b.png", "masks/b.png"),
    ]
    (tmp_path / "link").symlink_to(tmp_path / "x")
    for images, masks in (("x", "y"), ("link", "y"), ("z", "z/labels")):
        data = in_folders(tmp_path / images, tmp_path / masks)
        assert [row[:2] for row in data.fingerprint()] == expected
    one = in_folders(tmp_path / "one", tmp_path / "one", "{stem}_mask").fingerprint()
    assert [Path(row[1]).relative_to(Path(row[1]).parts[0]).as_posix() for row in one] == [
        "p/a.png", "p/a_mask.png", "p/b.png", "p/b_mask.png",
    ]  # fmt: skip


def test_a_file_of_several_samples_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "volume.h5").write_bytes(b"x" * 10)
    opened: list[str] = []
    digest = hashlib.file_digest

    def counted(file: object, name: str) -> object:
        opened.append(name)
        return digest(file, name)  # type: ignore[arg-type]

    monkeypatch.setattr(hashlib, "file_digest", counted)
    samples = [(f"{n}", {"volume": tmp_path / "volume.h5", "slice": n}) for n in range(5)]
    rows = fingerprint(samples, {tmp_path: ""}, lambda _: {})
    assert [row[:3] for row in rows] == [(f"{n}", "volume.h5", 10) for n in range(5)]
    assert len(opened) == 1


def test_drawn_arrays_count_by_type_shape_and_bits() -> None:
    def of(array: np.ndarray) -> str:
        ((_, _, _, digest),) = fingerprint([("a", {"index": 0})], {}, lambda _: {"image": array})
        return digest

    one = np.arange(6, dtype=np.int32)
    others = [one.reshape(2, 3), one.astype(np.uint32), one + 1, one.reshape(2, 3).T]
    assert len({of(array) for array in (one, *others)}) == 5
    assert of(one.copy()) == of(one)


def test_a_file_that_is_gone_since_it_was_listed_is_named(root: Path) -> None:
    data = carvana(root)
    gone = min((root / "train").iterdir())
    gone.unlink()
    with pytest.raises(FileNotFoundError, match=gone.name):
        data.fingerprint()


ROWS = [("a", "train/a.jpg", 3, "0" * 16), ('b,"\n', 'train/b,"\n.jpg', 2**40, "f" * 16)]


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_table(tmp_path / "data.csv", ROWS)
    assert read_table(tmp_path / "data.csv") == ROWS
    assert (tmp_path / "data.csv").read_bytes().startswith(b"id,file,bytes,sha256\na,train/a.jpg,3,0000000000000000\n")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("id,group,part\n", 1),
        ("id,file,bytes,sha256\na,b,3,0\na,b,3\n", 3),
        ("id,file,bytes,sha256\na,b,-3,0\n", 2),
        ("id,file,bytes,sha256\na,b,x,0\n", 2),
        (f"id,file,bytes,sha256\n{'x' * 200_000},b,3,0\n", 2),
        ("\0\0\0\0", 1),
    ],
)
def test_a_table_that_is_none_is_named_with_its_line(tmp_path: Path, text: str, line: int) -> None:
    (tmp_path / "data.csv").write_text(text)
    message = rf"data\.csv, line {line}: expected id,file,bytes,sha256, .*Restore it from a copy of the run\."
    with pytest.raises(ValueError, match=message):
        read_table(tmp_path / "data.csv")
