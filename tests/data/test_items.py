"""Files that change or cannot be read while a run goes on, and samples that are skipped for it."""

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import pytest
import torch

from segfield.data.carvana import Carvana
from segfield.data.folder import Folder
from segfield.data.module import PixelwiseData
from segfield.data.sample import Sample

CACHES = ["none", "masks", "disk"]


@final
@dataclass(kw_only=True, eq=False, repr=False)
class Densities(PixelwiseData):
    """Images of float32 with every kind of array; `broken` ones cannot be read."""

    in_channels: int = 2
    batch_size: int = 4
    size: Sequence[int] | None = (3, 5)
    broken: tuple[int, ...] = ()
    without_valid: bool = False

    def samples(self) -> list[Sample]:
        return [Sample(f"{n}", f"{n}", {"number": n}) for n in range(8)]

    def read(self, sample: Sample, size: Sequence[int] | None) -> dict[str, np.ndarray]:
        number = sample.attributes["number"]
        if number in self.broken:
            raise ValueError(f"{number}.nc is cut short.")
        rng = np.random.default_rng(number)
        arrays = {
            "image": rng.random((2, 3, 5), np.float32),
            "target": rng.random((4, 3, 5), np.float32),
            "weight": rng.random((1, 3, 5), np.float32),
        }
        return arrays if self.without_valid else {**arrays, "valid": rng.random((1, 3, 5)) > 0.5}

    def read_picture(self, path: Path, size: Sequence[int] | None) -> np.ndarray:
        raise AssertionError("nobody asks for a picture here")


def densities(**settings: Any) -> Densities:
    data = Densities(**settings)
    data.setup()
    return data


@pytest.mark.parametrize("cache", ["disk", "memory"])
def test_numbers_of_any_type_are_held_as_they_are(
    tmp_path: Path, memory: Path, batches: Any, same: Any, cache: Any
) -> None:
    assert same(batches(densities(cache=cache, cache_dir=str(tmp_path))), batches(densities()))


@pytest.mark.parametrize("cache", ["none", "disk"])
def test_a_skipped_sample_is_zeros_without_a_valid_pixel_and_the_others_stay_what_they_are(
    tmp_path: Path, batches: Any, cache: Any
) -> None:
    settings = {"on_error": "skip", "cache": cache, "cache_dir": str(tmp_path), "split_seed": 1}
    whole, holed = densities(**settings), densities(**settings, broken=(0, 5))
    for one, two in zip(batches(whole), batches(holed), strict=True):
        assert (one["id"], one["index"].tolist()) == (two["id"], two["index"].tolist())
        for place, id_ in enumerate(one["id"]):
            for name in ("image", "target", "weight", "valid"):
                assert one[name].dtype == two[name].dtype
                expected = torch.zeros_like(one[name][place]) if id_ in "05" else one[name][place]
                assert torch.equal(two[name][place], expected)
        skipped = {id_: f"{id_}.nc is cut short." for id_ in one["id"] if id_ in "05"}
        assert two.get("skipped", {}) == skipped
        assert "skipped" not in one


def test_where_one_sample_of_a_batch_is_skipped_all_pixels_of_the_others_are_valid(batches: Any) -> None:
    for batch in batches(densities(on_error="skip", broken=(3,), without_valid=True)):
        if "3" in batch["id"]:
            assert batch["valid"].flatten(1).all(1).tolist() == [id_ != "3" for id_ in batch["id"]]
        else:
            assert "valid" not in batch


def test_a_skipped_sample_is_counted_and_told_once(caplog: pytest.LogCaptureFixture, batches: Any) -> None:
    data = densities(on_error="skip", broken=(0, 5), batch_size=1)
    for _ in range(2):
        for batch in batches(data):
            data.transfer_batch_to_device(batch, torch.device("cpu"), 0)
    assert sorted(data.skipped) == ["0", "5"]
    assert [record.levelname for record in caplog.records] == ["WARNING"] * 2
    assert "2 so far: " in caplog.text
    assert "0.nc is cut short." in caplog.text


@pytest.mark.parametrize("cache", ["none", "disk"])
def test_where_no_sample_can_be_read_nothing_is_skipped(tmp_path: Path, cache: Any) -> None:
    data = densities(on_error="skip", broken=tuple(range(8)), cache=cache, cache_dir=str(tmp_path))
    with pytest.raises(ValueError, match=r"None of 8 samples can be read, .*first.*: 0\.nc is cut short"):
        [data.decode(), data.item(0)]


@pytest.mark.parametrize("cache", CACHES)
def test_a_cache_with_holes_raises_for_them_where_nothing_may_be_skipped(
    own_cars: Path, carvana: Any, cache: str
) -> None:
    image = sorted((own_cars / "train").iterdir())[5]
    image.write_bytes(image.read_bytes()[:-900])
    skipping = carvana(cache, own_cars, on_error="skip")
    skipping.decode()
    assert not skipping.item(5)["valid"].any()
    assert f"{image} is damaged or cut short" in skipping.item(5)["skipped"]
    data = carvana(cache, own_cars)
    data.decode()
    with pytest.raises(ValueError, match=r"_02\.jpg is damaged .*A new run with data\.on_error=skip leaves such sam"):
        data.item(5)
    assert data.item(4)["id"] == data.split_table()[4][0]


