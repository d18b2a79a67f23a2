"""A source tree of its own for each test: the real launcher and driver, a small workspace, and a toolchain to download.

The toolchain's tools are scripts that hand over to the installed ones. Its cargo "builds" the driver by copying the one
that was built from this tree, so that a round from an empty build directory costs tenths of a second.
"""

from __future__ import annotations

import functools
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

from dist_server import DistServer, archive, sha256

SOURCE_ROOT = Path(__file__).resolve().parents[2]
FULL = os.environ.get("STAGE0_FULL") == "1"
STUCK_SECONDS = 300
DATE = "2026-04-16"

# Each tool says which toolchain it is of, and hands over. At the gate it waits to be let on, once.
TOOL = """\
#!/bin/sh
if [ -n "$STAGE0_LOG" ]; then echo "{label} {tool} $*" >> "$STAGE0_LOG"; fi
if [ "$STAGE0_GATE" = "{tool} $1 $2" ]; then echo at the gate > "started.$1"; read answer < "go.$1"; fi
"""
BUILD_DRIVER = """\
case "$*" in *--package=bootstrap*)
    for word; do case $word in --target-dir=*) target=${{word#*=}} ;; esac; done
    mkdir -p "$target/driver" && cp "{driver}" "$target/driver/bootstrap" || exit 1
    echo "{{\\"reason\\":\\"compiler-artifact\\",\\"executable\\":\\"$target/driver/bootstrap\\"}}"
    exit ;;
esac
"""
HAND_OVER = 'exec "{real}" "$@"\n'
TOOLS = {
    "cargo": ["cargo"],
    "clippy": ["cargo-clippy", "clippy-driver"],
    "rust-std": [],
    "rustc": ["rustc"],
    "rustfmt": ["cargo-fmt", "rustfmt"],
}
BASE = ("cargo", "rust-std", "rustc")

# Test-only: what the launcher's copy is given to show that the rounds fail without what they are a test of.
WITHOUT_STAGING = '''

@contextlib.contextmanager
def staged(config: Configuration, place: str) -> Iterator[str]:
    """Makes things in place."""
    os.makedirs(place, exist_ok=True)
    yield place
'''


