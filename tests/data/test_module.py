from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import nn

from segfield.data.blobs import Blobs
from segfield.data.fingerprint import drift
from segfield.data.module import PixelwiseData
from segfield.data.sample import Sample
from segfield.data.sampler import EpochBatches


@final
@dataclass(kw_only=True, eq=False, repr=False)
class Listed(PixelwiseData):
    """Samples as a test lists them; the image of sample i is filled with i."""

    names: tuple[tuple[str, str], ...] = tuple((f"{n:02d}", f"g{n // 2}") for n in range(20))
    shape: tuple[int, ...] = (1, 4, 4)
    target: np.ndarray | None = None

    def samples(self) -> list[Sample]:
        return [Sample(name, group, {"number": number}) for number, (name, group) in enumerate(self.names)]

    def read(self, sample: Sample, size: Sequence[int] | None) -> dict[str, np.ndarray]:
        target = np.zeros(self.shape[1:], np.uint8) if self.target is None else self.target
        image = np.full(self.shape, sample.attributes["number"], np.uint8)
        return {"image": image, "target": target, "valid": np.ones((1, *target.shape[-2:]), dtype=bool)}

    def read_picture(self, path: Path, size: Sequence[int] | None) -> np.ndarray:
        raise AssertionError("nobody asks for a picture here")


def listed(**settings: object) -> Listed:
    data = Listed(**{"in_channels": 1, "batch_size": 4, **settings})
    data.setup()
    return data


def blobs(**settings: object) -> Blobs:
    data = Blobs(**{"in_channels": 3, "batch_size": 4, "length": 15, "size": [16, 16], "seed": 3, **settings})
    data.setup()
    return data


def same(one: dict[str, Any], two: dict[str, Any]) -> bool:
    tensors = [name for name in one if isinstance(one[name], torch.Tensor)]
    return one.keys() == two.keys() and all(
        torch.equal(one[name], two[name]) if name in tensors else one[name] == two[name] for name in one
    )


def test_samples_are_sorted_and_split_by_group_whatever_order_they_are_listed() -> None:
    table = listed().split_table()
    assert [id_ for id_, *_ in table] == sorted(id_ for id_, *_ in table)
    assert listed(names=tuple(reversed(Listed.names))).split_table() == table
    parts = {group: {part for _, g, part in table if g == group} for _, group, _ in table}
    assert all(len(part) == 1 for part in parts.values())
    assert sum(part == {"val"} for part in parts.values()) == 2


def test_the_split_does_not_depend_on_the_seed_of_training() -> None:
    assert listed(seed=5).split_table() == listed().split_table()
    assert listed(split_seed=5).split_table() != listed().split_table()


def test_each_fold_validates_on_other_groups_and_trains_on_the_rest() -> None:
    tables = [listed(folds=5, fold=fold).split_table() for fold in range(5)]
    validated = [id_ for table in tables for id_, _, part in table if part == "val"]
    assert sorted(validated) == [id_ for id_, *_ in tables[0]]


def test_a_fraction_of_the_samples_is_whole_groups_split_again() -> None:
    table = listed(sample_fraction=0.5).split_table()
    assert len(table) == 10
    assert len({group for _, group, _ in table}) == 5
    assert {part for *_, part in table} == {"train", "val"}


def test_the_second_setup_changes_nothing() -> None:
    data = listed()
    table = data.split_table()
    data.names = ()
    data.setup("fit")
    assert data.split_table() == table


def test_ids_that_stand_twice_are_refused() -> None:
    with pytest.raises(ValueError, match="1 sample ids stand twice, the first is 'a'"):
        listed(names=(("a", "x"), ("b", "y"), ("a", "z")))


@pytest.mark.parametrize("size", [[128], [128, 0], [1, 2, 3]])
def test_a_size_that_is_no_height_and_width_is_refused(size: list[int]) -> None:
    with pytest.raises(ValueError, match=r"data\.size is \[H,W\] in pixels, for example data\.size=\[256,384\]; got"):
        listed(size=size)


def test_a_number_of_workers_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match=r"data\.num_workers=-1 is a number of processes, 0 or more\. Use 0\."):
        listed(num_workers=-1)


def test_a_split_that_is_kept_is_used_as_it_is_and_new_samples_are_left_out(caplog: pytest.LogCaptureFixture) -> None:
    rows = [(id_, group, part) for id_, group, part in listed(split_seed=9, sample_fraction=0.5).split_table()]
    data = Listed(in_channels=1, batch_size=4, val_fraction=0.9)
    data.keep_split(rows)
    with caplog.at_level("INFO"):
        data.setup()
    assert data.split_table() == rows
    assert "10 samples are not in the split of this run: left out." in caplog.text
    assert int(data.item(data.indices("val")[0])["image"][0, 0, 0]) == int(
        next(row[0] for row in rows if row[2] == "val")
    )


def test_a_split_that_is_kept_names_samples_that_are_gone() -> None:
    data = Listed(in_channels=1, batch_size=4, names=Listed.names[3:])
    data.keep_split(listed().split_table())
    with pytest.raises(ValueError, match=r"3 of 20 samples are gone, first 00, 01, 02\. Give the data"):
        data.setup()


