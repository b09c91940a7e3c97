"""Audit: what is in a data set, and what of it would make training wrong. Numbers only; pages are report's.

Every sample is read once, as training reads it (at data.size), in several processes. The numbers are JSON.
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from torch.utils.data import DataLoader, Dataset

from segfield.data.audit import totals
from segfield.data.audit.judge import Finding, errors, warnings
from segfield.data.audit.likeness import ALIKE, NEAR, near_pairs, same
from segfield.data.audit.measure import Measured, measure
from segfield.data.module import PixelwiseData
from segfield.data.sample import Sample

_WORTH = 16  # samples for which one process more pays
_NO_PART = "unused"


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    `facts` are JSON. `samples` are those that were read, in the order of `parts` and of the places in `facts`.
    """

    facts: dict[str, Any]
    errors: list[Finding]
    warnings: list[Finding]
    samples: list[Sample]
    parts: list[str]
    problems: list[str | None]


def audit(data: PixelwiseData, workers: int = 0, tick: Callable[[int, int], None] = lambda done, of: None) -> Audit:
    """Read every sample that the configuration uses, and judge.

    Args:
        data: not yet set up.
        workers: processes that read; 0: this one.
        tick: called with the number of samples that are done, and of all.
    """
    with _Notes() as notes:
        samples, parts, facts = _list(data)
    facts["notes"] = notes.lines
    measured = []
    for one in _measured(data, samples, min(workers, len(samples) // _WORTH)):
        measured.append(one)
        tick(len(measured), len(samples))
    facts |= _facts(data, samples, parts, measured)
    problems = [one.problem for one in measured]
    return Audit(facts, errors(facts), warnings(facts), samples, parts, problems)


def _list(data: PixelwiseData) -> tuple[list[Sample], list[str], dict[str, Any]]:
    """List the samples that the split uses, or all where there is no split; and what keeps from that."""
    facts: dict[str, Any] = {"listing": None, "split": None, "unused": 0}
    data.findings = {}
    try:
        found = sorted(data.samples(), key=lambda sample: sample.id)
    except (OSError, ValueError) as error:
        return [], [], {**facts, "listing": str(error), "findings": data.findings}
    facts["findings"], data.findings = data.findings, {}
    try:
        data.setup()
    except (OSError, ValueError) as error:
        return found, [sample.part or _NO_PART for sample in found], {**facts, "split": str(error)}
    part_of = {id_: part for id_, _, part in data.split_table()}
    used = [sample for sample in found if sample.id in part_of]
    return used, [part_of[sample.id] for sample in used], {**facts, "unused": len(found) - len(used)}


def _measured(data: PixelwiseData, samples: Sequence[Sample], workers: int) -> Iterator[Measured]:
    yield from DataLoader(_Samples(data, samples), batch_size=None, collate_fn=_as_it_is, num_workers=workers)


class _Samples(Dataset[Measured]):
    def __init__(self, data: PixelwiseData, samples: Sequence[Sample]) -> None:
        self._data, self._samples = data, samples

    def __len__(self) -> int:
        return len(self._samples)

    def __getitem__(self, index: int) -> Measured:
        return measure(self._data, self._samples[index])


def _as_it_is(one: Any) -> Any:
    return one


def _facts(
    data: PixelwiseData, samples: Sequence[Sample], parts: Sequence[str], measured: Sequence[Measured]
) -> dict[str, Any]:
    sound = [place for place, one in enumerate(measured) if one.problem is None]
    # What training learns from decides on numbers that are typed; the other parts stay unseen.
    learnt = [measured[place] for place in sound if parts[place] == "train"] or [measured[place] for place in sound]
    channels = totals.channels([one.channels for one in learnt if one.channels])
    count = 2 if data.out_channels == 1 else data.out_channels
    has_classes = any(measured[place].classes for place in sound)
    table = totals.classes(learnt, data.classes, count) if has_classes else []
    sizes = {measured[place].size for place in sound}
    ranges = [one for place in sound if (one := measured[place].target_range)]
    return {
        "samples": len(samples),
        "groups": len({sample.group for sample in samples}),
        "sound": len(sound),
        "parts": _parts(samples, parts, measured),
        "size": None if data.size is None else list(data.size),
        "batch_size": data.batch_size,
        "on_error": data.on_error,
        "working_sizes": totals.frequent(Counter("{}x{}".format(*measured[place].size) for place in sound)),
        "several_sizes": len(sizes) > 1,
        "files": totals.files(measured),
        "mask_values": totals.stored_values(measured[place] for place in sound),
        "channels": channels,
        "configured": {f"data.{name}": _per_channel(getattr(data, name), data.in_channels) for name in ("mean", "std")},
        "suggested": {
            "data.mean": [round(row["mean"], 4) for row in channels],
            "data.std": [round(row["std"], 4) for row in channels],
        },
        "classes": table,
        "weights": totals.weights(table),
        "targets": {"min": min(low for low, _ in ranges), "max": max(high for _, high in ranges)} if ranges else None,
        "shares": totals.shares([measured[place] for place in sound]),
        "constant": [samples[place].id for place in sound if measured[place].is_constant],
        "infinite": [samples[place].id for place in sound if (found := measured[place].channels) and found.infinite],
        "unusable": [
            {"id": samples[place].id, "kind": one.problem, "message": one.message}
            for place, one in enumerate(measured)
            if one.problem
        ],
        "shared_groups": _shared(samples, parts),
        "own_shared_groups": _shared(samples, [sample.part or "" for sample in samples]),
        "likeness": _likeness(samples, parts, measured),
    }


def _per_channel(value: float | Sequence[float], channels: int) -> list[float]:
    return [float(value)] * channels if isinstance(value, int | float) else [float(one) for one in value]


def _parts(samples: Sequence[Sample], parts: Sequence[str], measured: Sequence[Measured]) -> dict[str, dict[str, int]]:
    rows: dict[str, dict[str, int]] = {}
    for part in ("train", "val", "test", _NO_PART):
        places = [place for place, name in enumerate(parts) if name == part]
        if places:
            rows[part] = {
                "samples": len(places),
                "groups": len({samples[place].group for place in places}),
                "empty": sum(measured[place].problem is None and measured[place].share == 0 for place in places),
                "unusable": sum(measured[place].problem is not None for place in places),
            }
    return rows


def _shared(samples: Sequence[Sample], parts: Sequence[str]) -> list[str]:
    """Return the groups that stand in several parts."""
    seen: dict[str, set[str]] = {}
    for sample, part in zip(samples, parts, strict=True):
        seen.setdefault(sample.group, set()).add(part)
    return sorted(group for group, where in seen.items() if len(where) > 1)


def _likeness(samples: Sequence[Sample], parts: Sequence[str], measured: Sequence[Measured]) -> dict[str, Any]:
    """Find images that are the same or nearly; constant ones tell nothing."""
    places = [place for place, one in enumerate(measured) if one.problem is None and not one.is_constant]
    exact = [
        {
            "ids": [samples[place].id for place in group],
            "parts": sorted({parts[place] for place in group}),
            "groups": len({samples[place].group for place in group}),
            "same_mask": len({measured[place].target_digest for place in group}) == 1,
        }
        for group in same({place: measured[place].digest for place in places})
    ]
    found = near_pairs(
        [measured[place].hash64 for place in places],
        [parts[place] for place in places],
        [measured[place].digest for place in places],
        [measured[place].small for place in places],
    )
    pairs = [(places[pair.first], places[pair.second], pair.distance) for pair in found.pairs]
    return {
        "exact": exact,
        "bits": NEAR,
        "correlation": ALIKE,
        "near": [
            {"ids": [samples[a].id, samples[b].id], "parts": [parts[a], parts[b]], "distance": distance}
            for a, b, distance in pairs
        ],
        "near_across": found.across,
        "near_within": found.within,
    }


class _Notes(logging.Handler):
    """Takes what the library says while samples are listed, each line once."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lines: list[dict[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line."""
        line = {"level": record.levelname.lower(), "text": record.getMessage()}
        if line not in self.lines:
            self.lines.append(line)

    def __enter__(self) -> "_Notes":
        logger = logging.getLogger("segfield")
        self._before = logger.level
        logger.setLevel(logging.INFO)
        logger.addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logger = logging.getLogger("segfield")
        logger.setLevel(self._before)
        logger.removeHandler(self)
