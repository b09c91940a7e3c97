"""What a run learns of its training part: of that part alone, kept, and compared when it comes back."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from segfield import densities
from segfield.data.blobs import Blobs
from segfield.data.ocean_density import OceanDensity

Ocean = Callable[..., OceanDensity]


def test_the_mean_density_is_of_the_training_parts_targets(ocean: Ocean, sea: Path) -> None:
    data = ocean()
    with densities.open_counts(sea) as counts:
        mean = counts["counts"].values[:10, 1:].mean(axis=(0, 1)) / 200
    np.testing.assert_allclose(data.statistics()["mean_density"], mean, rtol=1e-6)
    np.testing.assert_allclose(data.item(data.indices("val")[0])["target"][densities.MEAN], mean, rtol=1e-6)


def test_a_variable_is_standardised_over_the_sea_by_each_time_of_the_training_part_once(ocean: Ocean) -> None:
    data = ocean("sst", "sst", offsets=[0, 1], standardised=("sst",))
    first, last = data._windows.uses()["sst"]
    places = data._windows.times["sst"][first[0] : last[9] + 1]  # the first ten ensembles leave out no day
    sea = data._prepared.sea
    values = np.stack([data._fields.at("sst", time)[sea] for time in places]).astype(np.float64)
    known = data.statistics()
    assert (float(known["mean_of_sst"]), float(known["std_of_sst"])) == pytest.approx((values.mean(), values.std()))
    plain, index = ocean("sst", "sst", offsets=[0, 1]), data.indices("val")[5]
    raw, standardised = plain.item(index)["image"], data.item(index)["image"]
    np.testing.assert_allclose(standardised[:2], (raw[:2] - values.mean()) / values.std(), rtol=1e-4, atol=1e-5)
    assert (standardised[2] == raw[2]).all()


def test_smoothing_is_in_the_mean_too(ocean: Ocean) -> None:
    data = ocean(smoothing=1.0)
    targets = [data.item(index)["target"][densities.NEXT].numpy() for index in data.indices("train")]
    np.testing.assert_allclose(data.statistics()["mean_density"], np.mean(targets, axis=0), rtol=1e-4, atol=1e-8)


def test_a_constant_variable_is_not_divided_by_nothing(
    ocean: Ocean, make_drift_set: Callable[..., Path], tmp_path: Path
) -> None:
    root = make_drift_set(tmp_path / "set")
    with densities.open_field(root, "ssh") as field:
        values = np.full(field.shape, 0.25, np.float32)
        axes = {name: field[name].values for name in ("time", "latitude", "longitude")}
    densities.write_field(root, densities.Field(name="ssh", values=values, units="m", **axes))
    data = ocean("ssh", root=root, standardised=("ssh",))
    assert (float(data.statistics()["mean_of_ssh"]), float(data.statistics()["std_of_ssh"])) == (0.25, 1.0)
    assert (data.item(0)["image"][0] == 0).all()


def test_kept_statistics_are_taken_in_place_of_computed_ones(ocean: Ocean) -> None:
    data = ocean("sst", standardised=("sst",))
    saved = {**data.statistics(), "mean_of_sst": np.asarray(10.0)}
    again = ocean("sst", standardised=("sst",))
    again.keep_statistics(saved)
    assert float(again.statistics()["mean_of_sst"]) == 10
    assert (again.item(0)["image"][0] > data.item(0)["image"][0]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mean_of_sst": np.asarray(np.nan)}, "values that are no numbers"),
        (
            {"mean_density": np.zeros((3, 4), np.float32)},
            r"found mean_density \[3, 4\], .* expected mean_density \[16, 2",
        ),
        ({"more": np.zeros(2)}, r"more \[2\], .*expected"),
    ],
)
def test_statistics_of_another_run_are_refused(ocean: Ocean, change: dict[str, np.ndarray], message: str) -> None:
    data = ocean("sst", standardised=("sst",))
    with pytest.raises(ValueError, match=message):
        data.keep_statistics({**data.statistics(), **change})


def test_data_that_learns_nothing_refuses_statistics() -> None:
    data = Blobs(in_channels=3, batch_size=4)
    data.keep_statistics({})
    with pytest.raises(ValueError, match="found mean_density, expected nothing"):
        data.keep_statistics({"mean_density": np.zeros(2)})
