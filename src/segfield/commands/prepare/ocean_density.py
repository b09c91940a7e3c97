"""`segfield prepare ocean_density fields=<NetCDF files> out=<folder> [...]`: densities of drifting particles."""

import dataclasses
import difflib
import json
import re
import resource
import shlex
import shutil
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from segfield.drift.protocol import KEYS, Protocol
from segfield.run.bar import bar
from segfield.run.interrupt import patient
from segfield.run.lock import locked

if TYPE_CHECKING:
    from segfield.drift.blocks import Plan
    from segfield.drift.finish import Summary

Asked = tuple[list[Path], Path, Protocol, dict[str, Any]]  # sources, folder, protocol, how to read
_EXAMPLES = {"names": "'names={u: uo, v: vo}'", "units": "'units={ssh: cm}'", "land": "land=mesh_mask.nc:tmask"}
_READING = tuple(_EXAMPLES)
_MOST_LEFT = 0.1
_NARROWER = ": {}. Use a smaller block= (ensembles in memory together), region=, margin= or resolution=.\n"
_LOST = (
    "  Many have left the maps: prepare again, in another folder, with a wider margin= or region=, or fewer days=.\n"
)
_ALL = ("fields", "out", *KEYS, *_READING)


def _default(name: str) -> str:
    value = getattr(Protocol(), name)
    return json.dumps(value if not isinstance(value, float) or value % 1 else int(value)).replace(" ", "").strip('"')


USAGE = f"""usage: python -m segfield prepare ocean_density fields=<NetCDF files> out=<folder> [key=value ...]
Releases ensembles of particles, advects them through the currents of the files, and counts them on a grid of cells.
The same command goes on with what was interrupted. In quotes where the shell would read it: 'fields=[a.nc,b/*.nc]'.
  fields: a file, a glob, or a list of both    names={{u: <variable>, ...}}    units={{ssh: cm, ...}}    land=...
  keys and defaults: {" ".join(f"{key}={_default(key)}" for key in KEYS)}
  box, region: [south,north,west,east] of the releases, of the maps; region=null: as small as the particles need
  margin: degrees around the box in which particles move    currents: auto, uv (of the files) or ssh (geostrophic)
  resolution: cells per degree    block: ensembles advected together, in memory; a kill loses one block at most
Exit code 0: the set is there. 1: it is not; the text says what to do. 2: a wrong call.
"""


def main(arguments: list[str]) -> int:
    """Prepare a set of densities."""
    if arguments[:1] in (["-h"], ["--help"]):
        sys.stdout.write(USAGE)
        return 0
    try:
        asked = _, out, protocol, _ = _parse(arguments)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"{error}\n{USAGE}")
        return 2
    try:
        with patient() as check:
            return _prepare(asked, arguments, check)
    except (KeyboardInterrupt, SystemExit) as stop:
        code = 130 if isinstance(stop, KeyboardInterrupt) else stop.code
        sys.stderr.write(f"interrupted{_progress(out, protocol)}: the same command goes on from there\n")
        return code if isinstance(code, int) else 1
    except MemoryError as error:
        sys.stderr.write(f"Not enough memory{_NARROWER.format(error)}")
        return 1
    except (ValueError, OSError, ImportError) as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _prepare(asked: Asked, words: list[str], check: Callable[[], None]) -> int:
    from segfield.densities import BLOCKS
    from segfield.drift import advect, blocks, finish, origin

    files, out, protocol, reading = asked
    advect.require()  # before the files, which take a while
    advect.keep_memory()
    began = time.monotonic()
    plan = _plan(files, protocol, reading)
    check()
    names = [field.name for field in plan.fields]
    if origin.state(out, plan.header, names) == "finished" and not (out / BLOCKS).is_dir():
        return _there(out, protocol)
    origin.make(out / BLOCKS)
    with locked(out / BLOCKS):
        if origin.state(out, plan.header, names) == "finished":  # by another command, or it was killed at its very end
            shutil.rmtree(out / BLOCKS)
            return _there(out, protocol)
        before = blocks.done(out, protocol)
        if before:
            sys.stdout.write(f"Going on in {out}: {before} of {protocol.ensembles} ensembles are there.\n")
        with bar("advecting", "ensembles") as tick:
            blocks.fill(out, plan, tick, check)
        rate = (protocol.ensembles - before) / (time.monotonic() - began)
        command = f"python -m segfield prepare ocean_density {shlex.join(words)}"
        summary = finish.finish(out, plan, f"{datetime.now(UTC).isoformat(timespec='seconds')} {command}", check)
    sys.stdout.write(_told(out, protocol, summary, time.monotonic() - began, rate) + _next(out))
    return 0


def _there(out: Path, protocol: Protocol) -> int:
    sys.stdout.write(f"{out} holds this very set already: {protocol.ensembles} samples.\n{_next(out)}")
    return 0


def _plan(files: list[Path], protocol: Protocol, reading: dict[str, Any]) -> "Plan":
    """Read the fields, and say what was noted of them."""
    from segfield.drift.blocks import Plan
    from segfield.drift.counts import Land, missing_at_sea
    from segfield.drift.currents import currents
    from segfield.drift.origin import header
    from segfield.drift.release import check, possible_starts
    from segfield.drift.sources import read_fields
    from segfield.drift.sources_times import gaps

    sources = read_fields(files, protocol.area, needed=protocol.box, **reading)
    u, v, which = currents(sources.fields, protocol.currents)
    notes = [*sources.notes, f"Currents: {which}."]
    if missing := missing_at_sea(u, v):
        notes.append(
            f"Currents at sea are missing in {100 * missing:.2g} % of places and times: water stands still there."
        )
    edges = ((u.latitude[0], u.latitude[-1]), (u.longitude[0], u.longitude[-1]))
    south, north, west, east = protocol.area
    domain = (max(south, edges[0][0]), min(north, edges[0][1]), max(west, edges[1][0]), min(east, edges[1][1]))
    if domain != protocol.area:
        found = ",".join(f"{side:g}" for side in domain)
        notes.append(f"Particles move within [{found}]: the currents end inside of the margin or the region.")
    sys.stdout.write("".join(f"{note}\n" for note in notes))
    check(protocol, Land(u, v, protocol.resolution))
    fields = {**sources.fields, "u": u, "v": v}
    return Plan(
        protocol=protocol,
        header=header(protocol, sources.files, reading),
        u=u,
        v=v,
        fields=tuple(dataclasses.replace(field, name=name) for name, field in fields.items()),
        starts=possible_starts(u.time, protocol, gaps(u.time)),
        domain=domain,
    )


