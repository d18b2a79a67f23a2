"""What the two programs do in wine as a whole: each scenario raises a Failure, or is passed."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import console
import foreign
import wine

sys.path.insert(0, str(foreign.ROOT / "src" / "bootstrap"))
import toolchain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

STUCK_SECONDS = 60

# STATUS_CONTROL_C_EXIT, of which Unix sees the last byte.
CONTROL_C_EXIT = 0xC000013A & 0xFF
# What `./x` makes of Ctrl-C on every system.
INTERRUPTED = 130
USAGE = 2


class Failure(Exception):
    """What went otherwise than it should."""


class Place:
    """The programs, and a folder to run them in."""

    def __init__(self, windows: wine.Wine, programs: Path, home: Path) -> None:
        """Writes what the driver reads; the folder is empty before."""
        self.windows = windows
        self.programs = programs
        self.home = home
        self.build_dir = home / "build"
        self.child_folder = home / "child"
        self.build_dir.mkdir()
        (home / "bootstrap.toml").touch()
        self.write_cargo()
        self.environment = windows.environment | self.of_the_launcher()

    def buildlock(self, *words: str) -> list[str]:
        """A command line."""
        return [str(foreign.WINE), str(self.programs / "buildlock.exe"), *words]

    def driver(self, *words: str) -> list[str]:
        """A command line of the driver, as the launcher would start it, on the sources of this repository."""
        configuration = ["--config", wine.path(self.home / "bootstrap.toml")]
        build_dir = ["--build-dir", wine.path(self.build_dir)]
        return [str(foreign.WINE), str(self.programs / "bootstrap.exe"), *words, *configuration, *build_dir]

    def of_the_launcher(self) -> dict[str, str]:
        """What the launcher would tell the driver; with its own fingerprint of the sources."""
        rustc, version, host = "Z:\\no\\rustc.exe", "rustc 1.96.0", "x86_64-pc-windows-gnu"
        return {
            "BOOTSTRAP_STAGE0": "local",
            "BOOTSTRAP_CARGO": wine.path(self.home / "cargo.bat"),
            "BOOTSTRAP_RUSTC": rustc,
            "BOOTSTRAP_RUSTC_VERSION": version,
            "BOOTSTRAP_HOST": host,
            "BOOTSTRAP_FINGERPRINT": toolchain.fingerprint(str(foreign.ROOT), rustc, version),
            "BOOTSTRAP_ROOT": wine.path(foreign.ROOT),
            "BOOTSTRAP_BUILD_DIR": wine.path(self.build_dir),
            # No Python for Windows is here: whoever is started in its place refuses the launcher's path as a command.
            "BOOTSTRAP_PYTHON": wine.path(self.programs / "bootstrap.exe"),
        }

    def write_cargo(self) -> None:
        """A cargo that knows this workspace, and whose every build lasts until somebody ends it."""
        command = [foreign.cargo(), "metadata", "--format-version=1", "--no-deps", "--offline"]
        told = subprocess.run(command, cwd=foreign.ROOT, stdout=subprocess.PIPE, check=True).stdout
        metadata = self.home / "metadata.json"
        metadata.write_text(json.dumps(seen_from_windows(json.loads(told))))
        build = f"{wine.path(self.programs / 'buildlock.exe')} hold --dir {wine.path(self.child_folder)}"
        lines = ["@echo off", 'if "%1"=="metadata" (', f"  type {wine.path(metadata)}", ") else (", f"  {build}", ")"]
        (self.home / "cargo.bat").write_text("".join(f"{line}\r\n" for line in lines))

    def run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        """Runs a program to its end.

        What it says goes to files. A pipe would stay open after its end: where it is the first to run, wine starts its
        services with it, which inherit what it has and stay for as long as another program runs.
        """
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            ended = subprocess.run(command, env=self.environment, stdout=out, stderr=err, timeout=STUCK_SECONDS, check=False)
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(command, ended.returncode, out.read(), err.read())

    def sessions(self, folder: Path) -> list[dict[str, Any]]:
        """Who is registered there; nobody where there is no registry yet."""
        shown = self.run(self.buildlock("status", "--json", "--dir", str(folder))).stdout
        entries: list[dict[str, Any]] = json.loads(shown)["entries"] if shown else []
        return entries

    def until_registered(self, folder: Path, count: int) -> list[dict[str, Any]]:
        """Waits until that many are registered there."""
        give_up = time.monotonic() + STUCK_SECONDS
        while time.monotonic() < give_up:
            entries = self.sessions(folder)
            if len(entries) == count:
                return entries
        raise Failure(f"waited too long for {count} sessions in {folder}: {entries}")

    @contextlib.contextmanager
    def held(self, folder: Path) -> Iterator[None]:
        """Lets another process hold the lock meanwhile."""
        command = self.buildlock("hold", "--dir", str(folder))
        with subprocess.Popen(command, env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            try:
                expect(holder.stdout and holder.stdout.readline().strip(), b"held")
                yield
            finally:
                if holder.stdin:
                    holder.stdin.close()


def expect(found: object, wanted: object) -> None:
    """Fails unless both are the same."""
    if found != wanted:
        raise Failure(f"{found!r} instead of {wanted!r}")


def seen_from_windows(value: Any) -> Any:
    """The same JSON, with the names that Windows programs have for our files."""
    if isinstance(value, dict):
        return {key: seen_from_windows(part) for key, part in value.items()}
    if isinstance(value, list):
        return [seen_from_windows(part) for part in value]
    if isinstance(value, str) and value.startswith(os.sep):
        return f"Z:{value}".replace(os.sep, "\\")
    return value


def gives_up_at_ctrl_c(place: Place, command: list[str], folder: Path, code: int) -> None:
    """Whether a wait for the lock ends at Ctrl-C, by itself: one that the system ended would leave its files behind."""
    with place.held(folder):
        before = sorted(os.listdir(folder))
        until_it_waits = partial(place.until_registered, folder, 2)
        expect(console.exit_code_after_ctrl_c(command, place.environment, until_it_waits), code)
        expect(sorted(os.listdir(folder)), before)


def the_folder_of_wines_files_is_fit_for_locks(place: Place) -> None:
    """`buildlock doctor`, with real processes."""
    done = place.run(place.buildlock("doctor", str(place.home / "doctor")))
    expect((done.returncode, done.stdout.count("ok ")), (0, 5))


def ctrl_c_gives_up_a_wait_of_buildlock_run(place: Place) -> None:
    """The command line of the library."""
    folder = place.home / "session"
    run = place.buildlock("run", "--shared", "--dir", str(folder), "--", "cmd", "/c", "exit")
    gives_up_at_ctrl_c(place, run, folder, CONTROL_C_EXIT)


def ctrl_c_gives_up_a_wait_of_the_driver(place: Place) -> None:
    """The driver listens to the console by itself."""
    gives_up_at_ctrl_c(place, place.driver("clean"), place.build_dir / "session", INTERRUPTED)


def launcher_and_driver_agree_on_the_fingerprint(place: Place) -> None:
    """A driver that did not would go back to the launcher, instead of cleaning."""
    outputs = place.build_dir / "outputs"
    outputs.mkdir()
    expect(place.run(place.driver("clean")).returncode, 0)
    expect(outputs.exists(), False)


def a_driver_whose_sources_changed_hands_on_what_becomes_of_its_successor(place: Place) -> None:
    """It stays as the parent, since it cannot become another program."""
    place.environment["BOOTSTRAP_FINGERPRINT"] = "of other sources"
    done = place.run(place.driver("clean"))
    expect((done.returncode, "x.py" in done.stderr), (USAGE, True))
    expect(place.sessions(place.build_dir / "session"), [])


def a_killed_driver_takes_its_cargo_along_and_what_that_has_started(place: Place) -> None:
    """By the job object; and the lock is free for the next."""
    with subprocess.Popen(place.driver("check"), env=place.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as driver:
        place.until_registered(place.child_folder, 1)
        [entry] = place.sessions(place.build_dir / "session")
        killed = place.run([str(foreign.WINE), "taskkill", "/f", "/pid", str(entry["record"]["pid"])])
        expect(killed.returncode, 0)
        driver.wait(STUCK_SECONDS)
        # Its standard input is open still: only the job can have ended it.
        place.until_registered(place.child_folder, 0)
    expect(place.sessions(place.build_dir / "session"), [])


SCENARIOS: tuple[Callable[[Place], None], ...] = (
    the_folder_of_wines_files_is_fit_for_locks,
    ctrl_c_gives_up_a_wait_of_buildlock_run,
    ctrl_c_gives_up_a_wait_of_the_driver,
    launcher_and_driver_agree_on_the_fingerprint,
    a_driver_whose_sources_changed_hands_on_what_becomes_of_its_successor,
    a_killed_driver_takes_its_cargo_along_and_what_that_has_started,
)
