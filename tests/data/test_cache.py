"""data.cache: decode once, map from then on; the values are those of the files."""

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from segfield.data.blobs import Blobs
from segfield.data.carvana import Carvana


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("cache", ["masks", "memory", "disk"])
def test_the_values_are_those_of_the_files_bit_for_bit(
    cache: str, workers: int, carvana: Any, batches: Any, same: Any
) -> None:
    plain = batches(carvana("none", num_workers=workers))
    held = carvana(cache, num_workers=workers)
    assert same(batches(held), plain)
    assert same(batches(held), plain)


def test_every_sample_is_read_once_whatever_seed_split_batch_or_epoch(
    reads: list[str], carvana: Any, batches: Any
) -> None:
    first = carvana()
    assert batches(first)
    assert batches(first)
    others = {"seed": 5, "split_seed": 3, "batch_size": 1, "folds": 2, "fold": 1, "mean": 0.1, "num_workers": 1}
    assert batches(carvana(**others))
    assert sorted(reads) == [id_ for id_, *_ in first.split_table()]


@pytest.mark.parametrize("setting", [{"size": [48, 70]}, {"sample_fraction": 0.5}])
def test_another_size_or_other_samples_are_another_cache(
    reads: list[str], setting: dict[str, Any], carvana: Any
) -> None:
    carvana().decode()
    reads.clear()
    other = carvana(**setting)
    other.decode()
    assert len(reads) == len(other.split_table())


def test_a_changed_file_is_another_cache(
    reads: list[str], carvana: Any, own_cars: Path, batches: Any, same: Any
) -> None:
    carvana(root=own_cars).decode()
    changed = sorted((own_cars / "train").iterdir())[3]
    with Image.open(changed) as picture:
        turned = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    turned.save(changed)
    reads.clear()
    assert same(batches(carvana(root=own_cars)), batches(carvana("none", own_cars)))
    assert len(set(reads)) == 8


def test_a_cache_moves_with_the_data_and_is_found_again(reads: list[str], carvana: Any, own_cars: Path) -> None:
    carvana().decode()
    reads.clear()
    carvana(root=own_cars).decode()
    assert not reads


def test_check_and_audit_build_no_cache(tmp_path: Path, carvana: Any) -> None:
    data = carvana()
    data.item(0)
    data.fingerprint()
    assert not (tmp_path / "caches").exists()


def test_a_cache_of_masks_still_reads_the_images_and_no_mask(
    tmp_path: Path, reads: list[str], carvana: Any, own_cars: Path, batches: Any, same: Any
) -> None:
    data = carvana("masks", own_cars)
    data.decode()
    reads.clear()
    (folder,) = (tmp_path / "caches").iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["lock", "meta.json", "target.bin"]
    plain = batches(carvana("none", own_cars))
    reads.clear()
    assert same(batches(data), plain)
    assert not reads


def test_drawn_data_can_be_held_too(tmp_path: Path, batches: Any, same: Any) -> None:
    def drawn(cache: Any) -> Blobs:
        numbers = {"in_channels": 3, "batch_size": 4, "length": 12, "size": [16, 16]}
        data = Blobs(**numbers, cache=cache, cache_dir=str(tmp_path))  # type: ignore[arg-type]
        data.setup()
        return data

    assert same(batches(drawn("disk")), batches(drawn("none")))
    with pytest.raises(ValueError, match=r"data\.cache=masks: Blobs reads image and mask together.*Use data\.cache=di"):
        drawn("masks").decode()


@pytest.mark.parametrize("lost", ["meta.json", "image.bin", "half of target.bin", "meta is no JSON"])
def test_a_cache_that_is_not_whole_is_built_again(
    tmp_path: Path, reads: list[str], lost: str, carvana: Any, batches: Any, same: Any
) -> None:
    carvana().decode()
    (folder,) = (tmp_path / "caches").iterdir()
    if lost == "half of target.bin":
        os.truncate(folder / "target.bin", (folder / "target.bin").stat().st_size // 2)
    elif lost == "meta is no JSON":
        (folder / "meta.json").write_text('{"format": 1')
    else:
        (folder / lost).unlink()
    reads.clear()
    assert same(batches(carvana()), batches(carvana("none")))
    assert len(reads) == 16


def test_without_a_size_there_is_no_cache(carvana: Any) -> None:
    with pytest.raises(
        ValueError, match=r"data\.cache=disk needs samples of one size, and data\.size is null.*or data\.cache=none"
    ):
        carvana(size=None)


def test_samples_of_different_kinds_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, carvana: Any) -> None:
    read = Carvana.read

    def mixed(self: Carvana, sample: Any, size: Any) -> dict[str, np.ndarray]:
        arrays = read(self, sample, size)
        return {**arrays, "image": arrays["image"].astype(np.float32)} if sample.id.endswith("_02.jpg") else arrays

    monkeypatch.setattr(Carvana, "read", mixed)
    message = (
        r"the first has image uint8 \[3, 48, 72\], target uint8 \[48, 72\], train/\S+_02\.jpg has image float32 .*Use"
    )
    with pytest.raises(ValueError, match=message):
        carvana().decode()
    (folder,) = (tmp_path / "caches").iterdir()
    assert [path.name for path in folder.iterdir()] == ["lock"]


def test_workers_that_are_started_anew_map_the_files_instead_of_copying_them(carvana: Any, same: Any) -> None:
    data = carvana()
    plain = data.item(3)
    data.decode()
    content = pickle.dumps(data)
    assert len(content) < 20_000 < 8 * 3 * 48 * 72
    assert same([pickle.loads(content).item(3)], [plain])


def test_a_slip_of_a_pen_never_reaches_the_cache(carvana: Any) -> None:
    data = carvana()
    data.decode()
    before = data.item(0)["image"].clone()
    data.item(0)["image"].zero_()
    assert torch.equal(carvana().item(0)["image"], before)
