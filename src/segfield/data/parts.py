"""Which part each sample is in, and by which of five ways.

The run's own table, a file, the parts that the data has, a rule of the data's own, fractions of the groups.

Whatever the way, a group (a car, a patient) is never in two parts.
Not here: how fractions and folds choose groups (splits.py).
"""

import csv
import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from segfield.data.hooks import Hooks
from segfield.data.sample import Sample
from segfield.data.settings import Settings
from segfield.data.splits import PARTS, frozen_parts, keep_fraction, parts_of_groups

_log = logging.getLogger(__name__)
_HEADERS = (["id", "part"], ["id", "group", "part"])


def parts_of_samples(
    samples: Sequence[Sample],
    how: Hooks,
    folders: Sequence[Path],
    kept: Sequence[tuple[str, str, str]] | None,
) -> dict[str, str]:
    """Give each sample in use its part, and say in the log how many groups and samples each part has.

    Args:
        samples: with different ids.
        how: the keys of data that describe a split, and the data's own rule.
        folders: of the data, where a relative split_file may lie.
        kept: (id, group, part) of a split that was made before; then nothing else counts.

    Returns:
        "train", "val" or "test" by id; what is left out is absent.

    Raises:
        ValueError: if the settings contradict one another, do not fit the data, or would cut a group.
        FileNotFoundError: if there is no split_file.
    """
    if kept is not None:
        way, parts = "as this run began", frozen_parts({sample.id: sample.group for sample in samples}, kept)
    elif how.split_file is not None:
        way, parts = f"by {how.split_file}", _of_file(samples, how, folders)
        how.refuse_parts(parts, f"data.split_file={how.split_file}")
    elif (ruled := how.split_own(samples)) is not None:
        way, parts = how.own_way, ruled
    elif _takes_own(samples, how):
        way, parts = "by the data's own parts", _own(samples, how)
    else:
        way, parts = "by group", _fractions(samples, how)
    _refuse_cut_groups(samples, parts, _remedy(how, kept is not None))
    if kept is None and way != "by group":
        parts = _share(samples, parts, how)
    _log.info("Split %s: %s.", way, "; ".join(_counted(samples, parts)))
    return parts


def _takes_own(samples: Sequence[Sample], how: Settings) -> bool:
    folded = how.folds is not None or how.fold is not None
    if how.split == "own" and folded:
        raise ValueError(
            f"data.folds={how.folds} makes parts of the groups, data.split=own takes those that the data has: it is "
            "one or the other. Use data.split=fractions, or leave data.folds out."
        )
    return how.split == "own" or (
        how.split is None and not folded and bool(samples) and all(sample.part is not None for sample in samples)
    )


def _own(samples: Sequence[Sample], how: Settings) -> dict[str, str]:
    lacking = [sample.id for sample in samples if sample.part is None]
    if lacking:
        raise ValueError(
            f"data.split=own: {len(lacking)} of {len(samples)} samples have no part of their own, first "
            f"{', '.join(lacking[:3])}. Use data.split=fractions, or a data.split_file that names each sample's part."
        )
    _tell_unused(how, "the data has parts of its own. data.split=fractions makes others.")
    return _whole({sample.id: str(sample.part) for sample in samples}, "The data's own parts", "data.split=fractions")


def _tell_unused(how: Settings, why: str) -> None:
    if how.test_fraction:
        _log.warning("data.test_fraction=%s is not used: %s", how.test_fraction, why)


def _of_file(samples: Sequence[Sample], how: Settings, folders: Sequence[Path]) -> dict[str, str]:
    if how.split is not None or how.folds is not None or how.fold is not None:
        others = (("split", how.split), ("folds", how.folds), ("fold", how.fold))
        other = next(f"data.{name}={value}" for name, value in others if value is not None)
        raise ValueError(
            f"data.split_file={how.split_file} names each sample's part, {other} chooses others: it is one or the "
            "other. Leave one of the two out."
        )
    path = _found(str(how.split_file), folders)
    rows, groups = _rows(path), {sample.id: sample.group for sample in samples}
    parts = {id_: part for id_, _, part in rows}
    unknown = [id_ for id_ in parts if id_ not in groups]
    moved = [f"{id_} ({group}, not {groups[id_]})" for id_, group, _ in rows if group and groups.get(id_) != group]
    if unknown or moved:
        names, what = (unknown, "are none of this data") if unknown else (moved, "have another group in the data")
        raise ValueError(
            f"{path}: {len(names)} of {len(rows)} samples {what}, first {', '.join(names[:3])}. Ids and groups are "
            "those of splits.csv in the folder of a run. Give a file of this data; the column group may be left out."
        )
    _tell_unused(how, f"{how.split_file} names the parts.")
    if len(parts) < len(samples):
        _log.info("%d of %d samples are not in %s: left out.", len(samples) - len(parts), len(samples), path)
    return _whole(parts, str(path), "another file")


