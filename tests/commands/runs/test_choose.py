"""Which runs, in which order."""

from collections.abc import Callable
from pathlib import Path

import pytest

from segfield.commands.runs.choose import Names, chosen, ordered
from segfield.run.frozen import Frozen
from segfield.run.listing import Run, find, read

MakeRun = Callable[..., Path]


def listed(place: Path) -> list[Run]:
    frozen = Frozen()
    return [read(folder, folder.relative_to(place).as_posix(), frozen) for folder in find(place, [])]


@pytest.fixture
def runs(make_run: MakeRun, tmp_path: Path) -> list[Run]:
    """Jobs 0, 2 and 10 of a sweep, and a planned run that Hydra composed."""
    options = {"model": "unet_small", "optimizer": "adamw", "experiment": "'null'", "hydra/launcher": "processes"} | {
        "data/inputs": "uv"
    }
    make_run("t/10", {"lr: 0.001": "lr: 1.0e-05"}, best={"val/dice": 0.5}, seconds=10, epoch=3)
    make_run("t/2", {"seed: 0\nthreads: null": "seed: 3\nthreads: 2"}, best={"val/dice": float("nan")})
    make_run("t/0", {"augmentation:": "unused:"}, best={"val/dice": 0.9}, state="pruned")
    make_run("u/2026-01-02_03-04-05-000006", {"size:\n  - 64\n  - 64": "size: [32, 48]"}, options)
    return listed(tmp_path / "outputs")


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["t/"], "t/0 t/10 t/2"),
        (["t/", "1"], "t/10"),
        (["state=pruned"], "t/0"),
        (["state!=finished"], "t/0 u"),
        (["model=unet_small"], "u"),
        (["model=UNet"], "t/0 t/10 t/2 u"),
        (["optimizer=adamw"], "u"),
        (["data/inputs=uv"], "u"),
        (["optimizer=AdamW"], "t/0 t/10 t/2 u"),
        (["experiment=null", "u/"], "u"),
        (["optimizer.lr=1e-5"], "t/10"),
        (["lr==0.00001"], "t/10"),
        (["lr<1e-4"], "t/10"),
        (["seed=3"], "t/2"),
        (["data.seed=3"], ""),
        (["threads=2"], "t/2"),
        (["data.root=null"], "t/0 t/10 t/2 u"),
        (["size=[32,48]"], "u"),
        (["data.size = [32, 48]"], "u"),
        (["scheduler=null", "t/0"], "t/0"),
        (["metric=val/dice", "t/0"], "t/0"),
        (["horizontal_flip=null"], ""),
        (["augmentation.horizontal_flip=null"], "t/0"),
        (["best>=0.5"], "t/0 t/10"),
        (["best<2"], "t/0 t/10"),
        (["time>9", "time<=10", "memory=null"], "t/10"),
        (["epoch=3"], "t/10"),
        (["frozen<2026-02", "frozen>2026-01"], "u"),
        (["optimizer.lr>0", "run=t/2"], "t/2"),
        (["model>0"], ""),
    ],
)
def test_words_choose_runs(runs: list[Run], words: list[str], names: str) -> None:
    if words == ["horizontal_flip=null"]:  # two groups have such a key here
        with pytest.raises(ValueError, match=r"horizontal_flip may be .* or .*\. Write it whole\."):
            chosen(runs, words, Names(runs))
        return
    found = sorted(run.name.partition("/2026")[0] for run in chosen(runs, words, Names(runs)))
    assert " ".join(found) == names


def test_an_order_puts_what_is_unknown_first_and_the_best_or_largest_last(runs: list[Run]) -> None:
    def names(name: str, *, reverse: bool = False) -> str:
        return " ".join(run.name.partition("/2026")[0] for run in ordered(runs, name, reverse=reverse))

    assert names("best") == "u t/2 t/10 t/0"
    assert names("best", reverse=True) == "u t/0 t/10 t/2"
    assert names("run") == "t/0 t/2 t/10 u"
    assert names("optimizer.lr").startswith("t/10 ")
    assert names("seconds") == "u t/0 t/2 t/10"
    assert names("frozen") == "u t/0 t/2 t/10"
    assert names("frozen", reverse=True) == "t/10 t/2 t/0 u"


def test_the_best_score_stands_last_also_where_the_least_is_best(make_run: MakeRun, tmp_path: Path) -> None:
    for name, loss in (("a", 0.2), ("b", 0.1), ("c", 0.3)):
        make_run(name, {"mode: max": "mode: min", "val/dice": "val/loss"}, best={"val/loss": loss})
    assert [run.name for run in ordered(listed(tmp_path / "outputs"), "best")] == ["c", "a", "b"]


def test_the_shortest_name_means_no_other_key(runs: list[Run]) -> None:
    names = Names(runs)
    short = ("seed", "data.seed", "optimizer.lr", "optimizer._target_", "model._target_", "task.monitor")
    assert [names.short(key) for key in short] == [
        *("seed", "data.seed", "lr", "optimizer", "model._target_", "task.monitor"),
    ]
    assert all(names.full(names.short(key)) in (key, "optimizer") for key in short)
