"""Ctrl-C as a person types it, at a terminal that wine takes for a Windows console."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import subprocess
import termios
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

STUCK_SECONDS = 60

# STATUS_CONTROL_C_EXIT, of which Unix sees the last byte.
CONTROL_C_EXIT = 0xC000013A & 0xFF


def ctrl_c_gives_up_a_wait(buildlock: list[str], environment: Mapping[str, str], home: Path) -> str:
    """Whether a wait for the lock ends at Ctrl-C, by itself, and leaves nothing: `passed` or `failed`."""
    folder = home / "session"
    at_folder = ["--dir", str(folder)]
    hold = [*buildlock, "hold", *at_folder]
    with subprocess.Popen(hold, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin and holder.stdout  # noqa: S101 (for the type checker)
        holder.stdout.readline()
        before = sorted(os.listdir(folder))
        ours, theirs = pty.openpty()

        def take_terminal() -> None:
            os.setsid()
            fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

        run = [*buildlock, "run", "--shared", *at_folder, "--", "cmd", "/c", "exit"]
        with subprocess.Popen(
            run,
            env=environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            preexec_fn=take_terminal,  # noqa: PLW1509 (there are no threads here)
        ) as waiter:
            os.close(theirs)
            give_up = time.monotonic() + STUCK_SECONDS
            status = [*buildlock, "status", "--json", *at_folder]
            while time.monotonic() < give_up:
                shown = subprocess.run(status, env=environment, stdout=subprocess.PIPE, check=True).stdout
                if len(json.loads(shown)["entries"]) > 1:
                    break
            os.write(ours, b"\x03")
            try:
                code = waiter.wait(STUCK_SECONDS)
            except subprocess.TimeoutExpired:
                waiter.kill()
                code = -1
        os.close(ours)
        # A waiter that the system ended would have left its files behind.
        left = sorted(os.listdir(folder))
        holder.stdin.close()
    verdict = "passed" if (code, left) == (CONTROL_C_EXIT, before) else "failed"
    print(f"Ctrl-C gives up a wait and leaves nothing: {verdict} (code {code}, {left})", flush=True)
    return verdict
