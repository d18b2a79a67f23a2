"""The cache lock: whoever downloads, unpacks or builds the driver holds it, and nobody while a driver runs.

The kernel's lock on `cache.lock` is the only truth about who is alive. That file is never written: who holds the lock, and
what for, is in `cache.holder.json` beside it, replaced whole, and removed before the lock is let go. The driver takes the same
lock in the same way.
"""

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator

from failure import EXIT_LOCK_TIMEOUT, Failure

TICK_SECONDS = 0.2
RECORD_BYTES_MAX = 65536
# A link that somebody planted in place of the lock file; on Windows only who may make links can.
NO_FOLLOW: int = getattr(os, "O_NOFOLLOW", 0)


@contextlib.contextmanager
def held(folder: str, timeout: float | None, command: str, doing: str) -> Iterator[None]:
    """Holds the lock in `folder`, and says to those who wait who does what."""
    record_path = os.path.join(folder, "cache.holder.json")
    descriptor = acquire(os.path.join(folder, "cache.lock"), record_path, timeout)
    record = {"pid": os.getpid(), "command": command, "since_unix_ms": int(time.time() * 1000), "doing": doing}
    try:
        # What a killed holder left goes first: after `sudo` it may be another user's. No link is followed.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{record_path}.new")
        with open(f"{record_path}.new", "x", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        # Windows lets nobody replace or remove what somebody reads: then those who wait are told what was true before.
        with contextlib.suppress(PermissionError):
            os.replace(file.name, record_path)
        yield
    finally:
        with contextlib.suppress(FileNotFoundError, PermissionError):
            os.unlink(record_path)
        os.close(descriptor)


def acquire(path: str, record_path: str, timeout: float | None) -> int:
    """Opens and locks the file; says whom it waits for, and gives up after the timeout."""
    began, told = time.monotonic(), ""
    while True:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | NO_FOLLOW, 0o600)
        try:
            while not lock_in_a_tick(descriptor):
                pid, holder = describe(record_path)
                waited = time.monotonic() - began
                if timeout is not None and waited >= timeout:
                    advice = "wait longer with --lock-timeout SECS or build.lock-timeout"
                    raise Failure(f"the cache is busy: waited {waited:.1f}s for {holder}; {advice}", EXIT_LOCK_TIMEOUT)
                if pid != told:
                    print(f"waiting for {holder}; Ctrl-C gives up", file=sys.stderr, flush=True)
                    told = pid
        except OSError as error:
            way_out = 'set build.lock-dir to a folder on a local disk, or build.lock-mode = "off"'
            raise Failure(f"locking {path}: {error.strerror}; {way_out}") from None
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)  # who removed the folder while we waited left us a file that nobody else will lock


def describe(record_path: str) -> tuple[str, str]:
    """The holder's pid and who it is. Its record may be missing, a dead one's, or of another version."""
    try:
        with open(record_path, encoding="utf-8") as file:
            record = json.loads(file.read(RECORD_BYTES_MAX))
        minutes, seconds = divmod(max(0, int(time.time() - record["since_unix_ms"] / 1000)), 60)
        running = f"{minutes}m{seconds:02}s" if minutes else f"{seconds}s"
        doing = f", which is {record['doing']}" if "doing" in record else ""
        return str(record["pid"]), f"{record['command']} (pid {record['pid']}, running {running}){doing}"
    except (OSError, ValueError, KeyError, TypeError):
        return "unknown", f"another ./x (not named in {record_path})"


if sys.platform == "win32":
    import msvcrt

    def lock_in_a_tick(descriptor: int) -> bool:
        """Locks the first byte. The C library's own wait would be a poll too, one that Ctrl-C cannot end."""
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            time.sleep(TICK_SECONDS)
            return False
        return True

else:
    import fcntl
    import signal

    def lock_in_a_tick(descriptor: int) -> bool:
        """Waits in the kernel until an alarm. (Who has the lock when it comes gets it at once in the next tick.)"""

        def wake(*_: object) -> None:
            raise TimeoutError

        try:
            signal.signal(signal.SIGALRM, wake)
            # It repeats, since an alarm that comes just before the system call begins does not interrupt it.
            signal.setitimer(signal.ITIMER_REAL, TICK_SECONDS, TICK_SECONDS)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        except TimeoutError:
            return False
        return True
