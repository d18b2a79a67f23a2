"""Finds the rustc and cargo that compile the driver, without starting either when nothing has changed."""

import os
import sys

from configuration import Configuration
from failure import Failure

COMPONENTS = ("cargo", "rust-std", "rustc")
SYSTEMS = {"linux": "unknown-linux-gnu", "darwin": "apple-darwin", "win32": "pc-windows-msvc"}
MACHINES = {"arm64": "aarch64", "ARM64": "aarch64", "AMD64": "x86_64", "x86": "i686", "i386": "i686"}
EXE = ".exe" if sys.platform == "win32" else ""

# What a kept probe says, and how it was found out: an answer of an older launcher is asked for anew.
PROBE_FORMAT = "3"


class Pin:
    """What `src/stage0`, whose header tells the format, pins for the host that we run on."""

    def __init__(self, config: Configuration) -> None:
        with open(os.path.join(config.root, "src", "stage0"), encoding="utf-8") as file:
            values = dict(line.strip().split("=", 1) for line in file if "=" in line and not line.startswith("#"))
        if sys.platform == "win32":
            machine = os.environ.get("PROCESSOR_ARCHITECTURE", "")
        else:
            machine = os.uname().machine
        host = f"{MACHINES.get(machine, machine)}-{SYSTEMS.get(sys.platform, sys.platform)}"
        try:
            self.rust_version, self.dist_server = values["rust-version"], values["dist-server"]
            folder, version = f"dist/{values['date']}", values["version"]
        except KeyError as error:
            raise Failure(f"src/stage0 has no {error}: restore it, or see ./x bump-stage0") from None
        names = [f"{component}-{version}-{host}.tar.xz" for component in COMPONENTS]
        # Each archive's path on the server with its sum, none where nothing is pinned for this host.
        self.archives = {f"{folder}/{name}": values.get(f"{folder}/{name}", "") for name in names}
        # An unpacked toolchain's place is named after the sums of what is in it, so no place is ever written twice.
        lines = [host, *(f"{path.rpartition('/')[2]} {total}" for path, total in self.archives.items())]
        key = sha256("".join(f"{line}\n" for line in lines).encode())[:16]
        self.place = os.path.join(config.cache_dir, "stage0", key)


class Toolchain:
    """Absolute paths of the tools, what rustc says of itself, and the key of their stage0 (or `local`)."""

    def __init__(self, rustc: str, cargo: str, version: str, host: str, stage0: str) -> None:
        self.rustc, self.cargo, self.version, self.host, self.stage0 = rustc, cargo, version, host, stage0


def find(config: Configuration) -> Toolchain | None:
    """The toolchain that configuration asks for; None when stage0 has to be downloaded for it."""
    pin, stage0, told = Pin(config), "local", None
    if config.rustc or config.stage0 == "local":
        told = probe(config, config.rustc or "rustc")
        if not told:
            advice = 'install Rust, or set build.rustc, or build.stage0 = "download"'
            raise Failure(f"{config.rustc or 'rustc'} is not there, or does not run: {advice}")
    elif config.stage0 == "auto":
        told = probe(config, "rustc")
    if not told or (
        config.stage0 == "auto" and not config.rustc and release(told[1]) < release(f"- {pin.rust_version}")
    ):
        stage0, rustc = os.path.basename(pin.place), os.path.join(pin.place, "bin", f"rustc{EXE}")
        if not os.path.exists(rustc):
            return None
        told = probe(config, rustc)
        if not told:
            raise Failure(f"{rustc} does not run on this machine: set build.rustc to one that does")
    rustc, version, host = told
    beside = os.path.join(os.path.dirname(rustc), f"cargo{EXE}")
    cargo = which(config.cargo or beside) or which(config.cargo or "cargo")
    if not cargo:
        raise Failure(f"{config.cargo or 'cargo'} is not there: install it, or set build.cargo")
    return Toolchain(rustc, cargo, version, host, stage0)


def probe(config: Configuration, name: str) -> tuple[str, str, str] | None:
    """The real path, the version line and the host of a rustc; None when it does not run.

    rustup's rustc is a proxy: what it stands for depends on its variables, its settings and the toolchain files of the
    source root and the folders above. The answer is kept in the build directory with the stamps of all these and of the
    rustc that was found, and holds while none has changed. (What another manager's proxies go by is not known here.)
    """
    path = which(name)
    if not path:
        return None
    home = os.environ.get("RUSTUP_HOME") or os.path.join(os.path.expanduser("~"), ".rustup")
    settings = os.path.join(home, "settings.toml")
    inputs = [PROBE_FORMAT, stamp(path), os.environ.get("RUSTUP_TOOLCHAIN", ""), stamp(settings)]
    folder, below = config.root, ""
    while folder != below:
        inputs += [stamp(os.path.join(folder, file)) for file in ("rust-toolchain", "rust-toolchain.toml")]
        folder, below = os.path.dirname(folder), folder
    kept = os.path.join(config.build_dir, f"rustc-{sha256(os.fsencode(path))[:8]}.probe")
    try:
        with open(kept, encoding="utf-8") as file:
            *known, rustc, version, host = file.read().split("\n")
        if known == [*inputs, stamp(rustc)]:
            return rustc, version, host
    except (OSError, ValueError):
        pass  # never asked, or not by this version of ours
    import subprocess
    from functools import partial

    try:
        ask = partial(subprocess.check_output, cwd=config.root, stderr=subprocess.DEVNULL, text=True)
        # Two questions, because the first answer leaves no room for another.
        version, *more = ask([path, "-vV"]).splitlines()
        sysroot = ask([path, "--print=sysroot"]).strip()
        host = next(line.removeprefix("host: ") for line in more if line.startswith("host: "))
        release(version)
    except (OSError, ValueError, LookupError, StopIteration, subprocess.CalledProcessError):
        return None
    # A proxy has rustup beside it. Any other rustc is taken as it is, be it a wrapper.
    proxied = which(os.path.join(os.path.dirname(path), "rustup")) and which(os.path.join(sysroot, "bin", "rustc"))
    rustc = proxied or path
    os.makedirs(config.build_dir, exist_ok=True)
    with open(f"{kept}.{os.getpid()}", "w", encoding="utf-8") as file:
        file.write("\n".join([*inputs, stamp(rustc), rustc, version, host]))
    os.replace(file.name, kept)
    return rustc, version, host


def which(name: str) -> str | None:
    """The absolute path of a program: a bare name's as PATH finds it."""
    folders = [""] if os.path.dirname(name) else os.environ.get("PATH", os.defpath).split(os.pathsep)
    for path in (os.path.join(folder, name + end) for folder in folders for end in {"", EXE}):
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return os.path.abspath(path)
    return None


def stamp(path: str) -> str:
    """A text that changes whenever the file behind `path` does."""
    try:
        status = os.stat(path)
    except OSError:
        return "absent"
    return f"{os.path.realpath(path)} {status.st_mtime_ns} {status.st_size} {status.st_ino}"


def release(version: str) -> list[int]:
    """The numbers in a version line: [1, 95, 0] of `rustc 1.95.0-nightly (…)`."""
    return [int(part) for part in version.split()[1].partition("-")[0].split(".")]


def sha256(content: bytes) -> str:
    """The SHA-256 of some bytes, in hexadecimal."""
    import hashlib

    return hashlib.sha256(content).hexdigest()
