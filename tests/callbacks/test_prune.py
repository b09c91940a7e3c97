import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, final

import pytest
import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback

from segfield.callbacks.prune import Prune

pytestmark = [
    # A guess about speed; the data here are drawn in no time.
    pytest.mark.filterwarnings("ignore:.*does not have many workers"),
    # On purpose: what happens on the device is the task's, see task.py.
    pytest.mark.filterwarnings("ignore:You have overridden `on_after_batch_transfer`"),
    # Lightning 2.6.6 with torch 2.15, in every transfer of a batch.
    pytest.mark.filterwarnings("ignore:.*isinstance\\(treespec, LeafSpec\\)"),
    # A guess too: the sampler starts at the checkpoint's position.
    pytest.mark.filterwarnings("ignore:You're resuming from a checkpoint that ended before the epoch"),
    # A run that goes on finds its own files.
    pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty"),
]

Fit = Callable[..., pl.Trainer]
Forked = Callable[[Callable[[], object]], tuple[int, str]]
Cli = Callable[..., Any]
TINY = ("debug=fast", "data.size=[32,32]", "data.length=10", "threads=1")


def metrics(folder: Path, *values: object, name: str = "val/dice") -> None:
    """Write metrics.csv as a job does: its scores from epoch 0 on."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [f"{epoch},{epoch},{value},0.5" for epoch, value in enumerate(values)]
    (folder / "metrics.csv").write_text("\n".join([f"epoch,step,{name},lr", *rows]) + "\n")


@pytest.fixture
def job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a sweep's job 0, which is where the test stands."""
    (tmp_path / "0").mkdir()
    (tmp_path / "multirun.yaml").touch()
    monkeypatch.chdir(tmp_path / "0")
    return tmp_path / "0"


def at(epoch: int, prune: Prune, **changes: Any) -> bool:
    """Whether a run stops at an epoch; a trainer as far as pruning looks at one."""
    whole: Any = {"max_epochs": 9, "min_epochs": None, "min_steps": None, "should_stop": False}
    strategy = SimpleNamespace(broadcast=lambda judgement: judgement)
    place = {"current_epoch": epoch, "global_step": epoch + 1}
    trainer: Any = SimpleNamespace(is_global_zero=True, strategy=strategy, **{**whole, **place, **changes})
    prune.on_train_start(trainer, trainer)
    prune.on_train_epoch_end(trainer, trainer)
    return bool(trainer.should_stop)


@pytest.mark.parametrize(
    ("mode", "own", "others", "pruned"),
    [
        ("max", 0.4, [0.5, 0.6, 0.1], True),
        ("max", 0.5, [0.5, 0.6, 0.1], False),  # the median itself
        ("max", 0.4, [0.3, 0.6], True),  # 0.45 between the two
        ("min", 0.4, [0.5, 0.6, 0.1], False),
        ("min", 0.6, [0.5, 0.6, 0.1], True),
        ("max", "nan", [0.1, 0.2], True),
        ("min", "nan", ["nan", 0.2, 0.3], True),
        ("max", 0.1, ["nan", "nan", 0.9], False),  # nan is the median
        ("max", "nan", ["nan", "nan"], False),
        ("min", "inf", [1.0, 2.0], True),
        ("max", 0.1, [0.9], False),  # one sibling judges nobody
    ],
)
def test_a_job_is_pruned_where_it_is_worse_than_the_median_of_its_siblings(
    job: Path, mode: Any, own: object, others: list[object], pruned: bool
) -> None:
    metrics(job, 0, own)
    for number, value in enumerate(others, 1):
        metrics(job.parent / str(number), 0, value)
    prune = Prune("val/dice", mode, warmup=1)
    assert at(1, prune) is pruned
    assert (prune.reason is not None) is pruned


def test_the_reason_tells_epoch_value_and_median(job: Path) -> None:
    for number, value in enumerate((0.25, 0.5, 0.75)):
        metrics(job.parent / str(number), 0, value)
    prune = Prune("val/dice", "max", warmup=1)
    assert at(1, prune)
    assert prune.reason == "val/dice 0.25 after epoch 2 is worse than 0.625, the median of 2 other jobs"


@pytest.mark.parametrize(
    ("epoch", "changes"),
    [(0, {}), (1, {}), (3, {}), (2, {"min_epochs": 4}), (2, {"min_steps": 7})],
    ids=["first", "warm-up", "last", "min_epochs", "min_steps"],
)
def test_nobody_is_judged_where_nothing_can_be_saved_or_compared(
    job: Path, epoch: int, changes: dict[str, int]
) -> None:
    metrics(job, 0, 0, 0, 0)
    for number in (1, 2):
        metrics(job.parent / str(number), 1, 1, 1, 1)
    prune = Prune("val/dice", "max", warmup=2)
    assert not at(epoch, prune, max_epochs=4, **changes)
    assert at(2, prune, max_epochs=4)


def test_siblings_count_only_with_the_same_score_at_the_same_epoch_in_a_whole_row(job: Path) -> None:
    metrics(job, 0, 0.5)
    metrics(job.parent / "1", 0, 0.9)
    metrics(job.parent / "2", 0, 0.9, name="val/loss")
    metrics(job.parent / "3", 0.9)  # one epoch behind
    metrics(job.parent / "4", 0, "")  # not validated
    metrics(job.parent / "5", 0, "broken")
    metrics(job.parent / "6", 0)
    with (job.parent / "6/metrics.csv").open("a") as file:
        file.write("1,1,0.9,0.")  # the end of the row is still to come
    (job.parent / "7").mkdir()
    (job.parent / "7/metrics.csv").write_bytes(b"\xff\xfe")
    (job.parent / ".submitit/metrics.csv").mkdir(parents=True)
    prune = Prune("val/dice", "max", warmup=1)
    assert not at(1, prune)
    assert (job / "prune.csv").read_text().splitlines()[1:] == ["1,1,0.5,,1,0"]


