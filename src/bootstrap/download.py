"""Downloads a file whose SHA-256 is known, going on where an earlier attempt, or an earlier run, broke off."""

import errno
import hashlib
import http.client
import io
import os
import sys
import time
import urllib.request

from failure import Failure

ATTEMPTS = 6
BACKOFF_SECONDS = 0.5
SILENCE_SECONDS_MAX = 30.0
CHUNK_BYTES = 1 << 18
FILE_BYTES_MAX = 4 << 30
PASSING_STATUS = (408, 416, 429, 500, 502, 503, 504)
OUR_OWN_TROUBLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM)
ADVICE = "check build.dist-server and src/stage0"


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
    for attempt in range(ATTEMPTS):
        try:
            with open(f"{path}.part", "ab+") as part:
                fetch(url, part, sha256)
            os.replace(part.name, path)  # without fsync: each use checks the sum again
            return
        except (OSError, http.client.HTTPException) as error:
            if isinstance(error, OSError) and error.errno in OUR_OWN_TROUBLE:
                error.filename = error.filename or path
                raise
            trouble, status = f"downloading {url}: {error or type(error).__name__}", getattr(error, "code", 500)
        if url.startswith("file:") or status not in PASSING_STATUS:
            raise Failure(f"{trouble}; {ADVICE}")
        if status == 416:  # no such range: what was begun is of another file
            os.unlink(f"{path}.part")
        if attempt < ATTEMPTS - 1:
            print(f"warning: {trouble}; trying again", file=sys.stderr)
            time.sleep(BACKOFF_SECONDS * 2**attempt)
    raise Failure(f"{trouble}; gave up after {ATTEMPTS} attempts, and the next run goes on from here")


def fetch(url: str, part: io.BufferedRandom, sha256: str) -> None:
    """Adds to `part` what it lacks, until its sum is right. After a `ConnectionError` another attempt may help."""
    part.seek(0)
    digest = hashlib.file_digest(part, "sha256")
    have = part.tell()
    if digest.hexdigest() == sha256:  # killed between the last byte and the rename
        return
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=SILENCE_SECONDS_MAX) as response:
        resumed = response.headers.get("Content-Range", "").startswith(f"bytes {have}-") and response.status == 206
        if not resumed:  # a server without ranges sends all of it again
            have, digest = part.truncate(0), hashlib.sha256()
        announced = response.headers.get("Content-Length")
        end, shown = have + int(announced) if announced else 0, 0.0
        while (chunk := response.read(CHUNK_BYTES)) and have <= FILE_BYTES_MAX:
            digest.update(chunk)
            have += part.write(chunk)
            if sys.stderr.isatty() and time.monotonic() > shown + 0.1:
                shown, done = time.monotonic(), have / (end or have)
                print(f"\r[{'=' * int(40 * done):40}] {done:4.0%}\x1b[K", end="\r", file=sys.stderr, flush=True)
    if sys.stderr.isatty():
        print("\x1b[K", end="", file=sys.stderr)
    if have < end:
        raise ConnectionError(f"the connection was closed after {have} of {end} bytes")
    if digest.hexdigest() != sha256:
        part.truncate(0)
        if resumed or not end:
            raise ConnectionError("the pieces do not make the pinned file")
        raise Failure(f"downloading {url}: its SHA-256 is {digest.hexdigest()}, and {sha256} is pinned; {ADVICE}")
