"""The cache lock: whoever downloads, unpacks or builds the driver holds it, and nobody while a driver runs.

The kernel's lock on `cache.lock` is the only truth about who is alive. That file is never written: who holds the lock,
and what for, is in `cache.holder.json` beside it, replaced whole, and removed before the lock is let go. The driver
takes the same lock in the same way.
"""

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator

from failure import EXIT_LOCK_TIMEOUT, Failure

TICK_SECONDS = 0.2
RECORD_BYTES_MAX = 65536
# A link that somebody planted in place of the lock file; on Windows only who may make links can.
NO_FOLLOW: int = getattr(os, "O_NOFOLLOW", 0)

# Windows lets nobody replace or remove what somebody reads: then those who wait are told what was true before.
IN_USE = (PermissionError,) if sys.platform == "win32" else ()


@contextlib.contextmanager
def held(folder: str, timeout: float | None, command: str) -> Iterator[Callable[[str], None]]:
    """Holds the lock in `folder`; gives the function that tells those who wait what is being done."""
    path, record_path = os.path.join(folder, "cache.lock"), os.path.join(folder, "cache.holder.json")
    with contextlib.ExitStack() as undo:
        while True:
            os.makedirs(folder, mode=0o700, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | NO_FOLLOW, 0o600)
            undo.callback(os.close, descriptor)
            try:
                lock(descriptor, waiter(timeout, record_path))
            except OSError as error:
                way_out = 'set build.lock-dir to a folder on a local disk, or build.lock-mode = "off"'
                raise Failure(f"locking {path}: {error.strerror}; {way_out}") from None
            # Who removed the folder while we waited (Windows lets nobody) left us a file that nobody else will lock.
            if sys.platform == "win32" or (
                os.path.exists(path) and os.path.samestat(os.fstat(descriptor), os.stat(path))
            ):
                break
        since_unix_ms = int(time.time() * 1000)

        def tell(doing: str) -> None:
            record = {"pid": os.getpid(), "command": command, "since_unix_ms": since_unix_ms, "doing": doing}
            # What a killed holder left goes first: after `sudo` it may be another user's. No link is followed.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{record_path}.new")
            with open(f"{record_path}.new", "x", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
            with contextlib.suppress(*IN_USE):
                os.replace(file.name, record_path)

        tell("looking what is missing")
        try:
            yield tell
        finally:
            with contextlib.suppress(FileNotFoundError, *IN_USE):
                os.unlink(record_path)


def waiter(timeout: float | None, record_path: str) -> Callable[[], None]:
    """What to call again and again while the lock is busy: it says whom we wait for, and raises when it is time."""
    began, told = time.monotonic(), ""

    def still_waiting() -> None:
        nonlocal told
        waited, (pid, holder) = time.monotonic() - began, describe(record_path)
        if timeout is not None and waited >= timeout:
            advice = "wait longer with --lock-timeout SECS or build.lock-timeout"
            raise Failure(f"the cache is busy: waited {waited:.1f}s for {holder}; {advice}", EXIT_LOCK_TIMEOUT)
        # A wait that is over at once is not worth a line; another holder is worth another.
        if waited >= TICK_SECONDS and pid != told:
            print(f"waiting for {holder}; Ctrl-C gives up", file=sys.stderr, flush=True)
            told = pid

    return still_waiting


def describe(record_path: str) -> tuple[str, str]:
    """The holder's pid and who it is. Its record may be missing, a dead one's, or of another version."""
    try:
        with open(record_path, encoding="utf-8") as file:
            record = json.loads(file.read(RECORD_BYTES_MAX))
        minutes, running = divmod(max(0, int(time.time() - record["since_unix_ms"] / 1000)), 60)
        elapsed = f"{minutes}m{running:02}s" if minutes else f"{running}s"
        doing = f", which is {record['doing']}" if "doing" in record else ""
        return str(record["pid"]), f"{record['command']} (pid {record['pid']}, running {elapsed}){doing}"
    except (OSError, ValueError, KeyError, TypeError):
        return "unknown", f"another ./x (not named in {record_path})"


if sys.platform == "win32":
    import msvcrt

    def lock(descriptor: int, still_waiting: Callable[[], None]) -> None:
        """Locks the first byte. The C library's own wait would be a poll too, one that Ctrl-C cannot end."""
        while True:
            try:
                return msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            except PermissionError:
                still_waiting()
                time.sleep(TICK_SECONDS)

else:
    import fcntl
    import signal

    def lock(descriptor: int, still_waiting: Callable[[], None]) -> None:
        """Waits in the kernel; an alarm wakes us for `still_waiting`, which ends the wait by raising."""
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            still_waiting()
        previous = signal.signal(signal.SIGALRM, lambda *_: still_waiting())
        # It repeats, since an alarm that comes just before the system call begins does not interrupt it.
        signal.setitimer(signal.ITIMER_REAL, TICK_SECONDS, TICK_SECONDS)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)