def test_a_file_that_was_another_while_a_cache_was_built_is_read_once_it_is_back(own_cars: Path, carvana: Any) -> None:
    data = carvana("disk", root=own_cars, on_error="skip")
    data.fingerprint()
    file = own_cars / data.sample(0).id
    content = file.read_bytes()
    file.write_bytes(content[:-200])
    assert "has changed" in data.item(0)["skipped"]
    data.decode()
    file.write_bytes(content)
    again = carvana("disk", root=own_cars, on_error="skip")
    again.decode()
    assert "skipped" not in again.item(0)
    assert again.item(0)["image"].any()


def test_skipping_needs_a_size() -> None:
    with pytest.raises(ValueError, match=r"data\.on_error=skip needs samples of one size.*data\.on_error=raise"):
        densities(on_error="skip", size=None)


def test_a_wrong_number_of_channels_is_no_unreadable_sample() -> None:
    with pytest.raises(ValueError, match=r"0 has 2 channels, data\.in_channels is 3\. Use data\.in_channels=2\.$"):
        densities(on_error="skip", in_channels=3).item(0)


@pytest.mark.parametrize("cache", CACHES)
def test_a_file_that_changes_during_a_run_is_named_where_it_is_read(own_cars: Path, carvana: Any, cache: str) -> None:
    data = carvana(cache, own_cars)
    data.fingerprint()
    data.decode()
    before = data.item(2)
    image = own_cars / data.split_table()[2][0]
    image.write_bytes(image.read_bytes() + b"\0")
    if cache == "disk":
        assert torch.equal(data.item(2)["image"], before["image"])
        return
    with pytest.raises(ValueError, match=r"_01\.jpg has changed since this run looked at its data: it had [\d,]+ byt"):
        data.item(2)
    image.write_bytes(image.read_bytes()[:-2] + b"\0")
    with pytest.raises(ValueError, match=r"_01\.jpg has changed .*: its content is another\. Give the file of the beg"):
        data.item(2)


def test_a_file_that_is_gone_is_named_and_one_with_another_time_is_none_that_changed(
    own_cars: Path, carvana: Any
) -> None:
    data = carvana("none", own_cars)
    data.fingerprint()
    image = own_cars / data.split_table()[2][0]
    os.utime(image, (1, 1))
    assert data.item(2)["id"] == data.split_table()[2][0]
    image.unlink()
    with pytest.raises(FileNotFoundError, match=r"_01\.jpg is gone: it had [\d,]+ bytes when .* or start a new run"):
        data.item(2)


def test_a_file_that_is_gone_when_the_cache_is_built_ends_the_building(own_cars: Path, carvana: Any) -> None:
    data = carvana("disk", own_cars)
    data.fingerprint()
    (own_cars / data.split_table()[2][0]).unlink()
    with pytest.raises(FileNotFoundError, match=r"_01\.jpg is gone"):
        data.decode()


def test_a_rank_takes_the_hashes_of_another_and_watches_its_own_files(own_cars: Path, carvana: Any) -> None:
    first, second = carvana("none", own_cars), carvana("none", own_cars)
    second.keep_fingerprint(first.fingerprint())
    image = own_cars / first.split_table()[2][0]
    os.utime(image, (1, 1))
    assert second.item(2)["id"] == first.split_table()[2][0]
    image.write_bytes(b"else")
    with pytest.raises(ValueError, match=r"_01\.jpg has changed"):
        second.item(2)


@pytest.fixture
def forbidden(cars: Path) -> Iterator[Path]:
    """Cars of which one photograph may not be read by anybody but root, where this process is somebody else."""
    place = Path(tempfile.mkdtemp())
    place.chmod(0o755)
    shutil.copytree(cars, place / "cars")
    sorted((place / "cars/train").iterdir())[0].chmod(0)
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield place / "cars"
    os.seteuid(user)
    shutil.rmtree(place)


def test_a_file_that_may_not_be_read_is_named_and_can_be_skipped(forbidden: Path) -> None:
    settings = {"in_channels": 3, "batch_size": 2, "size": [48, 72], "root": str(forbidden)}
    refused, skipping = Carvana(**settings), Carvana(**settings, on_error="skip")  # type: ignore[arg-type]
    refused.setup()
    skipping.setup()
    with pytest.raises(
        OSError, match=r"Permission denied: .*_01\.jpg\. Give it back, or check its permissions and its"
    ):
        refused.fingerprint()
    with pytest.raises(ValueError, match=r"_01\.jpg cannot be read: Permission denied\. .*data\.on_error=skip leaves"):
        refused.item(0)
    assert skipping.fingerprint()[0][2:] == (0, "unreadable")
    assert "Permission denied" in skipping.item(0)["skipped"]


@pytest.mark.parametrize("kind", ["carvana", "folder"])
def test_a_folder_that_may_not_be_read_is_named(forbidden: Path, kind: str) -> None:
    data: Any = Carvana(in_channels=3, batch_size=2, root=str(forbidden))
    if kind == "folder":
        data = Folder(in_channels=3, batch_size=2, images=str(forbidden), masks=str(forbidden / "train_masks"))
    os.seteuid(0) if os.getuid() == 0 else None
    (forbidden / "train").chmod(0)
    os.seteuid(65534) if os.getuid() == 0 else None
    with pytest.raises(ValueError, match=r"/train cannot be listed: Permission denied\. Check its permissions"):
        data.setup()