def _parse(arguments: list[str]) -> Asked:
    """Return the files, the folder, the protocol, and how the files are to be read."""
    words: dict[str, str] = {}
    for argument in arguments:
        key, equals, value = argument.partition("=")
        if not equals or key not in _ALL:
            near = difflib.get_close_matches(key, _ALL, n=1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise ValueError(f"unknown argument {argument!r}{hint}: expected key=value with one of {', '.join(_ALL)}")
        if key == "fields" and key in words:
            raise ValueError(f"fields= is given twice. Use a list: 'fields=[{words[key]},{value}]'.")
        words[key] = value
    for key, example in (("fields", "'fields=data/*.nc'"), ("out", "out=data/ocean_density")):
        if not words.get(key):
            raise ValueError(f"{key}=... is missing. Use for example {example}.")
    values = {key: _value(key, text) for key, text in words.items() if key not in ("fields", "out")}
    reading = {key: _reading(key, values.pop(key, None)) for key in _READING}
    return _files(words["fields"]), _path("out", words["out"]), Protocol.from_json(values), reading


def _path(key: str, word: str) -> Path:
    try:
        return Path(word).expanduser()
    except RuntimeError as error:  # ~somebody
        raise ValueError(f"{key}={word}: {error} Give the whole path.") from error


def _value(key: str, text: str) -> Any:
    try:
        value = yaml.safe_load(text)
        return float(text) if isinstance(value, str) and re.fullmatch(r"\d+(\.\d*)?[eE][+-]?\d+", text) else value
    except yaml.YAMLError as error:
        example = _EXAMPLES.get(key) or f"{key}={_default(key)}"
        raise ValueError(f"'{key}={text}' cannot be read: {example} for example") from error


def _reading(key: str, value: Any) -> Any:
    """Check names, units and land; {u:uo}, which YAML takes for the word `u:uo`, is {u: uo}."""
    expected = str if key == "land" else dict
    if value is not None and not isinstance(value, expected):
        raise ValueError(f"{key}={value} cannot be read. Use for example {_EXAMPLES[key]}.")
    if not isinstance(value, dict):
        return value
    split = [key.partition(":")[::2] if one is None and ":" in str(key) else (key, one) for key, one in value.items()]
    return dict(split)


def _files(text: str) -> list[Path]:
    """Return the files of a path, a glob, or a list of both; those of a glob sorted."""
    listed = text[1:-1].split(",") if text.startswith("[") and text.endswith("]") else [text]
    found: list[Path] = []
    for word in filter(None, map(str.strip, listed)):
        path = _path("fields", word)
        if path.is_dir():
            raise ValueError(f"fields={word} is a folder. Use 'fields={word.rstrip('/')}/*.nc'.")
        matched = [path] if path.is_file() else _globbed(path)
        if not matched:
            raise ValueError(f"fields={word}: no such file, and nothing that it matches as a glob.")
        found += matched
    if not found:
        raise ValueError("fields=[] names no file. Use for example 'fields=data/*.nc'.")
    return list(dict.fromkeys(found))


def _globbed(path: Path) -> list[Path]:
    try:
        return sorted(one for one in Path(path.anchor).glob(str(path.relative_to(path.anchor))) if one.is_file())
    except ValueError as error:
        raise ValueError(f"fields={path}: {error}. Use for example 'fields=data/*.nc'.") from error


def _progress(out: Path, protocol: Protocol) -> str:
    from segfield.densities import COUNTS
    from segfield.drift import blocks

    if (out / COUNTS).is_file():
        return f" when {out} was whole already"
    return f" with {blocks.done(out, protocol)} of {protocol.ensembles} ensembles in {out}"


def _told(out: Path, protocol: Protocol, found: "Summary", seconds: float, rate: float) -> str:
    size = sum(path.stat().st_size for path in out.rglob("*.nc")) / 1e6
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    south, north, west, east = (f"{side:.6g}" for side in found.region)
    return (
        f"Wrote {out}: {found.samples} samples of {protocol.particles} particles, {len(protocol.hours)} maps each\n"
        f"  region [{south},{north},{west},{east}], {found.shape[0]} x {found.shape[1]} cells of "
        f"1/{protocol.resolution} degree\n"
        f"  inside after {protocol.days:g} days: {100 * found.inside:.2f} % (mean); left {found.left}, beached "
        f"{found.beached} of {found.samples * protocol.particles}; centres drawn again for land: {found.redrawn}\n"
        f"  {size:.1f} MB, {seconds:.1f} s, {rate:.1f} ensembles/s, peak memory {peak:.0f} MB\n"
        f"{_LOST if found.left > _MOST_LEFT * found.samples * protocol.particles else ''}"
    )


def _next(out: Path) -> str:
    root = shlex.quote(f"data.root={out}")
    return f"Train on it with:\n  python train.py model=unet_small data=ocean_density {root}\n"
