"""What the facts of an audit mean: errors, with which training would be wrong, and warnings; each with its mend."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from segfield.data.audit.measure import OTHER_SIZE, UNFIT, UNREADABLE, VALUES

_RARE = 0.05  # share of the foreground's pixels below which a loss needs help
_UNLIKE = 0.1  # between a mean or std that is configured and the data's


class Finding(NamedTuple):
    """A kind of fault: what it is, how to mend it, and whom it concerns."""

    kind: str
    what: str
    mend: str
    names: list[str]


# kind -> (what, mend) of samples that cannot be used.
_UNUSABLE = {
    UNREADABLE: (
        "samples with a file that cannot be read",
        "Copy or download them again, or remove them; data.on_error=skip would leave them out of every epoch.",
    ),
    OTHER_SIZE: (
        "masks of another size than their image",
        "Export these masks again from the images as they are, or remove the pairs.",
    ),
    VALUES: (
        "masks with values that are no class",
        "Each message says which values were found; save the masks with one value per class, or map the values.",
    ),
    UNFIT: ("samples that do not fit the configuration", "Each message says what to change."),
}
_FOUND = {  # by samples(), which goes on without them
    "missing": ("images without a mask", "Add the masks, or remove the images."),
    "duplicate": ("names that stand for two files", "Remove one of the two."),
    "unreadable": ("files that cannot be read", "Copy or download them again, or remove them."),
}

_LEFT_OUT = {"absent": "files that a table lists and the folder lacks", "orphaned": "masks without an image"}


def errors(facts: Mapping[str, Any]) -> list[Finding]:
    """Return what would make training wrong."""
    found: list[Finding] = []
    if facts["listing"]:
        found.append(Finding("no data", "the data cannot be listed", facts["listing"], []))
    elif not facts["samples"]:
        found.append(Finding("no samples", "there is no sample to train on", "Correct what is told below.", []))
    for kind, names in facts["findings"].items():
        if kind in _FOUND:
            found.append(Finding(kind, f"{_FOUND[kind][0]}: {len(names)}", _FOUND[kind][1], names))
    for kind, (what, mend) in _UNUSABLE.items():
        if kind == UNREADABLE and facts["on_error"] == "skip":
            continue
        if names := [one["message"] for one in facts["unusable"] if one["kind"] == kind]:
            found.append(Finding(kind, f"{what}: {len(names)}", mend, names))
    if facts["split"] and facts["samples"]:
        found.append(Finding("split", "the samples cannot be split", facts["split"], []))
    if names := facts["shared_groups"]:
        found.append(
            Finding("group leak", f"groups in several parts: {len(names)}", "Split by group, never within.", names)
        )
    across = [one for one in facts["likeness"]["exact"] if len(one["parts"]) > 1]
    if across:
        names = [" = ".join(one["ids"]) + f" ({', '.join(one['parts'])})" for one in across]
        mend = "A score would be of images that were trained on. Remove the copies, or give them one group."
        found.append(
            Finding("duplicates", f"images that stand in several parts, pixel by pixel: {len(across)}", mend, names)
        )
    found += _unteachable(facts)
    return found


def _unteachable(facts: Mapping[str, Any]) -> list[Finding]:
    """Judge what the sound samples are together."""
    found: list[Finding] = []
    if not facts["sound"]:
        return found
    if facts["shares"]["empty"] == facts["sound"]:
        mend = "Look whether the masks are the right files, and what their values mean (data.values of data=folder)."
        found.append(Finding("all empty", f"all {facts['sound']} masks are empty", mend, []))
    if facts["several_sizes"] and facts["size"] is None and facts["batch_size"] > 1:
        mend = "Set data.size=[H,W] (multiples of 16 suit most networks), or data.batch_size=1."
        sizes = [f"{size}: {count} images" for size, count in facts["working_sizes"].items()]
        found.append(Finding("sizes", "images have several sizes, and data.size is null", mend, sizes))
    if names := facts["infinite"]:
        found.append(Finding("infinite", f"images with NaN or infinity: {len(names)}", "Correct the files.", names))
    return found


def warnings(facts: Mapping[str, Any]) -> list[Finding]:
    """Return what deserves a look, and does not stop a training."""
    found = [
        Finding(kind, f"{_LEFT_OUT.get(kind, kind)}: {len(names)}", "They are left out.", names)
        for kind, names in facts["findings"].items()
        if kind not in _FOUND
    ]
    found += [Finding("note", one["text"].rstrip("."), "", []) for one in facts["notes"] if one["level"] != "info"]
    skipped = [one["message"] for one in facts["unusable"] if one["kind"] == UNREADABLE]
    if skipped and facts["on_error"] == "skip":
        what = f"{_UNUSABLE[UNREADABLE][0]}: {len(skipped)}"
        found.append(Finding("skipped", what, "data.on_error=skip leaves them out of every epoch.", skipped))
    found += _alike(facts)
    if names := facts["own_shared_groups"]:
        what = f"groups in several of the data's own parts: {len(names)}"
        found.append(Finding("own parts", what, "Regroup them with data.split=fractions.", names))
    if names := facts["constant"]:
        found.append(
            Finding("constant", f"images of one colour: {len(names)}", "Look whether they belong here.", names)
        )
    absent = [row["name"] for row in facts["classes"] if not row["images"]]
    if absent and facts["shares"]["empty"] != facts["sound"]:
        what = f"classes in no training mask: {len(absent)}"
        found.append(Finding("absent classes", what, "They cannot be learnt; see data.classes.", absent))
    if len(facts["classes"]) == 2 and 0 < facts["classes"][1]["share"] < _RARE:
        what = f"the foreground is {100 * facts['classes'][1]['share']:.2g} % of the pixels"
        found.append(Finding("rare", what, "Keep a Dice term in the loss, or use the weight that is suggested.", []))
    found += _standardised(facts)
    return found


def _alike(facts: Mapping[str, Any]) -> list[Finding]:
    found = []
    likeness = facts["likeness"]
    if across := likeness["near_across"]:
        names = [
            f"{' ~ '.join(one['ids'])} ({one['distance']} bits, {', '.join(one['parts'])})" for one in likeness["near"]
        ]
        what = (
            f"pairs of images in two parts that look alike: {across} (at most {likeness['bits']} of 64 bits of the "
            f"perceptual hash differ, colours correlate by {likeness['correlation']} or more)"
        )
        mend = (
            "Look at them on the page. Copies of one object make scores too good: they belong in one group. Different "
            "objects in one pose (cars on a turntable) may be alike too."
        )
        found.append(Finding("near-duplicates", what, mend, names))
    apart = [one for one in likeness["exact"] if len(one["parts"]) == 1 and one["groups"] > 1]
    if apart:
        names = [" = ".join(one["ids"]) for one in apart]
        what = f"images that stand several times in one part, as different groups: {len(apart)}"
        found.append(Finding("copies", what, "Another split or fold puts them in two parts: remove the copies.", names))
    if names := [" = ".join(one["ids"]) for one in likeness["exact"] if not one["same_mask"]]:
        what = f"images that stand several times, with different masks: {len(names)}"
        found.append(Finding("contradictions", what, "Decide which mask is right.", names))
    return found


def _standardised(facts: Mapping[str, Any]) -> list[Finding]:
    """Compare data.mean and data.std with the data's."""
    found = []
    for key, values in facts["suggested"].items():
        configured = facts["configured"][key]
        if values and max(abs(a - b) for a, b in zip(values, configured, strict=True)) > _UNLIKE:
            typed = f"'{key}=[{','.join(map(str, values))}]'"
            what = f"{key} is {configured}, the training images have {values}"
            found.append(Finding("standardisation", what, f"Training gets along; to be exact: {typed}.", []))
    return found
