"""Archives of real size, and how long it takes to unpack them: the launcher and `tar -xJ` on one disk, taking turns.

Call it as `python3 tests/stage0/real_size.py [FOLDER]`, with `PYTHONPATH=src/bootstrap`, on a machine that does nothing
else. The medians' ratio should be 1.1 at most.
"""

from __future__ import annotations

import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from checkout import BASE, sysroot
from dist_server import archive

FILES = 30_000
ROUNDS = 5
WORDS = [f"{left}{right}" for left in ("pub ", "impl ", "the ", "a_", "&") for right in ("fn", "str", "list", "of", "x")]


def texts() -> dict[str, bytes]:
    """Many small files, as a toolchain's documentation has them."""
    draw = random.Random(1)
    made = {}
    for number in range(FILES):
        words = draw.choices(WORDS, k=draw.randrange(50, 500))
        made[f"share/doc/part{number % 251}/{'deep/' * (number % 7)}{number}.html"] = " ".join(words).encode()
    return made


def files() -> dict[str, dict[str, bytes]]:
    """What is in each component: the texts, and large programs and libraries of the installed toolchain."""
    large = sorted((sysroot() / "lib").glob("librustc_driver*"))[:1]
    rustc = {f"lib/{path.name}": path.read_bytes() for path in large}
    return {"rust-std": texts(), "cargo": {"libexec/cargo": (sysroot() / "bin" / "cargo").read_bytes()}, "rustc": rustc}


def measure(folder: Path) -> dict[str, list[float]]:
    """Seconds of each way, by name."""
    import provision

    content = files()
    paths = [folder / f"{component}.tar.xz" for component in BASE]
    for component, path in zip(BASE, paths, strict=True):
        path.write_bytes(archive(component, component, content[component]))
    took: dict[str, list[float]] = {"tar -xJ": [], "launcher": []}
    for _ in range(ROUNDS):
        for name, seconds in took.items():
            tree = folder / "tree"
            tree.mkdir()
            os.sync()
            began = time.monotonic()
            if name == "launcher":
                provision.unpack([str(path) for path in paths], str(tree))
            else:
                for path in paths:
                    subprocess.check_call(["tar", "-xJf", path, "-C", tree])
            seconds.append(time.monotonic() - began)
            shutil.rmtree(tree)
    return took


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as top:
        figures = measure(Path(top))
    for way, times in figures.items():
        print(f"{way:>9}: {statistics.median(times):.2f} s of {', '.join(f'{one:.2f}' for one in times)}")
    print(f"    ratio: {statistics.median(figures['launcher']) / statistics.median(figures['tar -xJ']):.2f}")
