"""A client of a language server on stdio: as much of the protocol (LSP) as an editor needs to see diagnostics."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

Message = dict[str, Any]
STUCK_SECONDS = 180
ERROR = 1
FLYCHECK = "rust-analyzer/flycheck/"

CAPABILITIES = {
    "window": {"workDoneProgress": True},
    "textDocument": {"publishDiagnostics": {"relatedInformation": True}, "synchronization": {"didSave": True}},
    "workspace": {"didChangeWatchedFiles": {"dynamicRegistration": True}},
    "experimental": {"serverStatusNotification": True},
}


class Failure(Exception):
    """Something that was to come did not."""


class Client:
    """An editor, as a language server sees it. What the server says is kept; `until` waits for it to come true."""

    def __init__(self, command: list[str], root: Path, environment: dict[str, str], options: Message, log: Path) -> None:
        self.root = root
        self.published: dict[str, list[Message]] = {}
        self.history: list[tuple[str, list[Message]]] = []
        self.begun = self.ended = 0
        self.quiescent = False
        self.complaints: list[str] = []
        self._answers: dict[int, Message] = {}
        self._requests = 0
        self._versions = 1
        self._gone = False
        self._changed = threading.Condition()
        self._sending = threading.Lock()
        with log.open("ab") as stderr:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, env=environment, cwd=root
            )
        threading.Thread(target=self._listen, daemon=True).start()
        folder = {"uri": root.as_uri(), "name": root.name}
        self.request(
            "initialize",
            processId=None,
            rootUri=root.as_uri(),
            capabilities=CAPABILITIES,
            initializationOptions=options,
            workspaceFolders=[folder],
        )
        self.notify("initialized")

    def open(self, name: str) -> None:
        """Opens a file of the workspace."""
        document = {"uri": self.uri(name), "languageId": "rust", "version": 1, "text": (self.root / name).read_text()}
        self.notify("textDocument/didOpen", textDocument=document)

    def save(self, name: str) -> None:
        """Saves a file as it is."""
        self.notify("textDocument/didSave", textDocument={"uri": self.uri(name)})

    def change(self, name: str, text: str) -> None:
        """Types, and saves."""
        self._versions += 1
        document = {"uri": self.uri(name), "version": self._versions}
        self.notify("textDocument/didChange", textDocument=document, contentChanges=[{"text": text}])
        (self.root / name).write_text(text)

    def quit(self) -> int:
        """Ends the server as an editor does; gives its exit code."""
        self.request("shutdown")
        self.notify("exit")
        return self.process.wait(STUCK_SECONDS)

    def kill(self) -> None:
        """Ends the server as a crash does."""
        self.process.kill()
        self.process.wait(STUCK_SECONDS)

    def uri(self, name: str) -> str:
        """How the protocol calls a file of the workspace."""
        return (self.root / name).as_uri()

    def errors(self, name: str, source: str = "rustc") -> list[Message]:
        """The errors in the last word on a file. Hints at other places are none."""
        return errors(self.published.get(self.uri(name), []), source)

    def from_compiler(self, name: str) -> list[Message]:
        """The last word on a file, without what rust-analyzer finds by itself, in its own time."""
        return [one for one in self.published.get(self.uri(name), []) if one.get("source") == "rustc"]

    def shown(self, name: str, since: int, until: int | None = None) -> list[list[Message]]:
        """The compiler's errors in a file, in each word on it between two places in the history."""
        return [errors(found) for uri, found in self.history[since:until] if uri == self.uri(name)]

    def until(self, what: str, is_so: Callable[[], bool], seconds: float = STUCK_SECONDS) -> float:
        """Waits until the server has made something true; gives the seconds that it took."""
        began = time.monotonic()
        with self._changed:
            if not self._changed.wait_for(lambda: is_so() or self._gone, seconds) or not is_so():
                state = f"checks {self.begun} begun, {self.ended} ended; complaints: {self.complaints}"
                raise Failure(f"it never comes true that {what} ({'the server ended; ' if self._gone else ''}{state})")
        return time.monotonic() - began

    def request(self, method: str, **parameters: object) -> Message:
        """Asks, and waits for the answer."""
        self._requests += 1
        number = self._requests
        self._send({"id": number, "method": method, "params": parameters or None})
        self.until(f"{method} is answered", lambda: number in self._answers)
        return self._answers.pop(number)

    def notify(self, method: str, **parameters: object) -> None:
        """Tells."""
        self._send({"method": method, "params": parameters})

    def _send(self, message: Message) -> None:
        body = json.dumps({"jsonrpc": "2.0", **message}).encode()
        stream = piped(self.process.stdin)
        with self._sending:
            stream.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
            stream.flush()

    def _listen(self) -> None:
        stream = piped(self.process.stdout)
        while line := stream.readline():
            length = 0
            while line.strip():
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
                line = stream.readline()
            message = json.loads(stream.read(length))
            with self._changed:
                self._hear(message)
                self._changed.notify_all()
        with self._changed:
            self._gone = True
            self._changed.notify_all()

    def _hear(self, message: Message) -> None:
        method, parameters = message.get("method"), message.get("params") or {}
        if "id" in message and method is None:
            self._answers[message["id"]] = message
        elif "id" in message:
            # Tokens of progress, registrations: whatever the server asks, it may.
            self._send({"id": message["id"], "result": None})
        elif method == "textDocument/publishDiagnostics":
            self.published[parameters["uri"]] = parameters["diagnostics"]
            self.history.append((parameters["uri"], parameters["diagnostics"]))
        elif method == "experimental/serverStatus":
            self.quiescent = parameters["quiescent"]
            if parameters["health"] == "error":
                self.complaints.append(parameters.get("message", ""))
        elif method == "$/progress" and str(parameters["token"]).startswith(FLYCHECK):
            self.begun += parameters["value"]["kind"] == "begin"
            self.ended += parameters["value"]["kind"] == "end"


def errors(published: list[Message], source: str = "rustc") -> list[Message]:
    """The errors among diagnostics, as far as they come from `source`."""
    return [one for one in published if one.get("source") == source and one["severity"] == ERROR]


def piped(stream: IO[bytes] | None) -> IO[bytes]:
    """A stream of a process that was started with pipes."""
    if stream is None:
        raise Failure("the language server was started without pipes")
    return stream
