"""The suite `windows`: builds the workspace for Windows, and runs its tests under wine.

wine is not Windows. What it cannot show is said at the end, and in docs/platforms.md.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import console
import foreign

if TYPE_CHECKING:
    from collections.abc import Iterator

TARGET = "x86_64-pc-windows-gnu"

NOT_SHOWN = """\
wine cannot show: that a locked file is refused to readers (its locks bind only those who lock); that NTFS replaces
and removes files that others have open (wine has neither, so the ways around it were tested instead); links; access
lists; a network drive; Python for Windows (`msvcrt.locking` is called through the C runtime)."""

SKIPPED = {"model": "it computes, and asks the system for nothing"}

RESULT = re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored")


def main() -> int:
    """Builds, runs, counts; gives the exit code."""
    foreign.require(foreign.RUSTC, foreign.LIBRARY, foreign.MINGW, foreign.WINE)
    wine = Wine(foreign.work_folder("wineprefix"))
    tests = list(build())
    counts: Counter[str] = Counter()
    try:
        wine.prepare()
        for package, name, program in tests:
            if name in SKIPPED:
                print(f"skipped: the tests of {package}/{name}: {SKIPPED[name]}")
                counts["skipped"] += 1
            else:
                print(f"{package}: {program.stem}", flush=True)
                counts += wine.test(program, foreign.ROOT / package)
        with tempfile.TemporaryDirectory() as folder:
            buildlock = foreign.target_folder() / TARGET / "debug" / "buildlock.exe"
            counts[wine.check("buildlock doctor", [buildlock, "doctor", "--dir", folder])] += 1
            words = [str(foreign.WINE), str(buildlock)]
            counts[console.ctrl_c_gives_up_a_wait(words, wine.environment, Path(folder))] += 1
    finally:
        wine.end()
    print(NOT_SHOWN)
    print(f"windows: {counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    return int(counts["failed"] > 0)


def build() -> Iterator[tuple[str, str, Path]]:
    """Builds all tests; gives package, name and program of each."""
    command = [foreign.cargo(), "test", "--locked", "--workspace", "--lib", "--bins", "--tests", "--no-run"]
    command += [foreign.BUILD_STD, "--target", TARGET, "--message-format", "json-render-diagnostics"]
    environment = foreign.environment()
    built = subprocess.run(command, cwd=foreign.ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if built.returncode != 0:
        sys.exit("windows: nothing ran, because the build failed")
    for line in built.stdout.splitlines():
        message = json.loads(line)
        if message["reason"] == "compiler-artifact" and message["profile"]["test"] and message["executable"]:
            package = Path(message["manifest_path"]).parent
            yield str(package.relative_to(foreign.ROOT)), message["target"]["name"], Path(message["executable"])


class Wine:
    """A Windows of our own, in a folder."""

    def __init__(self, prefix: Path) -> None:
        """Names the folder; nothing is made yet."""
        self.prefix = prefix
        self.environment = foreign.environment() | {
            "WINEPREFIX": str(prefix),
            "WINEDEBUG": "-all",
            # No installers for what no test needs, and no entries in the menus of whoever runs this.
            "WINEDLLOVERRIDES": "mscoree,mshtml,winemenubuilder.exe=",
        }

    def prepare(self) -> None:
        """Makes the prefix, if it is not there, and puts what std needs into it."""
        if not (self.prefix / "system.reg").exists():
            self.run([foreign.WINE, "wineboot", "--init"])
        system = self.prefix / "drive_c/windows/system32"
        source = foreign.ROOT / "tests/platforms/bcryptprimitives.c"
        flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-shared"]
        self.run([foreign.MINGW, *flags, "-o", system / "bcryptprimitives.dll", source, "-ladvapi32"])

    def end(self) -> None:
        """Ends wine's server, which would linger, and with it whatever a test left running."""
        self.run([foreign.WINESERVER, "--kill"], check=False)

    def run(self, command: list[str | Path], *, check: bool = True) -> int:
        """Runs a program in this Windows; gives its exit code."""
        return subprocess.run(command, env=self.environment, check=check).returncode

    def check(self, name: str, command: list[str | Path]) -> str:
        """Whether a Windows program ends well: `passed` or `failed`."""
        verdict = "failed" if self.run([foreign.WINE, *command], check=False) else "passed"
        print(f"{name}: {verdict}", flush=True)
        return verdict

    def test(self, program: Path, folder: Path) -> Counter[str]:
        """Runs a program of tests; gives what it counted."""
        counts: Counter[str] = Counter()
        command = [str(foreign.WINE), str(program), "--show-output"]
        with subprocess.Popen(command, cwd=folder, env=self.environment, stdout=subprocess.PIPE, text=True) as tests:
            for line in tests.stdout or ():
                print(line, end="", flush=True)
                if result := RESULT.match(line):
                    counts.update(dict(zip(("passed", "failed", "skipped"), map(int, result.groups()), strict=True)))
                elif line.startswith("skipped: "):
                    # A test that found that it cannot be made here has passed for its program, but not for us.
                    counts.update(passed=-1, skipped=1)
        if tests.returncode != 0 and not counts["failed"]:
            print(f"{program.stem} ended with {tests.returncode}")
            counts["failed"] += 1
        return counts


if __name__ == "__main__":
    sys.exit(main())
