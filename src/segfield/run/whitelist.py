"""The classes that a config may name. Exact names, never a package: a package lets code through.

A user adds own classes by the environment, SEGFIELD_ALLOW=pkg.Class,pkg.Other, never by the config.
"""

import functools
import importlib
import os

_SEGFIELD = (
    "segfield.augment.Augmentation",
    "segfield.callbacks.last_checkpoint.LastCheckpoint",
    "segfield.callbacks.metrics_csv.MetricsCsv",
    "segfield.callbacks.panels.Panels",
    "segfield.callbacks.plateau.Plateau",
    "segfield.callbacks.progress_bar.ProgressBar",
    "segfield.callbacks.signals.SaveOnSignal",
    "segfield.callbacks.throughput.Throughput",
    "segfield.callbacks.trace.Trace",
    "segfield.data.blobs.Blobs",
    "segfield.data.carvana.Carvana",
    "segfield.data.folder.Folder",
    "segfield.losses.BCEDice",
    "segfield.metrics.Dice",
    "segfield.metrics.DiceSet",
    "segfield.metrics.IoU",
    "segfield.metrics.PixelAccuracy",
    "segfield.models.resnet_unet.ResNetUNet",
    "segfield.models.unet.UNet",
    "segfield.task.PixelwiseTask",
)
_LIGHTNING = (
    "pytorch_lightning.Trainer",
    *(
        f"pytorch_lightning.callbacks.{name}"
        for name in (
            "DeviceStatsMonitor",
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


def allowed() -> list[str]:
    """Return every class that instantiate may call, those of SEGFIELD_ALLOW included.

    Raises:
        ValueError: if SEGFIELD_ALLOW names a whole package.
    """
    added = [name.strip() for name in os.environ.get("SEGFIELD_ALLOW", "").split(",") if name.strip()]
    for name in added:
        if "*" in name or "." not in name:
            raise ValueError(f"SEGFIELD_ALLOW takes exact names such as pkg.module.Class, found {name!r}.")
    listed = [*LISTED, *added]
    return [*listed, *(_canonical(name) for name in listed if not name.startswith("segfield."))]
