"""What the launcher does on Windows only, played on other systems: the platform's name and `msvcrt` are stand-ins."""

import os
import signal
import sys
import unittest

from test_launch import CARGO, Launch

# `subprocess` comes first: it would take the stand-in for a sign that all of Windows is there.
PLAY_WINDOWS = """\
import fcntl, os, runpy, subprocess, sys, types

def locking(descriptor, mode, length):
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, length)
    except OSError:
        raise PermissionError from None

def replace(old, new, replace=os.replace):
    if os.path.exists(new) and new.endswith(os.environ.get("READ_BY_A_WAITER", "?")):
        raise PermissionError(13, "somebody reads it", new)
    replace(old, new)

def execve(*_):
    raise OSError("there is no such call")

sys.modules["msvcrt"] = types.SimpleNamespace(LK_NBLCK=2, locking=locking)
sys.platform, os.replace, os.execve = "win32", replace, execve
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


CARGO_EXE = CARGO.replace("driver/bootstrap", "driver/bootstrap.exe")
# A driver that ends in its own way at Ctrl-C.
DRIVER_THAT_HEARS = "trap 'exit 9' INT; exec 3<> {top}/go; echo started > {top}/started; read answer <&3"


@unittest.skipIf(sys.platform == "win32", "the tools are shell scripts")
class OnWindows(Launch):
    PYTHON = (*Launch.PYTHON, "-c", PLAY_WINDOWS)
    GROUP = 0

    def setUp(self) -> None:
        super().setUp()
        (self.bin / "rustc").rename(self.bin / "rustc.exe")
        self.tool("cargo.exe", CARGO_EXE)

    def test_the_launcher_stays_and_hands_on_the_drivers_exit_code(self) -> None:
        out, _ = self.run_x("check", "a b", code=7, DRIVER_EXITS="7")
        self.assertEqual(out.splitlines()[0], "check a b")
        self.assertIn("/bootstrap.exe", str(next((self.root / "build/cache/driver").glob("*/*"))))

    def test_ctrl_c_is_left_to_the_driver(self) -> None:
        for name in ("started", "go"):
            os.mkfifo(self.top / name)
        self.tool("cargo.exe", CARGO_EXE.replace("env | grep ^BOOTSTRAP_", DRIVER_THAT_HEARS))
        process = self.start("check")
        self.await_start()
        os.killpg(process.pid, signal.SIGINT)
        self.end(process, 9)

    def test_the_cache_lock_is_asked_for_again_and_again(self) -> None:
        first = self.start_held()
        second = self.start("tidy")
        self.assertIn(f"waiting for ./x build (pid {first.pid}, ", self.first_line_of_errors(second))
        self.let_on()
        self.end(first, 0)
        self.end(second, 0)
        self.assertEqual(self.calls("cargo"), 1)

    def test_a_timeout_is_exit_code_75(self) -> None:
        held = self.start_held()
        self.run_x("check", "--lock-timeout", "0.3", code=75)
        self.let_on()
        self.end(held, 0)

    def test_a_record_that_a_waiter_reads_stays_as_it_is(self) -> None:
        self.run_x("check", READ_BY_A_WAITER="cache.holder.json")
        self.assertEqual(self.calls("cargo"), 1)
