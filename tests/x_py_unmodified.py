"""The suite `x-py`: an unmodified `x.py` of rust-lang/rust, run twice at once through `buildlock run`.

RUST_CHECKOUT names the checkout; nothing of it is changed, and all is built in a new folder, from nothing, which takes
long. Without it everything is skipped. RUST_CHECKOUT_CONFIG names a bootstrap.toml, for a checkout that cannot be built
without one: by default nothing is configured. RUST_CHECKOUT_PATH is what is checked and built; as little as needs the
compiler, by default.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VARIABLE = "RUST_CHECKOUT"
CONFIG = os.environ.get("RUST_CHECKOUT_CONFIG", os.devnull)
PATH = os.environ.get("RUST_CHECKOUT_PATH", "library/core")

# How often to look at the queue for what no process tells us.
LOOK_EVERY_S = 0.2
# When to give up: a build of a compiler takes long.
STUCK_S = 6 * 3600.0


@dataclass
class Trial:
    """One build directory, empty at first, and what runs in it."""

    buildlock: Path
    checkout: Path
    folder: Path
    started: list[Running] = field(default_factory=list)

    def start(self, command: str, *flags: str) -> Running:
        """Starts `x.py COMMAND` of what is to be built."""
        number = len(self.started)
        log = self.folder / f"{number}-{command}.log"
        words = [str(self.buildlock), "run", "--rules", "rust-lang-rust", "--dir", str(self.locks), *flags, "--"]
        words += [sys.executable, str(self.checkout / "x.py"), command, PATH]
        words += ["--build-dir", str(self.folder / "build"), "--config", CONFIG]
        with log.open("wb") as out:
            process = subprocess.Popen(words, cwd=self.checkout, stdout=out, stderr=subprocess.STDOUT, start_new_session=True)
        running = Running(process, log)
        self.started.append(running)
        return running

    @property
    def locks(self) -> Path:
        """The lock folder: beside the build directory, which x.py may clean."""
        return self.folder / "session"

    def until_held_and_wanted(self, held: int, wanted: int) -> None:
        """Waits until so many hold the lock, and so many wait for it."""
        give_up = time.monotonic() + STUCK_S
        while (states := self.states()) != (held, wanted):
            over = [running for running in self.started if running.process.poll() is not None]
            if over or time.monotonic() > give_up:
                logs = "\n".join(running.said() for running in over)
                raise Failed(f"{held} should hold the lock and {wanted} wait; it is {states}\n{logs}")
            time.sleep(LOOK_EVERY_S)

    def states(self) -> tuple[int, int]:
        """How many hold the lock, and how many wait."""
        words = [str(self.buildlock), "status", "--json", "--dir", str(self.locks)]
        status = subprocess.run(words, capture_output=True, check=False)
        if status.returncode != 0:
            return 0, 0
        records = [entry["record"] for entry in json.loads(status.stdout)["entries"]]
        states = [record["state"] for record in records if record]
        return states.count("granted"), states.count("waiting")

    def end(self) -> None:
        """Ends what still runs, with all that it started: x.py's Python would leave its children running."""
        for running in self.started:
            if running.process.poll() is None:
                os.killpg(running.process.pid, signal.SIGKILL)
                running.process.wait()


@dataclass
class Running:
    """An `x.py` that was started."""

    process: subprocess.Popen[bytes]
    log: Path

    def said(self) -> str:
        """What it has said so far; the end of it, if that is long."""
        return self.log.read_text(errors="replace")[-4000:]

    def succeeds(self) -> None:
        """Waits for its end, which must be a good one."""
        code = self.process.wait(STUCK_S)
        if code != 0:
            raise Failed(f"{self.log.name}: exit code {code}\n{self.said()}")


class Failed(Exception):
    """A trial went otherwise than it should."""


def two_checks_at_once(trial: Trial) -> None:
    """Two `check`s in an empty build directory: the second waits before it unpacks anything, and both succeed."""
    first = trial.start("check")
    trial.until_held_and_wanted(1, 0)
    second = trial.start("check")
    trial.until_held_and_wanted(1, 1)
    first.succeeds()
    second.succeeds()


def a_check_beside_a_build(trial: Trial) -> None:
    """A `check` that comes while a `build` runs."""
    build = trial.start("build")
    trial.until_held_and_wanted(1, 0)
    check = trial.start("check")
    trial.until_held_and_wanted(1, 1)
    build.succeeds()
    check.succeeds()


def a_preemptible_check_displaced_by_a_build(trial: Trial) -> None:
    """An editor's `check` steps aside for a `build`, and starts over after it."""
    check = trial.start("check", "--preemptible")
    trial.until_held_and_wanted(1, 0)
    build = trial.start("build")
    build.succeeds()
    check.succeeds()
    if "stepped aside for" not in check.log.read_text(errors="replace"):
        raise Failed(f"the check did not step aside\n{check.said()}")


TRIALS = (two_checks_at_once, a_check_beside_a_build, a_preemptible_check_displaced_by_a_build)


def main() -> int:
    """Runs the trials; gives the exit code."""
    named = os.environ.get(VARIABLE)
    if not named:
        print(f"x-py: set {VARIABLE} to a checkout of rust-lang/rust to run this; it builds all anew")
        return total(passed=0, failed=0, skipped=len(TRIALS))
    checkout = Path(named).resolve()
    if not (checkout / "x.py").is_file():
        print(f"x-py: {VARIABLE} is `{named}`, where there is no x.py")
        return total(passed=0, failed=len(TRIALS), skipped=0)
    buildlock = built()
    failed = 0
    for run in TRIALS:
        with tempfile.TemporaryDirectory(prefix="x-py-") as folder:
            trial = Trial(buildlock, checkout, Path(folder))
            began = time.monotonic()
            try:
                run(trial)
                verdict = "ok"
            except (Failed, subprocess.TimeoutExpired) as why:
                failed += 1
                verdict = f"FAILED: {why}"
            finally:
                trial.end()
            print(f"  {run.__name__.replace('_', ' ')}: {verdict} ({time.monotonic() - began:.0f} s)", flush=True)
    return total(passed=len(TRIALS) - failed, failed=failed, skipped=0)


def built() -> Path:
    """The program `buildlock` of this tree."""
    words = ["cargo", "build", "--quiet", "--package", "buildlock", "--bin", "buildlock", "--message-format", "json"]
    output = subprocess.run(words, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    messages = [json.loads(line) for line in output.splitlines()]
    return next(Path(message["executable"]) for message in messages if message.get("executable"))


def total(*, passed: int, failed: int, skipped: int) -> int:
    """Prints the last line, and gives the exit code."""
    print(f"x-py: {passed} passed, {failed} failed, {skipped} skipped")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
