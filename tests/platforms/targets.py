"""The suite `targets`: type-checks and lints the workspace for systems that nothing here can run.

Nothing is linked, so no C compiler and no system library of the target is needed: what a build script wants compiled is
given to programs that do nothing, and of std only what types are checked against is made.
"""

from __future__ import annotations

import shutil
import sys
import time
from typing import NamedTuple

import foreign


class Scope(NamedTuple):
    """For which systems what is looked at, and why not more."""

    targets: tuple[str, ...]
    packages: tuple[str, ...]
    std: tuple[str, ...]
    skipped: str


SCOPES = (
    Scope(
        targets=("x86_64-pc-windows-msvc", "aarch64-apple-darwin"),
        packages=("--workspace", "--all-targets"),
        std=foreign.STD_WITH_TESTS,
        skipped="C parts of crates, linking and all runs: nothing here links or runs what is for this system",
    ),
    Scope(
        targets=("x86_64-unknown-freebsd", "x86_64-unknown-illumos", "x86_64-unknown-linux-musl"),
        packages=("--package=buildlock", "--package=bootstrap"),
        std=foreign.STD,
        skipped="the same, and tests: they are those of macOS or of Linux",
    ),
    # A system without file locks, for the code that says so.
    Scope(
        targets=("wasm32-wasip1",),
        packages=("--package=buildlock", "--lib", "--no-default-features"),
        std=foreign.STD_THAT_ABORTS,
        skipped="all but the library, which is there to refuse clearly",
    ),
)


def main() -> int:
    """Checks each target; gives the exit code."""
    foreign.require(foreign.RUSTC, foreign.LIBRARY, foreign.CLIPPY)
    began = time.monotonic()
    report = []
    passed = failed = 0
    for scope in SCOPES:
        together = lint(scope, scope.targets)
        for target in scope.targets:
            # Which of them fails is told by asking for each alone. What passed is not made again.
            built = together if together.succeeded else lint(scope, [target])
            passed += built.succeeded
            failed += not built.succeeded
            report.append(f"{target}: {'no warning' if built.succeeded else 'FAILED'}")
            report.append(f"  type-checked and linted: {built.crates_of(target)}; std from source")
            report.append(f"  skipped: {scope.skipped}")
    print("\n".join(report))
    print(f"targets: {passed} passed, {failed} failed, 0 skipped ({time.monotonic() - began:.0f} s)")
    return int(failed > 0)


def lint(scope: Scope, targets: tuple[str, ...] | list[str]) -> foreign.Built:
    """Lets clippy look at the packages on all these targets."""
    command = [str(foreign.CLIPPY), "clippy", "--locked", *scope.packages, *scope.std]
    environment = foreign.environment() | {"CARGO": foreign.cargo(), "SDKROOT": "/nonexistent"}
    # Otherwise cargo would have std translated as well. Build scripts are translated all the same.
    environment["RUSTFLAGS"] = "-Zno-codegen"
    nothing = shutil.which("true") or "true"
    for target in targets:
        command += ["--target", target]
        archiver = str(foreign.ROOT / "tests/platforms/no-archiver.sh") if "windows" in target else nothing
        name = target.replace("-", "_")
        environment |= {f"CC_{name}": nothing, f"AR_{name}": archiver}
    return foreign.build([*command, foreign.MESSAGES, "--", "-D", "warnings"], environment)


if __name__ == "__main__":
    sys.exit(main())
