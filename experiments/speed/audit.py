"""How long an audit takes: photographs of 1918x1280 with GIF masks at data.size, and as many small ones.

python experiments/speed/audit.py [cars=16] [images=5000] [pairs=5000]

cars: of 16 photographs of 1918x1280 each, drawn first; the time of `images` such ones is extrapolated from theirs.
images: small samples (blobs of 64x64, which are drawn while they are read). pairs: hashes that are compared with one
another. It runs on the cores that it is given: `taskset -c 0,1 python ...` gives it two. Processor time is told beside:
where other work has a share of the cores, an idle machine would take processor time / cores.
"""

import io
import os
import sys
import tempfile
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np

from segfield.commands.audit import main as audit
from segfield.data.audit.likeness import near_pairs
from segfield.data.demo import prepare_carvana
from segfield.run.placement import cores


def seconds(words: list[str]) -> tuple[float, float]:
    """Audit once, from composing to the page: seconds, and seconds of processors."""
    start, used = time.perf_counter(), sum(os.times()[:4])
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()) as said:
        code = audit(words)
    assert code == 0, said.getvalue()
    return time.perf_counter() - start, sum(os.times()[:4]) - used


def main() -> None:
    """Measure."""
    settings = {"cars": 16, "images": 5000, "pairs": 5000}
    settings |= {key: int(value) for key, value in (word.split("=") for word in sys.argv[1:])}
    with tempfile.TemporaryDirectory() as folder:
        root, out = Path(folder, "carvana"), f"out={folder}/out"
        seconds(["data=blobs", "data.length=30", "data.size=[32,32]", out])  # imports
        fixed, busy = seconds(["data=blobs", "data.length=30", "data.size=[32,32]", out])
        print(f"{cores()} cores; composing, pages and 24 thumbnails without imports: {fixed:.1f} s")
        prepare_carvana(root, cars=settings["cars"], test_cars=0)
        count = 16 * settings["cars"]
        for size in ("[640,959]", "null"):
            words = ["data=carvana", f"data.root={root}", f"data.size={size}", "data.batch_size=1", out]
            took, used = seconds(words)
            whole, work = (settings["images"] / count * n for n in (took - fixed, used - busy))
            print(f"{count} photographs of 1918x1280 at data.size={size}: {took:.1f} s, processors {used:.1f} s")
            print(f"  {settings['images']:,} of them (extrapolated): {whole:.0f} s, processors {work:.0f} s")
        took, used = seconds(["data=blobs", f"data.length={settings['images']}", "data.size=[64,64]", out])
        print(f"{settings['images']:,} blobs of 64x64, all measured: {took:.1f} s, processors {used:.1f} s")
    rng = np.random.default_rng(0)
    hashes = rng.integers(0, 2**63, settings["pairs"]).tolist()
    start = time.perf_counter()
    near_pairs(hashes, ["train", "val"] * (len(hashes) // 2), list(map(str, hashes)), [bytes(768)] * len(hashes))
    print(f"all pairs of {len(hashes):,} hashes: {time.perf_counter() - start:.2f} s")


if __name__ == "__main__":
    main()
