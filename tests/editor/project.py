"""A workspace with a deliberate error, its build directory, its commands, and a gate in one of its build scripts."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lsp import STUCK_SECONDS, Client, Failure

ROOT = Path(__file__).resolve().parents[2]
RUST_ANALYZER = Path(os.environ.get("RUST_ANALYZER", "/usr/bin/rust-analyzer"))
LIBRARY = Path(os.environ.get("RUST_LIBRARY", "/usr/lib/rustlib/src/rust/library"))

BROKEN = "broken/src/lib.rs"
SOUND = ["app", "gated"]
MARK = "EDITOR_SUITE_PROJECT"
FOREIGN = ("BOOTSTRAP_", "BUILDLOCK_", "CARGO_", "RUSTC", "RUSTDOC", "RUST_", "MAKEFLAGS", "SUITE_")

FILES = {
    "Cargo.toml": """[workspace]
resolver = "3"
members = ["app", "broken", "gated", "mac"]
""",
    "app/Cargo.toml": """[package]
name = "app"
version = "0.1.0"
edition = "2024"

[dependencies]
mac = { path = "../mac" }
""",
    "app/src/main.rs": """mac::answer!();

fn main() {
    println!("{}", answer());
}
""",
    "broken/Cargo.toml": """[package]
name = "broken"
version = "0.1.0"
edition = "2024"
""",
    BROKEN: """pub fn wrong() -> u32 {
    "not a number"
}
""",
    "gated/Cargo.toml": """[package]
name = "gated"
version = "0.1.0"
edition = "2024"
""",
    # It says that it came, takes the byte that lies in `pass` while the gate is open, and puts it back for the next.
    "gated/build.rs": """use std::fs;
use std::io::{Read, Write};

fn main() {
    let gate = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../gate");
    println!("cargo::rerun-if-changed={}", gate.join("round").display());
    let pipe = |name| fs::File::options().read(true).write(true).open(gate.join(name)).unwrap();
    pipe("came").write_all(b"x").unwrap();
    let (mut pass, mut byte) = (pipe("pass"), [0]);
    pass.read_exact(&mut byte).unwrap();
    pass.write_all(&byte).unwrap();
    let out = std::env::var("OUT_DIR").unwrap();
    fs::write(format!("{out}/generated.rs"), "pub const ANSWER: u32 = 42;").unwrap();
}
""",
    "gated/src/lib.rs": 'include!(concat!(env!("OUT_DIR"), "/generated.rs"));\n',
    "mac/Cargo.toml": """[package]
name = "mac"
version = "0.1.0"
edition = "2024"

[lib]
proc-macro = true
""",
    "mac/src/lib.rs": """use proc_macro::TokenStream;

#[proc_macro]
pub fn answer(_: TokenStream) -> TokenStream {
    "fn answer() -> u32 { 42 }".parse().unwrap()
}
""",
}


class Gate:
    """Where the build script of `gated` stops while it is shut. Named pipes, so that no network is needed."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._round = folder / "round"
        self._round.write_text("0")
        pipes = []
        for name in ("came", "pass"):
            os.mkfifo(folder / name)
            # Open for both: it never comes to an end, and keeps what is in it while nobody else has it open.
            pipes.append(os.open(folder / name, os.O_RDWR | os.O_NONBLOCK))
        self._came, self._pass = pipes
        self.open()

    def shut(self) -> None:
        """Lets nobody pass from now on, and makes cargo run the build script again."""
        drain(self._pass)
        drain(self._came)
        self._round.write_text(str(time.time_ns()))

    def wait(self) -> None:
        """Waits until somebody has come."""
        if not select.select([self._came], [], [], STUCK_SECONDS)[0]:
            raise Failure("nobody comes to the gate")
        os.read(self._came, 1)

    def open(self) -> None:
        """Lets all pass who have come or will."""
        os.write(self._pass, b"x")

    def close(self) -> None:
        """Gives back what the system keeps for it."""
        os.close(self._came)
        os.close(self._pass)


def drain(pipe: int) -> None:
    """Takes out whatever lies in a pipe."""
    with contextlib.suppress(BlockingIOError):
        while os.read(pipe, 4096):
            pass


