"""The suite `editor`: a real rust-analyzer and `./x` in one build directory.

Without arguments all scenarios run; an argument chooses those with it in their name.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time

from lsp import Failure
from project import LIBRARY, RUST_ANALYZER, Project
from scenarios import SCENARIOS
from settings import Skipped

PACKAGES = {RUST_ANALYZER: "rust-web-analyzer", LIBRARY: "rust-web-src"}
OFF_THE_NETWORK = "EDITOR_SUITE_OFF_THE_NETWORK"


def main() -> int:
    """Runs the scenarios; gives the exit code."""
    missing = [package for path, package in PACKAGES.items() if not path.exists()]
    if missing:
        install = f"`apt-get install --no-install-recommends {' '.join(missing)}`"
        print(f"error: packages of Debian are missing: {install}", file=sys.stderr)
        return 1
    leave_the_network()
    passed = failed = skipped = 0
    for name, scenario in SCENARIOS.items():
        if not any(word in name for word in sys.argv[1:] or [""]):
            continue
        began = time.monotonic()
        project = Project()
        try:
            note = scenario(project)
        except Skipped as why:
            skipped += 1
            print(f"skipped: {name}: {why}", flush=True)
        except (Failure, ValueError, OSError, LookupError, subprocess.SubprocessError) as why:
            failed += 1
            print(f"FAILED: {name}: {type(why).__name__}: {why}\n{project.said()}", flush=True)
        else:
            passed += 1
            detail = f"; {note}" if note else ""
            print(f"ok: {name} ({time.monotonic() - began:.1f} s{detail})", flush=True)
        finally:
            project.close()
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    return int(failed > 0)


def leave_the_network() -> None:
    """Becomes this program without a network, where that is permitted: rust-analyzer must not download anything."""
    if OFF_THE_NETWORK in os.environ:
        return
    unshare = shutil.which("unshare")
    for flags in (["--net"], ["--map-root-user", "--net"]) if unshare else []:
        command = [str(unshare), *flags]
        if subprocess.run([*command, "true"], capture_output=True, check=False).returncode == 0:
            environment = os.environ | {OFF_THE_NETWORK: "1"}
            os.execvpe(command[0], [*command, sys.executable, *sys.argv], environment)
    print("the network stays: `unshare --net` is not permitted here; RUSTUP and the settings keep rust-analyzer off it")


if __name__ == "__main__":
    sys.exit(main())
