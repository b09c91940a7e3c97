"""What a sweep costs beyond its training: seconds a job, seconds of composition a job, memory of its process.

python experiments/speed/sweep.py [jobs=4] [composed=40] [trivial=200]

jobs: one after the other, each a program of its own, then each a fork of one that has imported everything. A job's
overhead is the time from its start to its end as the sweep tells them, less the seconds in its status.json.
composed: jobs that are all the same, so that they are composed and nothing else; the difference to a tenth of them
counts, with Hydra's own composition of each job before ours. Beside other work read the processor's time.
trivial: jobs, two at once and forked; the memory of the sweep's process is read when its 20th and its last job start.
0 leaves a part out.
"""

import contextlib
import json
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
TINY = ("debug=fast", "data.size=[32,32]", "data.length=10", "model.width=4", "model.depth=2", "threads=1")


@contextlib.contextmanager
def command(*words: str) -> Iterator[subprocess.Popen[str]]:
    """Start train.py -m with what a sweep says on a pipe."""
    program = [sys.executable, str(PROJECT / "train.py"), "-m", *TINY, *words]
    with subprocess.Popen(program, stderr=subprocess.PIPE, text=True, cwd=PROJECT) as process:
        yield process
    if process.returncode:
        sys.exit(f"{' '.join(program)} ended with exit code {process.returncode}")


def overhead(jobs: int, preload: bool) -> None:
    """Run jobs one after the other."""
    with tempfile.TemporaryDirectory() as folder:
        began: dict[str, float] = {}
        taken: dict[str, float] = {}
        first = time.monotonic()
        words = (f"seed=range({jobs})", f"hydra.sweep.dir={folder}", f"hydra.launcher.preload={str(preload).lower()}")
        with command(*words) as process:
            for line in process.stderr or ():
                if found := re.match(r"job (\d+) (started|finished)", line):
                    (began if found[2] == "started" else taken)[found[1]] = time.monotonic()
        whole = time.monotonic() - first
        seconds = {job: json.loads(Path(folder, job, "status.json").read_text())["seconds"] for job in taken}
    costs = [taken[job] - began[job] - seconds[job] for job in taken]
    name = "forks of one process" if preload else "programs of their own"
    print(f"{jobs} jobs, {name}: overhead a job {', '.join(f'{cost:.2f}' for cost in costs)} s")
    print(f"  mean {sum(costs) / jobs:.2f} s, without the first job {sum(costs[1:]) / max(1, jobs - 1):.2f} s")
    print(f"  the whole sweep {whole:.1f} s, of which {sum(seconds.values()):.1f} s are the jobs' own seconds")


def composition(jobs: int) -> None:
    """Compose jobs that are all the same, in a sweep whose one job is over."""
    few = max(1, jobs // 10)
    with tempfile.TemporaryDirectory() as folder:
        times = []
        for count in (1, few, jobs):  # the first one runs
            start, used = time.monotonic(), processor()
            with command(f"data.num_workers=range({count})", f"hydra.sweep.dir={folder}") as process:
                process.communicate()
            times.append((time.monotonic() - start, processor() - used))
    wall, work = (1e3 * (times[2][place] - times[1][place]) / (jobs - few) for place in (0, 1))
    print(f"composition: {wall:.0f} ms a job, {work:.0f} ms of a processor ({few} and {jobs} identical jobs)")


def processor() -> float:
    """Return the processor time [s] of all processes that were started and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def memory(jobs: int) -> None:
    """Read the memory of the sweep's process while it runs many jobs."""
    early, found = min(20, jobs - 1), {}
    with tempfile.TemporaryDirectory() as folder:
        words = (f"seed=range({jobs})", f"hydra.sweep.dir={folder}", "hydra.launcher.preload=true")
        start = time.monotonic()
        with command(*words, "hydra.launcher.jobs=2") as process:
            started = 0
            for line in process.stderr or ():
                if re.match(r"job \d+ started", line):
                    started += 1
                    text = Path(f"/proc/{process.pid}/status").read_text()
                    found[started] = int(re.search(r"VmRSS:\s+(\d+)", text)[1]) / 1e3  # type: ignore[index]
    growth = found[jobs] - found[early]
    print(f"memory of the sweep's process: {found[early]:.1f} MB at job {early}, {found[jobs]:.1f} MB at job {jobs}")
    print(f"  growth {growth:.1f} MB, {1e3 * growth / (jobs - early):.0f} kB a job; {time.monotonic() - start:.0f} s")


def main() -> None:
    """Measure what is asked for."""
    settings = {"jobs": 4, "composed": 40, "trivial": 200}
    settings |= {key: int(value) for key, value in (word.split("=") for word in sys.argv[1:])}
    if settings["jobs"]:
        overhead(settings["jobs"], preload=False)
        overhead(settings["jobs"], preload=True)
    if settings["composed"]:
        composition(settings["composed"])
    if settings["trivial"]:
        memory(settings["trivial"])


if __name__ == "__main__":
    main()