class Project:
    """The fixture of one scenario."""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="editor-suite-"))
        self.workspace, self.build = self.home / "ws", self.home / "build"
        for name, text in FILES.items():
            path = self.workspace / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.gate = Gate(self.home / "gate")
        self.scratch = self.home / "tmp"
        self.scratch.mkdir()
        refuse = self.home / "refuse"
        refuse.write_text("#!/bin/sh\nexit 1\n")
        refuse.chmod(0o755)
        self.config = self.home / "bootstrap.toml"
        cache = Path(os.environ.get("SUITE_BUILD_DIR") or ROOT / "build") / "cache"
        self.config.write_text(
            f"build.build-dir = {json.dumps(str(self.build))}\nbuild.cache-dir = {json.dumps(str(cache))}\n"
            f'build.workspaces = [{json.dumps(str(self.workspace))}]\nbuild.job-pool = "build-dir"\n'
            # What is on PATH is enough; `setup` would download its rustfmt.
            'build.stage0 = "local"\n'
        )
        ours = {name for name in os.environ if name.startswith(FOREIGN)} - {"CARGO_HOME"}
        kept = {name: value for name, value in os.environ.items() if name not in ours}
        self.environment = kept | {
            "RUST_BOOTSTRAP_CONFIG": str(self.config),
            "RUSTUP": str(refuse),
            # Otherwise each load of the sysroot's own workspace tries the network for half a minute.
            "CARGO_NET_OFFLINE": "true",
            "TMPDIR": str(self.scratch),
            MARK: str(self.home),
        }
        self._clients: list[Client] = []

    def configure(self, line: str) -> None:
        """Adds to `bootstrap.toml`."""
        with self.config.open("a") as config:
            config.write(f"{line}\n")

    def x(self, *arguments: str, **more: Any) -> subprocess.Popen[bytes]:
        """Starts `./x` as a person does in a terminal."""
        log = (self.home / "terminal.log").open("ab")
        with log:
            streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
            return subprocess.Popen([ROOT / "x", *arguments], cwd=self.workspace, env=self.environment, **(streams | more))

    def printed(self, *arguments: str) -> str:
        """What `./x` prints."""
        done = subprocess.run(
            [ROOT / "x", *arguments],
            cwd=self.workspace,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise Failure(f"./x {' '.join(arguments)} ended with {done.returncode}: {done.stderr}")
        return done.stdout

    def editor(self, options: dict[str, Any]) -> Client:
        """Starts rust-analyzer with a file open, and waits until it has shown that file's error."""
        log = self.home / "rust-analyzer.log"
        client = Client([str(RUST_ANALYZER)], self.workspace, self.environment, options, log)
        self._clients.append(client)
        client.open(BROKEN)
        client.until("the workspace is loaded", lambda: client.quiescent)
        client.until("the error is shown", lambda: len(client.errors(BROKEN)) == 1)
        client.until("no check runs", lambda: client.begun == client.ended > 0)
        self.until("no session is left", lambda: not self.sessions())
        return client

    def sessions(self) -> list[dict[str, Any]]:
        """The records of the sessions, the oldest first."""
        records = []
        for path in (self.build / "session").glob("[0-9]*.json"):
            # A session may end between the two, and a record that is being created may still be empty.
            with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
                records.append(json.loads(path.read_text()))
        return sorted(records, key=lambda record: int(record["ticket"]))

    def session(self, label: str, state: str) -> dict[str, Any] | None:
        """The session of a command in a state, if there is one."""
        found = [one for one in self.sessions() if one["label"] == label and one["state"] == state]
        return found[0] if found else None

    def locks(self) -> list[str]:
        """The files that a session leaves behind if nobody cleans up."""
        folder = self.build / "session"
        return sorted(path.name for path in folder.glob("[0-9]*"))

    def processes(self) -> dict[int, str]:
        """All processes that descend from this project's commands, but for this program."""
        found = {}
        mark = f"{MARK}={self.home}".encode()
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                if mark in (folder / "environ").read_bytes().split(b"\0"):
                    found[int(folder.name)] = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except (FileNotFoundError, ProcessLookupError, PermissionError):
                continue
        return found

    def until(self, what: str, is_so: Callable[[], object], seconds: float = STUCK_SECONDS) -> None:
        """Waits for what no message tells: a file, or the end of somebody else's process."""
        end = time.monotonic() + seconds
        while not is_so():
            if time.monotonic() > end:
                raise Failure(f"it never comes true that {what}; {self.processes()} {self.sessions()}")
            time.sleep(0.002)

    def said(self) -> str:
        """What was written to the terminal and by rust-analyzer, for a report of a failure."""
        logs = (self.home / "terminal.log", self.home / "rust-analyzer.log")
        return "".join(f"--- {log.name}\n{log.read_text()[-3000:]}" for log in logs if log.exists())

    def close(self) -> None:
        """Ends what still runs, and removes all."""
        for client in self._clients:
            if client.process.poll() is None:
                client.kill()
        for pid in self.processes():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.gate.close()
        shutil.rmtree(self.home, ignore_errors=True)