def _found(name: str, folders: Sequence[Path]) -> Path:
    places = [Path(name)] if Path(name).is_absolute() else [folder / name for folder in folders]
    for path in places:
        if path.is_file():
            return path
    looked = "".join(f", {path}" for path in dict.fromkeys(places) if str(path) != name)
    raise FileNotFoundError(
        f"data.split_file={name} is no file. Looked for it where the command was typed{looked}. Give a CSV of id,part."
    )


def _rows(path: Path) -> list[tuple[str, str, str]]:
    """Read (id, group, part); the group is empty where the file has no such column."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            header, *rows = [row for row in csv.reader(file) if row] or [[]]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is no CSV: {error}. Expected id,part or id,group,part.") from error
    broken = [row for row in rows if len(row) != len(header) or row[-1] not in PARTS]
    if header not in _HEADERS or broken:
        found = ",".join(broken[0] if header in _HEADERS else header)
        raise ValueError(
            f"{path}: expected id,part or id,group,part in the first line, and in each other one a part of "
            f"{', '.join(PARTS)}; found {found[:80]!r}."
        )
    twice = [id_ for id_, count in Counter(row[0] for row in rows).items() if count > 1]
    if twice:
        raise ValueError(f"{path} has {len(twice)} ids more than once, first {twice[0]}. Give each id one row.")
    return [(row[0], row[1] if len(row) == 3 else "", row[-1]) for row in rows]


def _whole(parts: dict[str, str], source: str, instead: str) -> dict[str, str]:
    """Refuse parts to which training or validation is missing, or that have another name."""
    has = set(parts.values())
    if has - set(PARTS) or not has >= {"train", "val"}:
        raise ValueError(
            f"{source}: a split needs the parts train and val, and may have test; found "
            f"{', '.join(sorted(has)) or 'none'}. Use {instead}."
        )
    return parts


def _share(samples: Sequence[Sample], parts: dict[str, str], how: Settings) -> dict[str, str]:
    """Take sample_fraction of the groups of each of train and val; the test part stays whole."""
    used: set[tuple[str, str]] = set()
    for part in ("train", "val"):
        groups = [sample.group for sample in samples if parts.get(sample.id) == part]
        used |= {(part, group) for group in keep_fraction(groups, how.sample_fraction, how.split_seed, least=1)}
    groups_of = {sample.id: sample.group for sample in samples}
    return {id_: part for id_, part in parts.items() if part == "test" or (part, groups_of[id_]) in used}


def _fractions(samples: Sequence[Sample], how: Settings) -> dict[str, str]:
    parts = parts_of_groups(
        [sample.group for sample in samples],
        test_fraction=how.test_fraction,
        sample_fraction=how.sample_fraction,
        val_fraction=how.val_fraction,
        folds=how.folds,
        fold=how.fold,
        seed=how.split_seed,
        empty=_shares(samples) if how.balance else None,
    )
    return {sample.id: parts[sample.group] for sample in samples if sample.group in parts}


def _shares(samples: Sequence[Sample]) -> dict[str, float] | None:
    """Return each group's share of empty masks; None where one is not known."""
    known: dict[str, list[bool]] = defaultdict(list)
    for sample in samples:
        if sample.empty is None:
            return None
        known[sample.group].append(sample.empty)
    return {group: sum(values) / len(values) for group, values in known.items()}


def _refuse_cut_groups(samples: Sequence[Sample], parts: Mapping[str, str], remedy: str) -> None:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for sample in samples:
        if sample.id in parts:
            counts[sample.group][parts[sample.id]] += 1
    cut = sorted(group for group, found in counts.items() if len(found) > 1)
    if cut:
        first = " and ".join(f"{counts[cut[0]][part]} in {part}" for part in PARTS if counts[cut[0]][part])
        raise ValueError(
            f"{len(cut)} of {len(counts)} groups are in two parts of the split, first {cut[0]!r}: {first}. Samples of "
            f"one group (views of one car, slices of one patient) in two parts make a score better than it is. {remedy}"
        )


def _remedy(how: Settings, frozen: bool) -> str:
    if frozen:
        return "Restore splits.csv from a copy of the run, or start a new run."
    if how.split_file is not None:
        return f"Give each group one part in {how.split_file}, or use data.split=fractions without it."
    return (
        "Use data.split=fractions, which splits by group; a data.split_file; or what makes other groups where the data "
        "has it (data.group_pattern, data.fold_file)."
    )


def _counted(samples: Sequence[Sample], parts: Mapping[str, str]) -> Iterable[str]:
    """Yield for each part its groups, its samples and, where it is known, its share of empty masks."""
    for part in PARTS:
        mine = [sample for sample in samples if parts.get(sample.id) == part]
        if mine:
            share = ""
            if all(sample.empty is not None for sample in mine):
                share = f", {sum(map(bool, (sample.empty for sample in mine))) / len(mine):.1%} of the masks empty"
            yield f"{part} {len({sample.group for sample in mine})} groups, {len(mine)} samples{share}"
