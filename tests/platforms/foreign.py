"""Debian's Rust, which brings the sources of std along: what builds for systems that no toolchain here was made for.

The compiler that the project is pinned to has no std but its own. Debian's `rustc-web` 1.96 is new enough for this
source tree, and cargo builds std from `rust-web-src` with `-Zbuild-std`, which a stable compiler accepts if
RUSTC_BOOTSTRAP is set.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]

RUSTC = Path("/usr/bin/rustc")
RUSTDOC = Path("/usr/bin/rustdoc")
CLIPPY = Path("/usr/bin/cargo-clippy")
LIBRARY = Path("/usr/lib/rustlib/src/rust/library")
WINE = Path("/usr/lib/wine/wine64")
WINESERVER = Path("/usr/lib/wine/wineserver")
MINGW = Path("/usr/bin/x86_64-w64-mingw32-gcc")

VERSION_MIN = (1, 96)

# Readable backtraces, which nobody looks at here, are a quarter of std.
STD = ("-Zbuild-std=std,panic_unwind", "-Zbuild-std-features=panic-unwind")
STD_WITH_TESTS = ("-Zbuild-std=std,panic_unwind,test", "-Zbuild-std-features=panic-unwind")
STD_THAT_ABORTS = ("-Zbuild-std=std,panic_abort", "-Zbuild-std-features=")

MESSAGES = "--message-format=json-render-diagnostics"

PACKAGES = {
    RUSTC: "rustc-web",
    CLIPPY: "rust-web-clippy",
    LIBRARY: "rust-web-src",
    MINGW: "gcc-mingw-w64-x86-64-win32",
    WINE: "wine64",
}


def require(*files: Path) -> None:
    """Ends this program, and says what to install, unless all are there."""
    missing = [PACKAGES[file] for file in files if not file.exists()]
    if missing:
        install = f"`apt-get install --no-install-recommends {' '.join(missing)}`"
        sys.exit(f"error: packages of Debian are missing: {install}")
    # What another distribution has at this path may be too old, or another version than the sources.
    version = subprocess.run([RUSTC, "--version"], capture_output=True, text=True, check=True).stdout
    major, minor = version.split()[1].split(".")[:2]
    if (int(major), int(minor)) < VERSION_MIN:
        sys.exit(f"error: {RUSTC} is {version.strip()}; Debian's rustc-web 1.96 or later is needed")


def cargo() -> str:
    """The cargo that runs the builds: the project's own."""
    found = os.environ.get("CARGO") or shutil.which("cargo")
    if not found:
        sys.exit("error: cargo is not on PATH")
    return found


def work_folder(name: str) -> Path:
    """A folder in the build directory, which `./x` tells its suites."""
    build = os.environ.get("SUITE_BUILD_DIR") or ROOT / "build"
    folder = Path(build) / "platforms" / name
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def target_folder() -> Path:
    """Where cargo builds. Both suites build std; they share what runs on this machine, and nothing else of one name."""
    return work_folder("target")


class Built(NamedTuple):
    """What came of a run of cargo: whether it succeeded, and what it made of our own packages."""

    succeeded: bool
    artifacts: list[dict[str, Any]]

    def crates_of(self, target: str) -> str:
        """How many crates of each package were made for a target, in words."""
        folder = f"{os.sep}{target}{os.sep}"
        made = Counter(
            Path(artifact["manifest_path"]).parent.name
            for artifact in self.artifacts
            if any(folder in file for file in artifact["filenames"])
        )
        return ", ".join(f"{count} crates of {package}" for package, count in sorted(made.items())) or "nothing"


def build(command: list[str], environment: dict[str, str]) -> Built:
    """Runs cargo, which shows what it has to say of the sources."""
    cargo = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    messages = [json.loads(line) for line in cargo.stdout.splitlines()]
    ours = [
        message
        for message in messages
        if message["reason"] == "compiler-artifact" and Path(message["manifest_path"]).is_relative_to(ROOT)
    ]
    return Built(cargo.returncode == 0, ours)


def environment() -> dict[str, str]:
    """What makes cargo use Debian's compiler, and nothing of the caller's own flags."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CARGO_", "RUST"))}
    for name in ("CARGO_HOME", "CARGO_NET_OFFLINE", "RUSTUP_DIST_SERVER", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN"):
        if name in os.environ:
            kept[name] = os.environ[name]
    return kept | {
        "RUSTC": str(RUSTC),
        "RUSTDOC": str(RUSTDOC),
        "RUSTC_BOOTSTRAP": "1",
        "CARGO_TARGET_DIR": str(target_folder()),
        # Nobody looks at these programs with a debugger, and they link in half the time.
        "CARGO_PROFILE_DEV_DEBUG": "0",
        # What would only make a later build quicker, and this one slower.
        "CARGO_INCREMENTAL": "0",
    }
