"""Downloads one file whose SHA-256 is known, going on where an earlier attempt, or an earlier run, broke off."""

from __future__ import annotations

import hashlib
import http.client
import os
import sys
import time
import urllib.error
import urllib.request

from failure import EXIT_ENVIRONMENT, Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import BinaryIO

ATTEMPTS = 6
BACKOFF_SECONDS = 0.5
SILENCE_SECONDS_MAX = 30.0
CHUNK_BYTES = 1 << 18
FILE_BYTES_MAX = 4 << 30
PASSING_STATUS = (408, 429, 500, 502, 503, 504)


class BrokenOffError(Exception):
    """The transfer failed in a way that another attempt may mend."""


def ensure(url: str, path: str, sha256: str) -> None:
    """Makes sure that `path` is the file with that sum: checked when it is there, downloaded when it is not."""
    if os.path.exists(path):
        with open(path, "rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() == sha256:
                return
        print(f"warning: {path} has changed since it was downloaded; fetching it again", file=sys.stderr)
        os.unlink(path)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    print(f"downloading {url}", file=sys.stderr)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with open(f"{path}.part", "ab+") as part:
                fetch(url, part, sha256)
            # No fsync: the sum is checked again whenever the file is used.
            return os.replace(f"{path}.part", path)
        except BrokenOffError as error:
            trouble = f"downloading {url}: {error}"
            if attempt < ATTEMPTS:
                print(f"warning: {trouble}; trying again", file=sys.stderr)
                time.sleep(BACKOFF_SECONDS * 2 ** (attempt - 1))
    raise Failure(EXIT_ENVIRONMENT, f"{trouble}; gave up after {ATTEMPTS} attempts, but another run goes on from here")


def fetch(url: str, part: BinaryIO, sha256: str) -> None:
    """Adds to `part` what it lacks; on return the whole has the right sum."""
    part.seek(0)
    digest = hashlib.file_digest(part, "sha256")
    start = part.tell()
    if digest.hexdigest() == sha256:  # killed between the last byte and the rename
        return
    response = request(url, start, part)
    with response:
        resumed = response.status == 206 and response.headers.get("Content-Range", "").startswith(f"bytes {start}-")
        if not resumed:  # a server without ranges sends all of it again
            part.truncate(start := 0)
            digest = hashlib.sha256()
        announced = response.headers.get("Content-Length")
        end = start + int(announced) if announced else None
        have = start
        bar = Progress(start, end)
        while chunk := receive(response):
            have += len(chunk)
            if have > FILE_BYTES_MAX:
                raise Failure(EXIT_ENVIRONMENT, f"downloading {url}: it has more than {FILE_BYTES_MAX} bytes")
            digest.update(chunk)
            part.write(chunk)
            bar.show(have)
        bar.clear()
    if end is not None and have < end:
        raise BrokenOffError(f"the connection was closed after {have} of {end} bytes")
    if digest.hexdigest() != sha256:
        part.truncate(0)
        if resumed or end is None:
            raise BrokenOffError("the parts do not make the file that is pinned")
        sums = f"its SHA-256 is {digest.hexdigest()}, and {sha256} is pinned"
        raise Failure(EXIT_ENVIRONMENT, f"downloading {url}: {sums}; check build.dist-server, RUSTUP_DIST_SERVER and src/stage0")


def request(url: str, start: int, part: BinaryIO) -> urllib.request.addinfourl:
    """The server's answer, its body not yet read."""
    headers = {"User-Agent": "x.py"} | ({"Range": f"bytes={start}-"} if start else {})
    try:
        return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=SILENCE_SECONDS_MAX)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # there is no such range: what was begun is not this file
            part.truncate(0)
        if error.code in (*PASSING_STATUS, 416):
            raise BrokenOffError(f"the server answered {error.code} {error.reason}") from None
        answer = f"the server answered {error.code} {error.reason}"
        raise Failure(EXIT_ENVIRONMENT, f"downloading {url}: {answer}; check build.dist-server and src/stage0") from None
    except (OSError, http.client.HTTPException) as error:
        if url.startswith("file:"):
            raise Failure(EXIT_ENVIRONMENT, f"reading {url}: {error}; check build.dist-server") from None
        raise BrokenOffError(str(error)) from None


def receive(response: urllib.request.addinfourl) -> bytes:
    """The next bytes of the body, none at its end."""
    try:
        return response.read(CHUNK_BYTES)
    except (OSError, http.client.HTTPException) as error:
        raise BrokenOffError(str(error) or type(error).__name__) from None


class Progress:
    """A bar on a terminal, nothing elsewhere."""

    def __init__(self, start: int, end: int | None) -> None:
        self.on, self.end, self.shown = sys.stderr.isatty(), end, 0.0

    def show(self, have: int) -> None:
        """Draws how far we are, ten times a second at most."""
        if self.on and time.monotonic() - self.shown > 0.1:
            self.shown = time.monotonic()
            done = have / self.end if self.end else 0
            print(f"\r  [{'=' * int(done * 40):<40}] {done:4.0%} {have >> 20} MiB", end="", file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Takes the bar off the line."""
        if self.on:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
