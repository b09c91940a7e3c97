"""What a window holds: channels, targets and validity against a direct calculation."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from segfield import densities
from segfield.data.loader import collate
from segfield.data.ocean_density import OceanDensity
from segfield.data.ocean_density.prepared import Prepared

Ocean = Callable[..., OceanDensity]


def expected(root: Path, name: str, ensemble: int, hours: float) -> np.ndarray:
    """Return a field as xarray interpolates it, in space and in time: [H, W]."""
    with densities.open_counts(root) as counts, densities.open_field(root, name) as field:
        moment = counts.start.values[ensemble] + np.timedelta64(round(hours * 3600), "s")
        grid = {"latitude": counts.latitude.values, "longitude": counts.longitude.values}
        return np.asarray(field.astype(np.float64).interp(time=moment).interp(grid).values)


def test_a_batch_holds_fields_density_target_and_words(ocean: Ocean, sea: Path) -> None:
    data = ocean("u", "v")
    batch = next(iter(data.val_dataloader()))
    shapes = {name: tuple(batch[name].shape) for name in ("image", "target", "valid", "aspect")}
    assert shapes == {"image": (4, 3, 16, 20), "target": (4, 5, 16, 20), "valid": (4, 1, 16, 20), "aspect": (4,)}
    assert {str(batch[name].dtype) for name in ("image", "target", "aspect")} == {"torch.float32"}
    assert batch["rules"] == ("east", "north", "scalar")
    assert batch["id"] == ["00012/00", "00012/01", "00012/02", "00012/03"]
    assert batch["group"] == ["00012"] * 4
    assert batch["aspect"][0].item() == pytest.approx(np.cos(np.deg2rad(38 + 7.5 / 48)))
    with densities.open_counts(sea) as counts:
        maps = counts["counts"][12].values / 200
    np.testing.assert_allclose(batch["target"][1, densities.NEXT], maps[2], rtol=1e-6)
    np.testing.assert_allclose(batch["target"][1, densities.CURRENT], maps[1], rtol=1e-6)
    np.testing.assert_allclose(batch["image"][1, -1], maps[1] * 30, rtol=1e-6)


@pytest.mark.parametrize("name", ["u", "sst"])
def test_fields_are_interpolated_in_time_and_onto_the_grid(ocean: Ocean, sea: Path, name: str) -> None:
    data = ocean(name, name, offsets=[0, 1])
    index = data.indices("train")[6]  # 00001/02: starts at 20:00, between two times of either field
    image = data.item(index)["image"].numpy()
    for channel, hours in ((0, 12), (1, 18)):
        np.testing.assert_allclose(image[channel], expected(sea, name, 1, hours), rtol=2e-6)


def test_cells_lie_east_and_north_of_the_first_one_in_km(ocean: Ocean) -> None:
    target = ocean().item(0)["target"].numpy()
    east, north = target[densities.EAST], target[densities.NORTH]
    assert (east[0, 0], north[0, 0]) == (0, 0)
    np.testing.assert_allclose(np.diff(north, axis=0), 111.195 / 48, rtol=1e-4)
    np.testing.assert_allclose(np.diff(east, axis=1)[0], 111.195 / 48 * np.cos(np.deg2rad(38)), rtol=1e-4)
    assert (east[-1, 1:] < east[0, 1:]).all()


def test_a_missing_value_is_zero_and_not_valid_where_most_of_the_weight_is_missing(
    make_drift_set: Callable[..., Path], ocean: Ocean, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data = ocean("ssh", root=make_drift_set(tmp_path / "set", hole=True))
    item = data.item(0)
    valid, image = item["valid"][0].numpy(), item["image"].numpy()
    with densities.open_counts(tmp_path / "set") as counts:
        sea = counts.land.values == 0
        rows, columns = np.meshgrid(counts.latitude, counts.longitude, indexing="ij")
    weight = (1 - abs(rows - 38.2) / 0.125).clip(0) * (1 - abs(columns - 3.2) / 0.125).clip(0)
    np.testing.assert_array_equal(valid, sea & (weight < 0.5))
    assert np.isfinite(image).all()
    assert (image[0][weight > 0.5] == 0).all()
    assert (abs(image[0][valid] - image[0][valid].mean()) < 0.2).all()
    assert "ssh.nc has no value in" in caplog.text


def test_without_missing_values_the_sea_alone_is_valid(ocean: Ocean, sea: Path) -> None:
    with densities.open_counts(sea) as counts:
        np.testing.assert_array_equal(ocean().item(0)["valid"][0].numpy(), counts.land.values == 0)


def test_smoothing_keeps_what_is_at_sea_also_at_a_coast(sea: Path) -> None:
    plain, smooth = (Prepared(sea, sigma).maps(3, slice(None)).astype(np.float64) for sigma in (0.0, 1.5))
    np.testing.assert_allclose(smooth.sum(axis=(1, 2)), plain.sum(axis=(1, 2)), rtol=1e-6)
    assert smooth.max() < 0.7 * plain.max()
    assert (smooth[:, :2, :3] == 0).all()


def test_a_data_module_is_pickled_without_its_open_files_and_reads_on(ocean: Ocean) -> None:
    data = ocean("ssh")
    item: dict[str, Any] = data.item(3)
    again: Any = pickle.loads(pickle.dumps(data.item)).__self__.item(3)
    assert (item["image"] == again["image"]).all()
    assert (item["target"] == again["target"]).all()


def test_workers_read_the_batches_of_the_training_process(ocean: Ocean) -> None:
    one, two = ([*ocean(num_workers=workers).val_dataloader()] for workers in (0, 2))
    assert [batch["id"] for batch in one] == [batch["id"] for batch in two]
    assert all((a["image"] == b["image"]).all() for a, b in zip(one, two, strict=True))
    assert two[0]["rules"] == ("east", "north", "scalar")


def test_no_more_source_times_are_kept_than_fit(ocean: Ocean, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("segfield.data.ocean_density.fields.KEPT", 10 * 16 * 20 * 4)
    data = ocean("u", "v")
    for index in range(len(data.split_table())):
        data.item(index)
    assert len(data._fields._kept) == 10


def test_samples_of_pictures_have_no_words(ocean: Ocean) -> None:
    item = ocean().item(0)
    assert collate([item])["rules"] == item["rules"]
    assert "rules" not in collate([{name: item[name] for name in ("id", "image", "target")}])


def test_windows_of_an_ensemble_are_told_in_order_of_time(ocean: Ocean) -> None:
    data = ocean()
    sequences = data.sequences("val")
    assert [[data.sample(index).id for index in one] for one in sequences] == [
        [f"{ensemble:05d}/{step:02d}" for step in range(4)] for ensemble in (12, 13, 14)
    ]
    assert data.describe(sequences[0][3]) == "2005-05-05 07:00 UTC, +18 h"
