"""SIGKILL in the middle: at seeded system calls of a download, an unpacking, or the build of the driver.

A first run under strace tells which calls there are between the first byte that is asked for and the end. Then one of
them is drawn for each moment, and strace lets the kernel kill the process as it enters that call. The next run must
succeed, and what it makes must be what an undisturbed run makes, file by file. `STAGE0_FULL=1` takes a hundred moments
for each half.
"""

from __future__ import annotations

import collections
import random
import re
import shutil
import signal
import subprocess
import unittest
from pathlib import Path

from checkout import FULL, STUCK_SECONDS, Case, contents

MOMENTS = 100 if FULL else 10
SEED = 20260416

# Those that change something, and those by which a download advances.
CALLS = (
    *("openat", "write", "mkdir", "rename", "symlink", "link", "unlink", "ftruncate", "fsync", "sync", "chmod"),
    *("utimensat", "copy_file_range", "sendfile", "flock", "connect", "recvfrom", "read"),
)
TRACED = f"trace={','.join(f'?{call}' for call in CALLS)}"
LINE = re.compile(r"^(\d+) +(\w+)\(")


@unittest.skipUnless(shutil.which("strace"), "strace is not installed")
class Kill(Case):
    def setUp(self) -> None:
        super().setUp()
        self.checkout.release("v1")

    def drawn(self, *arguments: str) -> list[tuple[str, int]]:
        """Moments of an undisturbed run: the n-th of a call in one thread."""
        trace = self.top / "trace"
        self.end(self.checkout.start(*arguments, before=("strace", "-f", "-qq", "-e", TRACED, "-o", str(trace))))
        seen, begun = collections.Counter[tuple[str, str]](), False
        moments = []
        for line in trace.read_text(errors="replace").splitlines():
            if not (call := LINE.match(line)):
                continue
            seen[call[1], call[2]] += 1
            begun = begun or (call[2] == "connect" and "127.0.0.1" in line)
            if begun:
                moments.append((call[2], seen[call[1], call[2]]))
        return random.Random(SEED).sample(moments, min(3 * MOMENTS, len(moments)))

    def killed(self, moment: tuple[str, int], *arguments: str) -> bool:
        """Runs `./x` until that moment; tells whether it was killed. (A child may come to it first, and die.)"""
        call, count = moment
        inject = ("-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={count}")
        run = self.checkout.start(*arguments, before=("strace", "-f", "-qq", *inject, "-o", "/dev/null"))
        run.communicate(timeout=STUCK_SECONDS)
        return run.returncode == -signal.SIGKILL  # strace ends as what it has started

    def snapshot(self) -> dict[str, dict[str, tuple[int, str]]]:
        """All that the cache holds for good."""
        cache = self.checkout.build / "cache"
        return {shelf: contents(cache / shelf) for shelf in ("stage0", "driver", "downloads")}

    def kill_everywhere(self, start_from: Path | None, *arguments: str) -> None:
        """Kills `./x` at each moment, runs it again, and compares."""
        build = self.checkout.build

        def begin() -> None:
            shutil.rmtree(build, ignore_errors=True)
            if start_from:
                subprocess.check_call(["cp", "-a", start_from, build])

        begin()
        moments = self.drawn(*arguments)
        whole = self.snapshot()
        kills = 0
        # Threads do not share their work alike in each run, so one may not come to its moment.
        while moments and kills < MOMENTS:
            moment = moments.pop()
            with self.subTest(moment):
                begin()
                kills += self.killed(moment, *arguments)
                self.end(self.checkout.start(*arguments))
                self.assertEqual(self.snapshot(), whole)
                # Who dies after the rename leaves at most an empty folder, for the next who takes the lock to sweep.
                staging = build / "cache" / "staging"
                self.assertEqual([path for path in staging.rglob("*") if not path.is_dir()], [])
        self.assertEqual(kills, MOMENTS)

    def test_in_the_launcher(self) -> None:
        self.kill_everywhere(None, "tidy")

    def test_in_the_driver(self) -> None:
        self.x("tidy")
        before = self.top / "before"
        self.checkout.build.rename(before)
        self.kill_everywhere(before, "fmt", "--check")


if __name__ == "__main__":
    unittest.main()
