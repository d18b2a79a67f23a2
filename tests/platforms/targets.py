"""The suite `targets`: type-checks and lints the whole workspace for systems that nothing here can run.

Nothing is linked, so no C compiler and no system library of the target is needed: what a build script wants compiled is
given to programs that do nothing.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time

import foreign

TARGETS = (
    "x86_64-pc-windows-msvc",
    "aarch64-apple-darwin",
    "x86_64-unknown-freebsd",
    "x86_64-unknown-illumos",
    "x86_64-unknown-linux-musl",
)


def main() -> int:
    """Checks each target; gives the exit code."""
    foreign.require(foreign.RUSTC, foreign.LIBRARY, foreign.CLIPPY)
    report = []
    failed = 0
    for target in TARGETS:
        began = time.monotonic()
        clean = lint(target)
        failed += not clean
        verdict = "no warning" if clean else "FAILED"
        report.append(f"{target:27} {verdict} ({time.monotonic() - began:.0f} s)")
    print("type-checked and linted only: libraries, programs and tests of all packages, with std from source")
    print("\n".join(f"  {line}" for line in report))
    print(f"targets: {len(TARGETS) - failed} passed, {failed} failed, 0 skipped")
    return int(failed > 0)


def lint(target: str) -> bool:
    """Whether clippy is content with all packages on `target`."""
    nothing = shutil.which("true") or "true"
    archiver = str(foreign.ROOT / "tests/platforms/no-archiver.sh") if "windows" in target else nothing
    name = target.replace("-", "_")
    stand_ins = {f"CC_{name}": nothing, f"AR_{name}": archiver, "SDKROOT": "/nonexistent"}
    command = [str(foreign.CLIPPY), "clippy", "--locked", "--workspace", "--all-targets", "--target", target]
    command += [foreign.BUILD_STD, "--", "-D", "warnings"]
    environment = foreign.environment() | stand_ins | {"CARGO": foreign.cargo()}
    return subprocess.run(command, cwd=foreign.ROOT, env=environment, check=False).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
