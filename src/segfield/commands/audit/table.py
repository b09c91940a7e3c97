"""What an audit says on the terminal: the numbers in one table, then faults and warnings with their mends."""

import sys
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from segfield.commands.runs.cells import printable

if TYPE_CHECKING:
    from segfield.data.audit import Audit
    from segfield.data.audit.judge import Finding

_WIDE = 160  # columns of a file or a pipe
_NAMED = 3  # names of a finding; audit.json has all


def show(found: "Audit") -> None:
    """Write the table to stdout, faults and warnings to stderr."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else _WIDE)
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in rows(found.facts):
        table.add_row(Text(printable(name)), Text(printable(text)))
    console.print(table)
    _say("Worth a look:", found.warnings)
    _say("This would make training wrong:", found.errors)


def _say(header: str, findings: "list[Finding]") -> None:
    if not findings:
        return
    lines = [header]
    for finding in findings:
        lines.append(f"- {finding.kind}: {finding.what}. {finding.mend}".rstrip())
        lines += [f"    {name}" for name in finding.names[:_NAMED]]
        if len(finding.names) > _NAMED:
            lines.append(f"    and {len(finding.names) - _NAMED:,} more, in audit.json")
    sys.stderr.write("".join(f"{printable(line)}\n" for line in lines))


def rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    """Return names and texts of the table."""
    found = [("samples", f"{facts['samples']:,} of {facts['groups']:,} groups, {facts['sound']:,} can be used")]
    for part, row in facts["parts"].items():
        found.append(
            (f"  {part}", f"{row['samples']:,} samples of {row['groups']:,} groups, {row['empty']:,} with empty masks")
        )
    for name, kinds in facts["files"].items():
        shown = (
            "; ".join(f"{key} ({count:,})" for key, count in kinds[kind].items())
            for kind in ("kinds", "modes", "sizes")
        )
        found.append((f"{name} files", ", ".join(text for text in shown if text)))
    if facts["mask_values"]:
        found.append(("mask values", "; ".join(f"{key} ({count:,})" for key, count in facts["mask_values"].items())))
    if facts["sound"]:
        shares = facts["shares"]
        found.append(
            (
                "empty masks",
                f"{shares['empty']:,} of {facts['sound']:,} ({100 * shares['empty'] / facts['sound']:.3g} %)",
            )
        )
    for row in facts["classes"]:
        weight = "" if row["weight"] is None else f", weight {row['weight']:.4g}"
        found.append(
            (f"  {row['name']}", f"{100 * row['share']:.4g} % of the pixels, in {row['images']:,} images{weight}")
        )
    if facts["weights"]:
        key, formula = next(iter(facts["weights"])), facts["weights"]["formula"]
        found.append(("loss weights", f"{key}={str(facts['weights'][key]).replace(' ', '')}: {formula}"))
    for place, row in enumerate(facts["channels"]):
        middle = row["percentiles"]
        found.append(
            (
                f"channel {place + 1}",
                f"mean {row['mean']:.4g}, std {row['std']:.4g}, {row['min']:.3g} to {row['max']:.3g}, "
                f"1 % {middle['1']:.3g}, 50 % {middle['50']:.3g}, 99 % {middle['99']:.3g}",
            )
        )
    if facts["channels"]:
        typed = " ".join(f"'{key}=[{','.join(map(str, values))}]'" for key, values in facts["suggested"].items())
        found.append(("standardise by", typed))
    likeness = facts["likeness"]
    across = sum(len(one["parts"]) > 1 for one in likeness["exact"])
    found.append(("same images", f"{len(likeness['exact']):,}, {across:,} of them in two parts"))
    found.append(("alike", f"{likeness['near_across']:,} pairs in two parts, {likeness['near_within']:,} within one"))
    return found
