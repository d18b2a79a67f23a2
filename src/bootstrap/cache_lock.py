"""The cache lock: whoever downloads, unpacks or builds the driver holds it, and nobody while a driver runs.

The kernel's lock on `cache.lock` is the only truth about who is alive; who that is, `cache.holder.json` beside it tells.
"""

import contextlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator

from configuration import ENVIRONMENT, LOCK_TIMEOUT, Failure

TICK_SECONDS = 0.2


@contextlib.contextmanager
def held(folder: str, timeout: float, doing: str) -> Iterator[None]:
    """Holds the lock in `folder`, and says to those who wait who does what."""
    path = os.path.join(folder, "cache.holder.json")
    descriptor = acquire(os.path.join(folder, "cache.lock"), path, timeout)
    command, since = " ".join(["./x", *sys.argv[1:]]), time.time_ns() // 1_000_000
    try:
        # What a killed holder left goes first: after `sudo` it may be another user's. No link is followed.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{path}.new")
        with open(f"{path}.new", "x", encoding="utf-8") as file:
            json.dump({"pid": os.getpid(), "command": command, "since_unix_ms": since, "doing": doing}, file)
        # Windows lets nobody replace or remove what somebody reads: then those who wait are told what was true before.
        with contextlib.suppress(PermissionError):
            os.replace(file.name, path)
        yield
    finally:
        with contextlib.suppress(FileNotFoundError, PermissionError):
            os.unlink(path)
        os.close(descriptor)


def acquire(path: str, record: str, timeout: float) -> int:
    """Opens and locks the file; says whom it waits for, and gives up after the timeout."""
    began, told = time.monotonic(), ""

    def tick(*_: object) -> None:
        nonlocal told
        holder, waited = describe(record), time.monotonic() - began
        if waited >= timeout:
            raise Failure(LOCK_TIMEOUT, f"waited {waited:.1f}s for {holder}; raise --lock-timeout or build.lock-timeout")
        if holder != told:
            print(f"waiting for {holder}; Ctrl-C gives up", file=sys.stderr, flush=True)
            told = holder

    while True:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        # A link that somebody planted is not followed; on Windows only who may make links can.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
        try:
            lock(descriptor, tick)
        except OSError as error:
            way_out = 'set build.lock-dir to a folder on a local disk, or build.lock-mode = "off"'
            raise Failure(ENVIRONMENT, f"locking {path}: {error.strerror}; {way_out}") from None
        if os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)  # who removed the folder while we waited left us a file that nobody else will lock


def lock(descriptor: int, tick: Callable[..., None]) -> None:
    """Waits for the lock, and calls `tick` again and again meanwhile."""
    if sys.platform == "win32":
        import msvcrt

        while True:
            try:
                return msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            except PermissionError:
                time.sleep(TICK_SECONDS)  # the C library's own wait would be a poll, too, and one that Ctrl-C cannot end
                tick()
    import fcntl
    import signal

    signal.signal(signal.SIGALRM, tick)
    signal.setitimer(signal.ITIMER_REAL, TICK_SECONDS, TICK_SECONDS)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # goes on by itself when a tick is over
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def describe(record: str) -> str:
    """Who holds the lock. The record may be missing, a dead one's, or of another version."""
    try:
        with open(record, encoding="utf-8") as file:
            told = json.loads(file.read(65536))
        since = time.strftime("%H:%M:%S", time.localtime(told["since_unix_ms"] / 1000))
        return f"{told['command']} (pid {told['pid']}, since {since}), which is {told.get('doing', 'busy')}"
    except (OSError, ValueError, LookupError, TypeError, OverflowError):
        return f"another ./x (not named in {record})"