class Checkout:
    """A source tree in `top`, with archives on a server that the test starts."""

    def __init__(self, top: Path, files: dict[str, bytes] | None = None, driver: Path | None = None) -> None:
        self.top, self.root = top, top / "root"
        self.build, self.log = self.root / "build", top / "log"
        self.driver = driver or built_driver()
        launcher = self.root / "src" / "bootstrap"
        (launcher / "src").mkdir(parents=True)
        shutil.copy(SOURCE_ROOT / "x.py", self.root)
        for module in (SOURCE_ROOT / "src" / "bootstrap").glob("*.py"):
            shutil.copy(module, launcher)
        shutil.copytree(SOURCE_ROOT / "src" / "bootstrap" / "editor", launcher / "editor")
        (launcher / "src" / "main.rs").write_text("//! Stands for the driver's sources.\n")
        (self.root / "src" / "buildlock").mkdir()
        for name in ("Cargo.toml", "Cargo.lock", "src/bootstrap/Cargo.toml", "src/buildlock/Cargo.toml"):
            (self.root / name).write_text("")
        package = top / "ws" / "app"
        (package / "src").mkdir(parents=True)
        (top / "ws" / "Cargo.toml").write_text('[workspace]\nresolver = "3"\nmembers = ["app"]\n')
        fields = 'name = "app"\nversion = "1.0.0"\nedition = "2024"\nlicense = "MIT"\n'
        (package / "Cargo.toml").write_text(f"[package]\n{fields}")
        (package / "src" / "lib.rs").write_text("//! A fixture.\n\n/// Two.\npub fn two() -> u32 {\n    2\n}\n")
        self.server = DistServer({} if files is None else files)
        self.environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(top),
            "CARGO_HOME": os.environ.get("CARGO_HOME", str(Path.home() / ".cargo")),
            "STAGE0_LOG": str(self.log),
            "no_proxy": "*",
        }
        settings = ['build.stage0 = "download"', 'build.workspaces = ["../ws"]', 'build.job-pool = "build-dir"']
        (self.root / "bootstrap.toml").write_text("\n".join([*settings, f'build.dist-server = "{self.server.url}"\n']))

    def tool(self, name: str, label: str) -> bytes:
        """A program of the toolchain called `label`."""
        text = TOOL + (BUILD_DRIVER if name == "cargo" else "") + HAND_OVER
        return text.format(label=label, tool=name, driver=self.driver, real=installed(name)).encode()

    def release(self, label: str, **others: dict[str, bytes]) -> dict[str, bytes]:
        """Serves a toolchain, and pins it; gives its archives by their path. `others` are more files of a component."""
        made = {}
        for component, tools in TOOLS.items():
            files = {f"bin/{tool}": self.tool(tool, label) for tool in tools} | others.get(component, {})
            if component == "rust-std":
                files |= {f"lib/{label}-{number}.rlib": os.urandom(100_000) for number in range(5)}
            name = f"{component}-1.95.0-{host()}"
            made[f"/dist/{DATE}/{name}.tar.xz"] = archive(name, component, files)
        self.server.files |= made
        self.pin(made)
        return made

    def pin(self, made: dict[str, bytes]) -> None:
        """Writes `src/stage0`, as a `git pull` would."""
        values = {"dist-server": "http://127.0.0.1:9", "channel": "stable", "version": "1.95.0", "date": DATE}
        values |= {"rust-version": "1.95"} | {path[1:]: sha256(content) for path, content in made.items()}
        new = self.root / "src" / "stage0.new"
        new.write_text("".join(f"{key}={value}\n" for key, value in values.items()))
        new.replace(self.root / "src" / "stage0")

    def without_guards(self) -> None:
        """Switches off what keeps two runs apart: the locks, and the staging folder."""
        with (self.root / "bootstrap.toml").open("a") as settings:
            settings.write('build.lock-mode = "off"\n')
        with (self.root / "src" / "bootstrap" / "provision.py").open("a") as module:
            module.write(WITHOUT_STAGING)

    def command(self, *arguments: str) -> list[str]:
        """The command line of `./x`."""
        return [sys.executable, "-I", "-S", str(self.root / "x.py"), *arguments]

    def start(self, *arguments: str, before: tuple[str, ...] = (), **environment: str) -> subprocess.Popen[str]:
        """Starts `./x`, as the last words of the command `before`, if there is one."""
        return subprocess.Popen(
            [*before, *self.command(*arguments)],
            cwd=self.top,
            env=self.environment | environment,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def toolchains(self, cache: Path | None = None) -> list[Path]:
        """What is in place."""
        return sorted((cache or self.build / "cache").joinpath("stage0").glob("*"))

    def logged(self) -> list[str]:
        """The calls of the toolchains' tools so far."""
        return self.log.read_text().splitlines() if self.log.exists() else []


class Case(unittest.TestCase):
    """A test with a checkout whose server runs."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.top = Path(folder.name).resolve()
        self.checkout = self.checkout_in(self.top / "one")

    def checkout_in(self, top: Path) -> Checkout:
        """One more checkout."""
        made = Checkout(top)
        self.enterContext(made.server)
        return made

    def end(self, process: subprocess.Popen[str], code: int = 0) -> str:
        """Waits for a process; gives what it said on standard error."""
        return self.end_all([process], code)

    def end_all(self, processes: list[subprocess.Popen[str]], code: int = 0) -> str:
        """Waits for all of them, even if one fails; gives what they said on standard error."""
        said = [process.communicate(timeout=STUCK_SECONDS) for process in processes]
        for process, (out, err) in zip(processes, said, strict=True):
            self.assertEqual(process.returncode, code, f"{process.args!r}\n--- stdout\n{out}\n--- stderr\n{err}")
        return "".join(err for _, err in said)

    def x(self, *arguments: str, code: int = 0) -> str:
        """Runs `./x` to its end."""
        return self.end(self.checkout.start(*arguments), code)

    def start_held(self, *arguments: str) -> subprocess.Popen[str]:
        """Starts a `check` or a `build` whose cargo waits at the gate until `let_on` is called."""
        command = arguments[0]
        for pipe in (self.pipe("started", command), self.pipe("go", command)):
            if not pipe.exists():
                os.mkfifo(pipe)
        run = self.checkout.start(*arguments, STAGE0_GATE=f"cargo {command} --manifest-path")
        started = os.open(self.pipe("started", command), os.O_RDONLY | os.O_NONBLOCK)
        with open(started, "rb", buffering=0) as file:
            self.assertTrue(select.select([file], [], [], STUCK_SECONDS)[0], "no cargo has come to the gate")
            file.read()
        return run

    def let_on(self, command: str) -> None:
        """Opens the gate for one command."""
        self.pipe("go", command).write_text("go\n")

    def pipe(self, what: str, command: str) -> Path:
        """A named pipe at the gate."""
        return self.checkout.top / "ws" / f"{what}.{command}"

    def assert_clean(self, cache: Path) -> None:
        """Nothing half done is left."""
        self.assertEqual(list(cache.glob("staging/*")), [])
        self.assertEqual(list(cache.parent.rglob("*.holder.json")), [])


def contents(tree: Path) -> dict[str, tuple[int, str]]:
    """Mode, and sum or target, of each file and link below a folder."""
    found = {}
    for path in sorted(tree.rglob("*")):
        if path.is_symlink():
            found[path.relative_to(tree).as_posix()] = (0, str(path.readlink()))
        elif path.is_file():
            found[path.relative_to(tree).as_posix()] = (path.stat().st_mode, sha256(path.read_bytes()))
    return found


def host() -> str:
    """The triple of this machine, as the launcher finds it."""
    system = "apple-darwin" if sys.platform == "darwin" else "unknown-linux-gnu"
    return f"{ {'arm64': 'aarch64'}.get(os.uname().machine, os.uname().machine) }-{system}"


@functools.cache
def sysroot() -> Path:
    """The installed toolchain's folder."""
    return Path(subprocess.check_output(["rustc", "--print=sysroot"], cwd=SOURCE_ROOT, text=True).strip())


def installed(tool: str) -> str:
    """The path of an installed tool."""
    path = sysroot() / "bin" / tool
    return str(path) if path.exists() else shutil.which(tool) or f"{tool} is not installed"


@functools.cache
def built_driver() -> Path:
    """The driver of this tree; cargo is asked for it, since it knows whether it is current."""
    command = ["cargo", "build", "--quiet", "--package=bootstrap", "--message-format=json"]
    said = subprocess.check_output(command, cwd=SOURCE_ROOT, text=True)
    paths = [str(json.loads(line).get("executable")) for line in said.splitlines()]
    built = next(Path(path) for path in paths if Path(path).name == "bootstrap")
    # Without what a debugger needs, since each round copies it.
    small = built.with_name("bootstrap.stripped")
    if not small.exists() or small.stat().st_mtime_ns < built.stat().st_mtime_ns:
        aside = built.with_name(f"bootstrap.stripped.{os.getpid()}")
        subprocess.check_call(["strip", "-o", aside, built])
        aside.replace(small)
    return small
