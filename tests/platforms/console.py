"""Ctrl-C as a person types it, at a terminal that wine takes for a Windows console."""

from __future__ import annotations

import fcntl
import os
import pty
import signal
import subprocess
import termios
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

STUCK_SECONDS = 60

CTRL_C = b"\x03"


def exit_code_after_ctrl_c(command: list[str], environment: Mapping[str, str], until_ready: Callable[[], object]) -> int:
    """Starts a program at a terminal of its own, and types Ctrl-C when it is ready; gives its exit code."""
    ours, theirs = pty.openpty()

    def take_terminal() -> None:
        os.setsid()
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)
        # Who runs the tests in the background has it ignored, and children inherit that.
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    with subprocess.Popen(
        command,
        env=environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        preexec_fn=take_terminal,  # noqa: PLW1509 (there are no threads here)
    ) as program:
        os.close(theirs)
        try:
            until_ready()
            os.write(ours, CTRL_C)
            return program.wait(STUCK_SECONDS)
        finally:
            program.kill()
            os.close(ours)
