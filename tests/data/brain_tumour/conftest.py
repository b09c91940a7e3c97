"""Brain tumours written in the layouts of the real sets: small, not square, with numbers that a test can follow."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.io
from PIL import Image

from segfield.data.brain_tumour import BrainTumour

H, W = 24, 16
Brain = Callable[..., BrainTumour]


@pytest.fixture
def brain() -> Brain:
    """Set a data module up: brain(root, layout="lgg")."""

    def make(root: Path, **settings: Any) -> BrainTumour:
        data = BrainTumour(**{"in_channels": 3, "batch_size": 2, "root": str(root), **settings})
        data.setup()
        return data

    return make


@pytest.fixture
def write_lgg() -> Callable[..., Path]:
    """Write patients as kaggle_3m has them: write_lgg(root, {"TCGA_AA_0001_20000101": 3}).

    Slice n has the grey 10 n, 20 n, 30 n in its channels; every odd slice an empty mask, even ones a tumour.
    """

    def write(root: Path, patients: Mapping[str, int], top: int = 255) -> Path:
        for name, count in patients.items():
            (root / name).mkdir(parents=True)
            for number in range(1, count + 1):
                image = np.zeros((H, W, 3), np.uint8)
                image[4:20, 4:12] = [min(10 * number, 255), min(20 * number, 255), min(30 * number, 255)]
                mask = np.zeros((H, W), np.uint8)
                mask[6:12, 6:8] = 0 if number % 2 else top
                Image.fromarray(image).save(root / name / f"{name}_{number}.tif")
                Image.fromarray(mask).save(root / name / f"{name}_{number}_mask.tif")
        rows = [f"{name.rpartition('_')[0]},2,,1,{number}" for number, name in enumerate(patients, start=1)]
        header = "Patient,RNASeqCluster,COCCluster,histological_type,neoplasm_histologic_grade"
        (root / "data.csv").write_text("\n".join([header, *rows]) + "\n")
        return root

    return write


@pytest.fixture
def write_coco() -> Callable[..., Path]:
    """Write one part: write_coco(root / "train", {"1_jpg.rf.aa.jpg": [(category, segmentation), ...]})."""

    def write(
        folder: Path,
        pictures: Mapping[str, Sequence[tuple[int, Any]]],
        categories: Sequence[str] = ("Tumor", "glioma", "meningioma"),
    ) -> Path:
        folder.mkdir(parents=True)
        images, annotations = [], []
        for number, (name, outlines) in enumerate(pictures.items()):
            Image.new("RGB", (W, H), (number, 50, 100)).save(folder / name)
            images.append({"id": number, "file_name": name, "height": H, "width": W})
            for category, segmentation in outlines:
                entry = {"id": len(annotations), "image_id": number, "category_id": category, "iscrowd": 0}
                annotations.append({**entry, "segmentation": segmentation})
        listed = [{"id": number, "name": name, "supercategory": "none"} for number, name in enumerate(categories)]
        content = {"info": {}, "images": images, "annotations": annotations, "categories": listed}
        (folder / "_annotations.coco.json").write_text(json.dumps(content))
        return folder

    return write


@pytest.fixture
def export(tmp_path: Path, write_coco: Callable[..., Path]) -> Path:
    """An export of three parts with triangles."""
    triangle = [[2, 2, 12, 2, 2, 20]]
    for part, stems in {"train": "ab", "valid": "c", "test": "d"}.items():
        write_coco(tmp_path / "export" / part, {f"{stem}_jpg.rf.0a.jpg": [(1, triangle)] for stem in stems})
    return tmp_path / "export"


@pytest.fixture
def write_slice() -> Callable[..., Path]:
    """Write one of figshare's slices: write_slice(path, patient="100360", label=2, version="v5")."""

    def write(path: Path, version: str = "v7.3", **fields: Any) -> Path:
        image = np.arange(H * W, dtype=np.int16).reshape(H, W) * 50 - 5000
        mask = np.zeros((H, W), np.uint8)
        mask[2:9, 3:6] = 1
        patient = fields.pop("patient", "100360")
        cjdata = {"image": image, "label": np.array([[1.0]]), "tumorMask": mask, "tumorBorder": np.ones((1, 8))}
        cjdata |= {name: np.asarray(value) for name, value in fields.items()}
        path.parent.mkdir(parents=True, exist_ok=True)
        if version == "v5":
            scipy.io.savemat(path, {"cjdata": {**cjdata, "PID": patient}})
            return path
        with h5py.File(path, "w", userblock_size=512 if version == "v7.3" else 0) as file:
            group = file.create_group("cjdata")
            group.attrs["MATLAB_class"] = np.bytes_("struct")
            cjdata["PID"] = np.array([[ord(letter) for letter in patient]], np.uint16)
            for name, value in cjdata.items():
                group.create_dataset(name, data=np.atleast_2d(value).T)  # MATLAB writes column by column
        if version == "v7.3":
            with path.open("r+b") as file:
                file.write(b"MATLAB 7.3 MAT-file, Platform: PCWIN64".ljust(124) + b"\x00\x02IM")
        return path

    return write
