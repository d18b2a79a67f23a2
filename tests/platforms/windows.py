"""The suite `windows`: builds the workspace for Windows, and runs its tests under wine.

wine is not Windows. What it cannot show is said at the end, and in docs/platforms.md.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import foreign

TARGET = "x86_64-pc-windows-gnu"

NOT_SHOWN = """\
wine cannot show: that a locked file is refused to readers (its locks bind only those who lock); that NTFS replaces
and removes files that others have open (wine has neither, so the ways around it were tested instead); access lists;
a network drive; Python for Windows (`msvcrt.locking` is called through the C runtime)."""

RESULT = re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored")


def main() -> int:
    """Builds, runs, counts; gives the exit code."""
    foreign.require(foreign.RUSTC, foreign.LIBRARY, foreign.MINGW, foreign.WINE)
    wine = Wine(foreign.work_folder("wineprefix"))
    environment = foreign.environment() | wine.environment
    try:
        wine.prepare()
        counts, ended_well = run_tests(environment)
        if not counts:
            sys.exit("windows: nothing ran, because the build failed")
        counts["passed" if doctor_is_content(environment) else "failed"] += 1
    finally:
        wine.end()
    print(NOT_SHOWN)
    print(f"windows: {counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    return int(not ended_well or counts["failed"] > 0)


class Wine:
    """A Windows of our own, in a folder."""

    def __init__(self, prefix: Path) -> None:
        """Names the folder; nothing is made yet."""
        self.prefix = prefix
        self.environment = {
            "WINEPREFIX": str(prefix),
            "WINEDEBUG": "-all",
            # No installers for what no test needs, and no entries in the menus of whoever runs this.
            "WINEDLLOVERRIDES": "mscoree,mshtml,winemenubuilder.exe=",
            "CARGO_TARGET_X86_64_PC_WINDOWS_GNU_RUNNER": str(foreign.WINE),
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

    def run(self, command: list[str | Path], *, check: bool = True) -> None:
        """Runs a program in this Windows."""
        subprocess.run(command, env=foreign.environment() | self.environment, check=check)


def run_tests(environment: dict[str, str]) -> tuple[Counter[str], bool]:
    """Runs the tests of all packages; gives what they counted, and whether cargo is content."""
    command = [foreign.cargo(), "test", "--locked", "--workspace", "--lib", "--bins", "--tests", "--no-fail-fast"]
    command += [foreign.BUILD_STD, "--target", TARGET, "--", "--show-output"]
    counts: Counter[str] = Counter()
    with subprocess.Popen(command, cwd=foreign.ROOT, env=environment, stdout=subprocess.PIPE, text=True) as cargo:
        for line in cargo.stdout or ():
            print(line, end="", flush=True)
            if result := RESULT.match(line):
                counts.update(dict(zip(("passed", "failed", "skipped"), map(int, result.groups()), strict=True)))
            elif line.startswith("skipped: "):
                # A test that found that it cannot be made here has passed for cargo, but not for us.
                counts.update(passed=-1, skipped=1)
    return counts, cargo.returncode == 0


def doctor_is_content(environment: dict[str, str]) -> bool:
    """Whether `buildlock doctor`, with real processes, finds that locks do what they should."""
    folder = foreign.work_folder("doctor")
    program = Path(environment["CARGO_TARGET_DIR"]) / TARGET / "debug" / "buildlock.exe"
    ended = subprocess.run([foreign.WINE, program, "doctor", "--dir", folder], env=environment, check=False)
    shutil.rmtree(folder)
    print(f"buildlock doctor: {'ok' if ended.returncode == 0 else 'FAILED'}", flush=True)
    return ended.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
