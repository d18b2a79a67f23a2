"""The cache lock: whoever downloads, unpacks or builds the driver holds it, and nobody while a driver runs.

The kernel's lock on `cache.lock` is the only truth about who is alive. That file is never written or truncated: who holds
the lock, and what for, is said in `cache.holder.json` beside it, which is replaced whole, and removed before the lock is
let go. The driver takes the same lock in the same way.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time

from failure import EXIT_ENVIRONMENT, EXIT_LOCK_TIMEOUT, Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TICK_SECONDS = 0.2
RECORD_BYTES_MAX = 65536


@contextlib.contextmanager
def held(folder: str, timeout: float | None, command: str) -> Iterator[Callable[[str], None]]:
    """Holds the lock in `folder`; yields the function that tells those who wait what is being done."""
    os.makedirs(folder, mode=0o700, exist_ok=True)
    record_path = os.path.join(folder, "cache.holder.json")
    descriptor = acquire(os.path.join(folder, "cache.lock"), Patience(timeout, record_path))
    since = int(time.time() * 1000)

    def tell(doing: str) -> None:
        record = {"pid": os.getpid(), "command": command, "since_unix_ms": since, "doing": doing}
        with open(f"{record_path}.new", "w", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        os.replace(file.name, record_path)

    try:
        tell("looking what is missing")
        yield tell
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(record_path)
        os.close(descriptor)


def acquire(path: str, patience: Patience) -> int:
    """The descriptor of the locked file; closing it lets go."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            lock(descriptor, patience)
            # Who removed the folder while we waited has left us a file that nobody else will lock.
            if os.path.exists(path) and os.path.samestat(os.fstat(descriptor), os.stat(path)):
                return descriptor
        except OSError as error:
            os.close(descriptor)
            way_out = 'set build.lock-dir to a folder on a local disk, or build.lock-mode = "off"'
            raise Failure(EXIT_ENVIRONMENT, f"locking {path}: {error.strerror}; {way_out}") from None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


class Patience:
    """Called again and again while the lock is busy: says whom we wait for, and ends the wait when it is time."""

    def __init__(self, timeout: float | None, record_path: str) -> None:
        self.timeout, self.record_path = timeout, record_path
        self.began = time.monotonic()
        self.told = ""

    def __call__(self) -> None:
        waited = time.monotonic() - self.began
        pid, holder = self.holder()
        if self.timeout is not None and waited >= self.timeout:
            advice = "wait longer with --lock-timeout SECS or build.lock-timeout"
            raise Failure(EXIT_LOCK_TIMEOUT, f"the cache is busy: waited {waited:.1f}s for {holder}; {advice}")
        # A wait that is over at once is not worth a line, and a new holder is worth another.
        if waited >= TICK_SECONDS and pid != self.told:
            print(f"waiting for {holder}; Ctrl-C gives up", file=sys.stderr, flush=True)
            self.told = pid

    def holder(self) -> tuple[str, str]:
        """Pid and description of the holder; its record may be missing, of a killed one, or of a newer version."""
        try:
            with open(self.record_path, encoding="utf-8") as file:
                record = json.loads(file.read(RECORD_BYTES_MAX))
            running = max(0, int(time.time() - record["since_unix_ms"] / 1000))
            minutes = f"{running // 60}m{running % 60:02}s" if running >= 60 else f"{running}s"
            doing = f", which is {record['doing']}" if "doing" in record else ""
            return str(record["pid"]), f"{record['command']} (pid {record['pid']}, running {minutes}){doing}"
        except (OSError, ValueError, KeyError, TypeError):
            return "unknown", f"another ./x (unnamed in {self.record_path})"


if sys.platform == "win32":
    import msvcrt

    def lock(descriptor: int, patience: Patience) -> None:
        """Locks the first byte. The C library's own wait is a poll too, one that Ctrl-C cannot end."""
        while True:
            try:
                return msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            except PermissionError:
                patience()
                time.sleep(TICK_SECONDS)

else:
    import fcntl
    import signal

    def lock(descriptor: int, patience: Patience) -> None:
        """Takes the lock, waiting in the kernel; an alarm wakes us for `patience`, which may raise to end the wait."""
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            patience()
        previous = signal.signal(signal.SIGALRM, lambda *_: patience())
        # It repeats, since an alarm that comes just before the system call begins does not interrupt it.
        signal.setitimer(signal.ITIMER_REAL, TICK_SECONDS, TICK_SECONDS)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)
