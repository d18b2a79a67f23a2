"""The suite `windows`: builds the workspace for Windows, and runs its tests under wine.

wine is not Windows. What it cannot show is said at the end, and in docs/platforms.md.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import foreign
from programs import SCENARIOS, Failure, Place
from wine import Wine

if TYPE_CHECKING:
    from collections.abc import Iterator

TARGET = "x86_64-pc-windows-gnu"

NOT_SHOWN = """\
that a locked file is refused to readers (wine's locks bind only those who lock);
that NTFS replaces and removes files that others have open (wine does neither, so the ways around it were run instead);
links; access lists; network drives; PowerShell, and so x.ps1;
Python for Windows, and so the launcher (its `msvcrt.locking` was called through the C runtime, and its fingerprint was
compared with the driver's)"""

# Programs of tests that are not run.
NOT_RUN = {"model": "it computes, and asks the system for nothing"}

# Those without which this suite would have shown nothing.
ESSENTIAL = {"bootstrap", "buildlock", "paths", "sessions", "storms", "tokens", "windows"}

# Elsewhere the model and its search engine are optimised, so that it ends in time. Here that would only take time.
UNOPTIMISED = [f"--config=profile.test.package.{package}.opt-level=0" for package in ("buildlock", "stateright")]

RESULT = re.compile(r"^test result: \w+\. (\d+) passed; (\d+) failed")
IGNORED = re.compile(r"^test (\S+) \.\.\. ignored, (.*)")
# What a program of tests says of those that passed, but for what they have to tell.
SILENCE = re.compile(r"^(test \S+( - should panic)? \.\.\. ok|running \d+ tests?|successes:|    \w+(::\w+)*|)$")


class Tally:
    """What ran, and what was skipped and why."""

    def __init__(self) -> None:
        """Nothing ran yet."""
        self.passed: Counter[str] = Counter()
        self.failed: list[str] = []
        self.skipped: list[str] = []


def main() -> int:
    """Builds, runs, counts; gives the exit code."""
    foreign.require(foreign.RUSTC, foreign.LIBRARY, foreign.MINGW, foreign.WINE)
    began = time.monotonic()
    windows = Wine(foreign.work_folder("wineprefix"))
    tally = Tally()
    try:
        # For a while there is only one crate that can be built.
        with ThreadPoolExecutor() as meanwhile:
            prepared = meanwhile.submit(windows.prepare)
            built = build()
            prepared.result()
        took = [f"{time.monotonic() - began:.0f} s to build"]
        for name, package, program in programs(built):
            if name in NOT_RUN:
                tally.skipped.append(f"{package.name}/{name}: {NOT_RUN[name]}")
            else:
                run_tests(windows, name, package, program, tally)
        play_scenarios(windows, tally)
    finally:
        windows.end()
    tally.failed += [f"{name}: not one test ran" for name in sorted(ESSENTIAL - set(tally.passed))]
    took.append(f"{time.monotonic() - began:.0f} s in all")
    report(built, tally, ", ".join(took))
    return int(bool(tally.failed))


def build() -> foreign.Built:
    """Builds all programs and their tests."""
    # Programs are built for the tests that run them. Of their own tests, only one has any.
    command = [foreign.cargo(), "test", "--no-run", "--locked", "--workspace", "--lib", "--tests", "--bin=buildlock"]
    command += ["--target", TARGET, *foreign.STD_WITH_TESTS, *UNOPTIMISED, foreign.MESSAGES]
    built = foreign.build(command, foreign.environment())
    if not built.succeeded:
        sys.exit(f"{TARGET}: nothing ran, because the build failed")
    return built


def programs(built: foreign.Built) -> Iterator[tuple[str, Path, Path]]:
    """The programs of tests: name, package and path of each."""
    for artifact in built.artifacts:
        if artifact["profile"]["test"] and artifact["executable"]:
            package = Path(artifact["manifest_path"]).parent
            yield artifact["target"]["name"], package, Path(artifact["executable"])


def run_tests(windows: Wine, name: str, package: Path, program: Path, tally: Tally) -> None:
    """Runs a program of tests."""
    command = [str(foreign.WINE), str(program), "--show-output"]
    failed = 0
    print(f"{package.name}/{name}", flush=True)
    with subprocess.Popen(
        command, cwd=package, env=windows.environment, stdout=subprocess.PIPE, text=True, errors="replace"
    ) as tests:
        for line in (line.rstrip() for line in tests.stdout or ()):
            if not SILENCE.match(line):
                print(f"  {line}", flush=True)
            if ignored := IGNORED.match(line):
                tally.skipped.append(f"{package.name}/{name} {ignored[1]}: {ignored[2]}")
            elif line.startswith("skipped: "):
                # A test that found that it cannot be made here has passed for its program, but not for us.
                tally.skipped.append(f"{package.name}/{name}: {line.removeprefix('skipped: ')}")
                tally.passed[name] -= 1
            elif result := RESULT.match(line):
                failed = int(result[2])
                # Those that there are not for this system leave an empty program.
                tally.passed += Counter({name: int(result[1])})
    if failed or tests.returncode != 0:
        tally.failed.append(f"{package.name}/{name}: {failed} tests failed, and it ended with {tests.returncode}")


def play_scenarios(windows: Wine, tally: Tally) -> None:
    """Plays what needs several programs, each in a folder of its own."""
    for scenario in SCENARIOS:
        name = scenario.__name__.replace("_", " ")
        with tempfile.TemporaryDirectory() as home:
            try:
                scenario(Place(windows, foreign.target_folder() / TARGET / "debug", Path(home)))
            except (Failure, ValueError, OSError, LookupError, subprocess.SubprocessError) as why:
                tally.failed.append(f"{name}: {type(why).__name__}: {why}")
            else:
                tally.passed["scenarios"] += 1
                print(f"ok: {name}", flush=True)


def report(built: foreign.Built, tally: Tally, took: str) -> None:
    """Says what was compiled, what ran, and what was skipped and why."""
    version = subprocess.run([foreign.WINE, "--version"], capture_output=True, text=True, check=True).stdout.split()[0]
    ran = ", ".join(f"{count} {name}" for name, count in sorted(tally.passed.items()))
    print(f"{TARGET}: {'FAILED' if tally.failed else 'passed'}")
    print(f"  compiled and linked: {built.crates_of(TARGET)}; std from source")
    print(f"  ran, under {version}: {ran}")
    for why in tally.failed:
        print(f"  failed: {why}")
    for why in tally.skipped:
        print(f"  skipped: {why}")
    print("  not shown:", NOT_SHOWN.replace("\n", "\n    "))
    passed, failed, skipped = sum(tally.passed.values()), len(tally.failed), len(tally.skipped)
    print(f"windows: {passed} passed, {failed} failed, {skipped} skipped ({took})")


if __name__ == "__main__":
    sys.exit(main())
