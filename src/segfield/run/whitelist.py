"""The classes that a config may name. Exact names, never a package: a package lets code through.

Asked twice: refused() finds what is not allowed before anything is imported, instantiate() has Hydra ask allowed().

A user adds own classes by the environment, SEGFIELD_ALLOW=pkg.Class,pkg.Other, never by the config.
"""

import difflib
import functools
import importlib
import os
from collections.abc import Iterator
from typing import Any

from segfield.run.inside import nodes

_SEGFIELD = (
    "segfield.augment.Augmentation",
    "segfield.augment.colour.Brightness",
    "segfield.augment.colour.Contrast",
    "segfield.augment.colour.Gamma",
    "segfield.augment.colour.HueSaturationValue",
    "segfield.augment.geometry.Affine",
    "segfield.augment.geometry.Elastic",
    "segfield.callbacks.density_panels.DensityPanels",
    "segfield.callbacks.last_checkpoint.LastCheckpoint",
    "segfield.callbacks.metrics_csv.MetricsCsv",
    "segfield.callbacks.panels.Panels",
    "segfield.callbacks.plateau.Plateau",
    "segfield.callbacks.progress_bar.ProgressBar",
    "segfield.callbacks.prune.Prune",
    "segfield.callbacks.rollout.Rollout",
    "segfield.callbacks.signals.SaveOnSignal",
    "segfield.callbacks.tensorboard.TensorBoard",
    "segfield.callbacks.throughput.Throughput",
    "segfield.callbacks.trace.Trace",
    "segfield.data.blobs.Blobs",
    "segfield.data.brain_tumour.BrainTumour",
    "segfield.data.carvana.Carvana",
    "segfield.data.folder.Folder",
    "segfield.data.ocean_density.OceanDensity",
    "segfield.data.ocean_density.inputs.Inputs",
    "segfield.heads.Conserving",
    "segfield.heads.Plain",
    "segfield.heads.Residual",
    "segfield.losses.BCEDice",
    "segfield.losses.CEDice",
    "segfield.losses.density.KL",
    "segfield.losses.density.MAE",
    "segfield.losses.density.RMSE",
    "segfield.metrics.BinaryScores",
    "segfield.metrics.Dice",
    "segfield.metrics.DiceSet",
    "segfield.metrics.IoU",
    "segfield.metrics.PixelAccuracy",
    "segfield.metrics.density.DensityScores",
    "segfield.metrics.group.DiceGroup",
    "segfield.metrics.group.MulticlassDiceGroup",
    "segfield.metrics.multiclass.MulticlassScores",
    "segfield.models.resnet_unet.ResNetUNet",
    "segfield.models.unet.UNet",
    "segfield.run.ranks.Ranks",
    "segfield.task.PixelwiseTask",
)
_LIGHTNING = (
    "pytorch_lightning.Trainer",
    *(
        f"pytorch_lightning.callbacks.{name}"
        for name in (
            "EarlyStopping",
            "LearningRateMonitor",
            "ModelCheckpoint",
            "ModelSummary",
            "RichModelSummary",
            "RichProgressBar",
            "TQDMProgressBar",
            "Timer",
        )
    ),
    *(f"pytorch_lightning.loggers.{name}" for name in ("CSVLogger", "TensorBoardLogger")),
)
_TORCH = (
    *(
        f"torch.nn.{name}"
        for name in (
            "BCEWithLogitsLoss",
            "CrossEntropyLoss",
            "GELU",
            "HuberLoss",
            "Identity",
            "KLDivLoss",
            "L1Loss",
            "LeakyReLU",
            "MSELoss",
            "ReLU",
            "SiLU",
            "Sigmoid",
            "SmoothL1Loss",
            "Softmax",
            "Softplus",
            "Tanh",
        )
    ),
    *(
        f"torch.optim.{name}"
        for name in (
            "ASGD",
            "Adadelta",
            "Adagrad",
            "Adam",
            "AdamW",
            "Adamax",
            "NAdam",
            "RAdam",
            "RMSprop",
            "Rprop",
            "SGD",
        )
    ),
    *(
        f"torch.optim.lr_scheduler.{name}"
        for name in (
            "ConstantLR",
            "CosineAnnealingLR",
            "CosineAnnealingWarmRestarts",
            "CyclicLR",
            "ExponentialLR",
            "LinearLR",
            "MultiStepLR",
            "OneCycleLR",
            "PolynomialLR",
            "StepLR",
        )
    ),
)
_TORCHMETRICS = ("torchmetrics.MetricCollection", "torchmetrics.MeanMetric", "torchmetrics.SumMetric")
LISTED = (*_SEGFIELD, *_LIGHTNING, *_TORCH, *_TORCHMETRICS)
_HYDRAS = ("_target_", "_partial_")  # of Hydra's own keys the ones that a config needs
_NEVER = {"model_registry": "would upload the checkpoints"}  # arguments of allowed classes


@functools.cache
def _canonical(name: str) -> str:
    """Return where a re-exported class really lives: Hydra looks callable instances (modules) up by that name."""
    module, _, attribute = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(
            f"SEGFIELD_ALLOW names {name}, but: {error}. Put the folder of the module on PYTHONPATH, and give both "
            "variables again when the run is continued."
        ) from error
    return f"{found.__module__}.{found.__qualname__}"


def _added() -> list[str]:
    added = [name.strip() for name in os.environ.get("SEGFIELD_ALLOW", "").split(",") if name.strip()]
    for name in added:
        if "*" in name or "." not in name:
            raise ValueError(f"SEGFIELD_ALLOW takes exact names such as pkg.module.Class, found {name!r}.")
    return added


def allowed() -> list[str]:
    """Return every class that instantiate may call, those of SEGFIELD_ALLOW included.

    Raises:
        ValueError: if SEGFIELD_ALLOW names a whole package.
    """
    listed = [*LISTED, *_added()]
    return [*listed, *(_canonical(name) for name in listed if not name.startswith("segfield."))]


def refused(config: Any) -> list[str]:
    """Find what a config may not hold, wherever it stands: classes, keys and types of values. Imports nothing.

    Raises:
        ValueError: if SEGFIELD_ALLOW names a whole package.
    """
    names = {*LISTED, *_added()}
    try:
        return [error for key, value in nodes(config) for error in _refused(key, value, names)]
    except ValueError as error:
        return [str(error)]


def _refused(key: str, value: Any, names: set[str]) -> Iterator[str]:
    if isinstance(value, dict):
        yield from (f"{key}: {name!r} is no name of an argument. Write a word." for name in value if not _is_name(name))
        if "_target_" in value and not (isinstance(value["_target_"], str) and value["_target_"] in names):
            target = str(value["_target_"])[:200]
            near = difflib.get_close_matches(target, names, n=1)
            yield (
                f"{key}._target_={target} is not allowed: a config names only the classes of the whitelist, "
                f"src/segfield/run/whitelist.py{f'; did you mean {near[0]}?' if near else '.'} "
                "Allow a class of your own with SEGFIELD_ALLOW=pkg.Class."
            )
        for name in value:
            if str(name).startswith("_") and name not in _HYDRAS:
                yield f"{key}.{name} is no key of a config: it would change how the config is read. Remove it."
            elif name in _NEVER and value[name] is not None:
                yield f"{key}.{name}={value[name]} {_NEVER[name]}: no run does. Remove it."
    elif not isinstance(value, list | str | int | float | None):
        kind = type(value).__name__
        yield f"{key} holds {kind}, expected a number, a word, a list or a mapping. Write it as plain YAML."


def _is_name(name: Any) -> bool:
    return isinstance(name, str | int)  # numbers: data.values