def test_drawn_data_is_known_by_what_is_drawn() -> None:
    rows = blobs(length=50).fingerprint()
    assert [row[:3] for row in rows] == [(f"{n:06d}", f"drawn {n:06d}", 16 * 16 * 4) for n in range(32)]
    assert drift(rows, blobs(length=50, seed=7).fingerprint()) == []
    assert len(drift(rows, blobs(length=50, content_seed=1).fingerprint())) == 32


@pytest.mark.parametrize("setting", [{"mean": [0.1, 0.2, 0.3]}, {"std": [0.1, 0.2]}])
def test_mean_and_std_have_one_number_or_one_per_channel(setting: dict[str, list[float]]) -> None:
    with pytest.raises(ValueError, match=r"has \d numbers, data\.in_channels is 1\. Give one number"):
        listed(**setting)
    assert listed(mean=[0.1]).mean == [0.1]


def test_arrays_that_may_not_be_written_are_read_without_a_warning() -> None:
    target = np.zeros((4, 4), np.float32)
    target.flags.writeable = False
    assert torch.equal(listed(target=target).item(0)["target"], torch.zeros(4, 4))


def test_an_item_carries_its_id_group_and_index_and_classes_as_they_are_stored() -> None:
    item = listed().item(7)
    assert (item["id"], item["group"], item["index"]) == ("07", "g3", 7)
    assert (item["image"].dtype, item["target"].dtype, item["valid"].dtype) == (torch.uint8, torch.uint8, torch.bool)
    assert int(item["image"][0, 0, 0]) == 7


def test_densities_stay_float32() -> None:
    assert listed(target=np.zeros((2, 4, 4), np.float32)).item(0)["target"].dtype == torch.float32


def test_an_image_with_other_channels_than_configured_is_refused() -> None:
    with pytest.raises(ValueError, match=r"00 has 3 channels, data.in_channels is 1. Use data.in_channels=3"):
        listed(shape=(3, 4, 4)).item(0)


def test_an_image_of_another_size_than_its_target_or_the_configuration_is_refused() -> None:
    with pytest.raises(ValueError, match=r"00: image \(4, 4\) and target \(4, 5\) must both have data.size=None"):
        listed(target=np.zeros((4, 5), np.uint8)).item(0)
    with pytest.raises(ValueError, match=r"must both have data.size=\[8, 8\]"):
        listed(size=[8, 8]).item(0)


def test_two_workers_read_the_same_batches_as_the_training_process() -> None:
    alone, helped = blobs(), blobs(num_workers=2)
    for loader in ("train_dataloader", "val_dataloader"):
        one, two = list(getattr(alone, loader)()), list(getattr(helped, loader)())
        assert len(one) == len(two) > 0
        assert all(same(a, b) for a, b in zip(one, two, strict=True))


def test_the_training_loader_serves_the_training_part_and_the_other_the_rest() -> None:
    data = blobs()
    trained = [index for batch in data.train_dataloader() for index in batch["index"].tolist()]
    validated = [index for batch in data.val_dataloader() for index in batch["index"].tolist()]
    assert sorted(trained) == data.indices("train")
    assert validated == data.indices("val")


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_that_starts_within_an_epoch_leaves_out_what_is_done(workers: int) -> None:
    order = EpochBatches(blobs().indices("train"), 4, seed=3)
    order.set_epoch(5)
    data = blobs(num_workers=workers)
    data.start_at(5, 1)
    read = [batch["index"].tolist() for batch in data.train_dataloader()]
    assert read == list(order)[1:]


class _Notes(pl.LightningModule):
    """Notes which samples it was given in which epoch."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Conv2d(3, 1, 1)
        self.seen: dict[int, list[list[int]]] = {}
        self.validated: list[list[int]] = []

    def training_step(self, batch: dict[str, Any], _: int) -> torch.Tensor:
        self.seen.setdefault(self.current_epoch, []).append(batch["index"].tolist())
        return self.net(batch["image"].float()).mean()

    def validation_step(self, batch: dict[str, Any], _: int) -> None:
        self.validated.append(batch["index"].tolist())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


@pytest.mark.filterwarnings(
    "ignore:`isinstance.treespec, LeafSpec.` is deprecated:FutureWarning"
)  # Lightning 2.6 on torch 2.15
@pytest.mark.filterwarnings("ignore:.*does not have many workers:UserWarning")  # as small as the data
@pytest.mark.parametrize(("workers", "accumulate"), [(0, 2), (2, 1)])
def test_under_lightning_every_epoch_has_its_own_order(workers: int, accumulate: int) -> None:
    data, notes = blobs(num_workers=workers), _Notes()
    trainer = pl.Trainer(
        max_epochs=3,
        accumulate_grad_batches=accumulate,
        accelerator="cpu",
        use_distributed_sampler=False,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
        num_sanity_val_steps=0,
    )
    trainer.fit(notes, datamodule=data)
    for epoch in range(3):
        order = EpochBatches(data.indices("train"), 4, seed=3, accumulate=accumulate)
        order.set_epoch(epoch)
        assert notes.seen[epoch] == list(order)
    assert [index for batch in notes.validated for index in batch] == data.indices("val") * 3
