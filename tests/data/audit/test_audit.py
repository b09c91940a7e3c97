"""audit() on data modules of every kind of target: several classes, densities, own parts."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import pytest

from segfield.data.audit import audit
from segfield.data.module import PixelwiseData
from segfield.data.sample import Sample


@final
@dataclass(kw_only=True, eq=False, repr=False)
class Drawn(PixelwiseData):
    """Samples from a list of (group, part); sample 3 cannot be read where `broken` is set."""

    rows: Sequence[tuple[str, str | None]] = (("a", None), ("a", None), ("b", None), ("c", None), ("d", None))
    kind: str = "classes"
    broken: bool = False

    def samples(self) -> list[Sample]:
        return [Sample(str(at), group, {"at": at}, part=part) for at, (group, part) in enumerate(self.rows)]

    def read(self, sample: Sample, size: Sequence[int] | None) -> dict[str, np.ndarray]:
        at = sample.attributes["at"]
        if self.broken and at == 3:
            raise ValueError("sample 3 is damaged. Remove it.")
        rng = np.random.default_rng(at)
        target: np.ndarray = rng.integers(0, 3, (16, 16)).astype(np.uint8)
        if self.kind == "density":
            target = rng.random((1, 16, 16), dtype=np.float32)
        return {"image": rng.integers(0, 256, (3, 16, 16), dtype=np.uint8), "target": target}

    def read_picture(self, path: Path, size: Sequence[int] | None) -> np.ndarray:
        raise NotImplementedError


def drawn(**settings: Any) -> Drawn:
    several = {"in_channels": 3, "out_channels": 3, "classes": ("none", "one", "two"), "batch_size": 2}
    return Drawn(**{**several, "mean": 0.5, "std": 0.29, **settings})


def test_several_classes_have_names_pixels_and_weights() -> None:
    found = audit(drawn())
    assert (found.errors, found.warnings) == ([], [])
    assert [row["name"] for row in found.facts["classes"]] == ["none", "one", "two"]
    assert len(found.facts["weights"]["loss.class_weights"]) == 3
    assert sum(row["share"] for row in found.facts["classes"]) == pytest.approx(1)


def test_a_class_that_no_training_mask_holds_is_a_warning() -> None:
    found = audit(drawn(out_channels=4, classes=("none", "one", "two", "three")))
    assert [(one.kind, one.names) for one in found.warnings] == [("absent classes", ["three"])]


def test_densities_have_a_range_and_no_classes() -> None:
    facts = audit(drawn(kind="density", out_channels=1)).facts
    assert facts["classes"] == []
    assert 0 <= facts["targets"]["min"] < facts["targets"]["max"] < 1


def test_what_is_found_is_json_and_the_same_with_and_without_processes() -> None:
    rows = [(str(number), None) for number in range(40)]
    alone, shared = (audit(drawn(rows=rows), workers).facts for workers in (0, 2))
    assert json.loads(json.dumps(alone)) == alone == shared


def test_progress_is_told_sample_by_sample() -> None:
    seen: list[tuple[int, int]] = []
    audit(drawn(), tick=lambda done, of: seen.append((done, of)))
    assert seen == [(done, 5) for done in range(1, 6)]


def test_a_sample_that_cannot_be_read_does_not_keep_from_the_others() -> None:
    found = audit(drawn(broken=True))
    assert [(one.kind, one.names) for one in found.errors] == [("unfit", ["sample 3 is damaged. Remove it."])]
    assert found.facts["sound"] == 4


def test_a_group_in_two_of_the_datas_own_parts_is_told() -> None:
    rows = (("a", "train"), ("a", "val"), ("b", "train"), ("c", "val"))
    assert [(one.kind, one.names) for one in audit(drawn(rows=rows)).warnings] == [("own parts", ["a"])]


def test_samples_that_the_split_leaves_out_are_not_read() -> None:
    facts = audit(drawn(sample_fraction=0.5)).facts
    assert facts["samples"] + facts["unused"] == 5
    assert facts["unused"] > 0


def test_a_mean_that_is_far_from_the_datas_is_a_warning_with_what_to_type() -> None:
    (warning,) = audit(drawn(mean=0.1)).warnings
    assert warning.kind == "standardisation"
    assert "data.mean is [0.1, 0.1, 0.1]" in warning.what
    assert "'data.mean=[0." in warning.mend


def test_files_that_a_table_lists_and_the_folder_lacks_are_a_warning() -> None:
    data = drawn()
    listed = data.samples

    def samples() -> list[Sample]:
        data.found("absent", ["x.jpg"], "1 file is absent")
        return listed()

    data.samples = samples  # type: ignore[method-assign]
    found = audit(data)
    assert found.errors == []
    assert [(one.kind, one.what, one.names) for one in found.warnings] == [
        ("absent", "files that a table lists and the folder lacks: 1", ["x.jpg"])
    ]
