"""Images that are asked for: their order, their names, and how many are read ahead."""

import threading
from pathlib import Path

import pytest

from segfield.run.pictures import Picture, ahead, pictures


def test_no_more_than_a_few_images_are_read_ahead() -> None:
    started: list[str] = []
    asked = (Picture(Path(f"{number}"), f"{number}") for number in range(1000))
    found = ahead(lambda picture: started.append(picture.name), asked)
    names = []
    for number, (picture, result) in enumerate(found, start=1):
        result.result()
        names.append(picture.name)
        assert len(started) <= number + 5
        if number == 100:
            break
    assert names == [f"{number}" for number in range(100)]
    found.close()  # type: ignore[attr-defined]
    assert len(started) < 110


def test_an_error_comes_with_its_image_and_ends_no_other() -> None:
    def work(picture: Picture) -> int:
        return 1 // int(picture.name)

    asked = [Picture(Path(name), name) for name in ("1", "0", "1")]
    found = [result.exception() is None for _, result in ahead(work, iter(asked))]
    assert found == [True, False, True]
    assert threading.active_count() < 20


def write(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"")


def test_files_are_sorted_by_name_and_further_suffixes_are_the_datas_own(tmp_path: Path) -> None:
    write(tmp_path, "b.PNG", "a/2.jpg", "a/1.tif", "3.mat", "c.txt", ".d.png", ".e/f.png", "out/masks/b.png")
    found = pictures([tmp_path], [], tmp_path / "out")
    assert [picture.name for picture in found] == ["a/1", "a/2", "b"]
    assert [picture.name for picture in pictures([tmp_path], [".mat"], tmp_path / "out")] == ["3", "a/1", "a/2", "b"]
    assert [picture.path for picture in pictures([tmp_path / "c.txt"], [], tmp_path)] == [tmp_path / "c.txt"]


def test_a_name_with_two_endings_that_is_anothers_with_its_ending_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "a.jpg", "a.png", "a.jpg.tif")
    with pytest.raises(ValueError, match=r"a\.jpg.* would both become a\.jpg\.png\. Rename one of them"):
        pictures([tmp_path], [], tmp_path / "out")


def test_a_link_that_leads_back_up_is_followed_once(tmp_path: Path) -> None:
    write(tmp_path, "a/1.png")
    (tmp_path / "a/up").symlink_to(tmp_path)
    assert [picture.name for picture in pictures([tmp_path], [], tmp_path / "out")] == ["a/1"]


def test_results_of_an_earlier_prediction_below_the_images_are_no_images(tmp_path: Path) -> None:
    write(tmp_path, "1.png", "earlier/predict.yaml", "earlier/masks/1.png", "now/masks/1.png")
    assert [picture.name for picture in pictures([tmp_path], [], tmp_path / "now")] == ["1"]
