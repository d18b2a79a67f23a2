"""Doubles for the tests of stage0: rust-installer archives, and a loopback server of them, with faults on order."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import io
import lzma
import tarfile
import threading
import time
from dataclasses import dataclass
from types import TracebackType

# What a slow answer sends at once, and how long it pauses then.
SLOW_BYTES = 1 << 16
SLOW_SECONDS = 0.01


def archive(name: str, component: str, files: dict[str, bytes], extra: list[tarfile.TarInfo] | None = None) -> bytes:
    """A rust-installer archive. A file below `bin/` is executable; `extra` members come last and have no content."""
    members = {f"{name}/components": component.encode(), f"{name}/rust-installer-version": b"3"}
    members[f"{name}/{component}/manifest.in"] = "".join(f"file:{path}\n" for path in files).encode()
    members |= {f"{name}/{component}/{path}": content for path, content in files.items()}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for path, content in members.items():
            member = tarfile.TarInfo(path)
            member.size, member.mode = len(content), 0o755 if "/bin/" in path else 0o644
            tar.addfile(member, io.BytesIO(content))
        for member in extra or []:
            tar.addfile(member)
    return lzma.compress(packed.getvalue(), preset=0)


def sha256(content: bytes) -> str:
    """The sum that a pin holds."""
    return hashlib.sha256(content).hexdigest()


@dataclass
class Fault:
    """How one request goes wrong."""

    status: int = 0
    drop_after: int | None = None
    body: bytes | None = None
    ranges: bool = True
    until: threading.Event | None = None
    length: int | None = None
    slow: bool = False


class DistServer:
    """Serves `files` by path until the `with` ends; each request takes the first of `faults` that is left."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files, self.faults = files, list[Fault]()
        self.requests: list[tuple[str, str | None]] = []
        self.asked = threading.Event()
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                with contextlib.suppress(ConnectionError):  # a client that was interrupted, or killed
                    server.answer(self)

            def log_message(self, format: str, *args: object) -> None:
                pass

        # It listens once it is made: a client that connects before the thread runs waits in the backlog.
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.01,))

    def __enter__(self) -> DistServer:
        self.thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        """Answers one request."""
        wanted = handler.headers.get("Range")
        self.requests.append((handler.path, wanted))
        fault = self.faults.pop(0) if self.faults else Fault()
        self.asked.set()
        if fault.until:
            fault.until.wait(60)
        content = self.files.get(handler.path) if fault.body is None else fault.body
        if fault.status or content is None:
            handler.send_error(fault.status or 404)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and fault.ranges else 0
        if start >= len(content) > 0:
            handler.send_error(416)
            return
        handler.send_response(206 if start else 200)
        length = len(content) - start if fault.length is None else fault.length
        handler.send_header("Content-Length", str(length))
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        handler.end_headers()
        body = content[start:][: fault.drop_after]
        for begin in range(0, len(body), SLOW_BYTES) if fault.slow else []:
            handler.wfile.write(body[begin : begin + SLOW_BYTES])
            time.sleep(SLOW_SECONDS)
        if not fault.slow:
            handler.wfile.write(body)