def test_a_run_that_is_no_job_of_a_sweep_is_never_pruned_and_says_so(
    job: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (job.parent / "multirun.yaml").unlink()
    for number, value in enumerate((0.1, 0.9, 0.9)):
        metrics(job.parent / str(number), 0, value)
    with caplog.at_level("INFO"):
        assert not at(1, Prune("val/dice", "max", warmup=1))
    assert caplog.messages == [
        "callbacks.prune: this run is no job of a sweep, nothing is compared and it is not pruned"
    ]
    assert not (job / "prune.csv").exists()


def test_a_run_without_metrics_csv_is_told_what_pruning_needs(job: Path) -> None:
    with pytest.raises(ValueError, match=r"^callbacks\.prune compares metrics\.csv, .* keep callbacks\.metrics_csv\.$"):
        at(1, Prune("val/dice", "max"))


@pytest.mark.parametrize("name", ["warmup", "min_siblings"])
def test_a_number_below_one_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=rf"callbacks\.prune\.{name} must be 1 or more; got 0\. Use .*{name}=1"):
        Prune("val/dice", "max", **{name: 0})


@final
class Kill(Callback):
    """Kills its process right after epoch 1 is judged, or when the run is over."""

    def __init__(self, *, at_end: bool) -> None:
        self.at_end = at_end

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.current_epoch == 1 and not self.at_end:
            os.kill(os.getpid(), signal.SIGKILL)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(("before", "after"), [(1.0, 0.0), (0.0, 1.0)], ids=["pruned", "not pruned"])
@pytest.mark.parametrize("at_end", [False, True], ids=["at once", "at the end"])
def test_a_kill_after_a_judgement_changes_neither_it_nor_any_bit(
    fit: Fit,
    forked: Forked,
    all_callbacks: Any,
    differences: Callable[[Path, Path], list[str]],
    tmp_path: Path,
    before: float,
    after: float,
    at_end: bool,
) -> None:
    def train(name: str, *more: Callback) -> pl.Trainer:
        def callbacks() -> list[Callback]:
            return [*all_callbacks(every_n_steps=2)(), Prune("val/dice", "max", warmup=1), *more]

        return fit(tmp_path / name / "0", callbacks, max_epochs=3, tensorboard=True)

    for name in ("twin", "run"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "sweep.yaml").touch()
        for number in (1, 2):
            metrics(tmp_path / name / str(number), 0, before)
    assert train("twin").current_epoch == (2 if before else 3)
    assert forked(lambda: train("run", Kill(at_end=at_end)))[0] == -signal.SIGKILL
    for number in (1, 2):
        metrics(tmp_path / "run" / str(number), 0, after)
    train("run")
    assert differences(tmp_path / "twin/0", tmp_path / "run/0") == []
    judged = [(tmp_path / name / "0/prune.csv").read_text() for name in ("twin", "run")]
    assert judged[0] == judged[1]


@pytest.mark.slow
def test_the_bad_job_of_a_sweep_is_pruned_and_leaves_a_usable_folder(cli: Cli, tmp_path: Path) -> None:
    sweep = (
        *("train.py", "-m", *TINY, "callbacks=prune", "callbacks.prune.warmup=1", "trainer.max_epochs=6"),
        *("callbacks.prune.monitor=train/loss", "callbacks.prune.mode=min"),
    )
    outcome = cli(*sweep, "optimizer.lr=1e-2,2e-2,1e-9", f"hydra.sweep.dir={tmp_path / 'sweep'}")
    assert outcome.code == 0, outcome.err
    states = [json.loads((tmp_path / f"sweep/{number}/status.json").read_text()) for number in range(3)]
    assert [status["state"] for status in states] == ["finished", "finished", "pruned"]
    bad = tmp_path / "sweep/2"
    assert states[2]["epoch"] == 2
    assert states[2]["reason"].startswith("train/loss ")
    assert "after epoch 2 is worse than" in states[2]["reason"]
    assert (bad / "metrics.csv").read_text().count("\n") == 3
    assert {path.name for path in (bad / "checkpoints").iterdir()} >= {"best.ckpt", "last.ckpt"}
    again = cli("segfield", "execute", bad)
    assert (again.code, again.err.strip()) == (0, f"{bad} is pruned already; nothing to do")
    refused = cli("segfield", "reproduce", bad)
    assert refused.code == 2
    assert f"{bad} is pruned: it was stopped before its last epoch, so it has no end to compare with" in refused.err
    kept = cli("segfield", "save", bad, tmp_path / "kept")
    assert kept.code != 0
    assert "is pruned: only a finished run is kept. Give its command again without callbacks=prune" in kept.err
    alone = tmp_path / "alone"
    shutil.copytree(bad, alone, ignore=shutil.ignore_patterns("status.json", "checkpoints", "prune.csv"))
    outcome = cli("segfield", "execute", alone)
    assert outcome.code == 0, outcome.err
    assert "no job of a sweep" in outcome.err
