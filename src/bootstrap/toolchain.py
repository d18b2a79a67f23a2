"""Finds the rustc and cargo that compile the driver, and its place. With nothing changed this starts neither of them."""

import hashlib
import os
import sys

from configuration import Configuration
from failure import Failure

COMPONENTS = ("cargo", "rust-std", "rustc")
SYSTEMS = {"linux": "unknown-linux-gnu", "darwin": "apple-darwin", "win32": "pc-windows-msvc"}
MACHINES = {"arm64": "aarch64", "ARM64": "aarch64", "AMD64": "x86_64", "x86": "i686", "i386": "i686"}
EXE = ".exe" if sys.platform == "win32" else ""

# What the driver is made of: these files, and below these folders whatever ends like this.
FILES = ("Cargo.lock", "Cargo.toml", "src/bootstrap/Cargo.toml", "src/buildlock/Cargo.toml")
SOURCES = (".rs", ".toml", ".md")
FOLDERS = {"src/bootstrap/src": SOURCES, "src/buildlock/src": SOURCES, "src/bootstrap/defaults": ("",)}

# What the driver is told of the tools and itself, by the names of the environment variables that tell it.
Toolchain = dict[str, str]


class Pin:
    """What `src/stage0`, whose header tells the format, pins for the host that we run on."""

    def __init__(self, config: Configuration) -> None:
        with open(os.path.join(config.root, "src", "stage0"), encoding="utf-8") as file:
            values = dict(line.strip().split("=", 1) for line in file if "=" in line and not line.startswith("#"))
        machine = os.environ.get("PROCESSOR_ARCHITECTURE", "") if sys.platform == "win32" else os.uname().machine
        host = f"{MACHINES.get(machine, machine)}-{SYSTEMS.get(sys.platform, sys.platform)}"
        try:
            self.rust_version, self.dist_server = values["rust-version"], values["dist-server"]
            paths = [f"dist/{values['date']}/{component}-{values['version']}-{host}.tar.xz" for component in COMPONENTS]
        except KeyError as error:
            raise Failure(f"src/stage0 has no {error}: restore it, or see ./x bump-stage0") from None
        # Each archive's path on the server with its sum, none where nothing is pinned for this host.
        self.archives = {path: values.get(path, "") for path in paths}
        # An unpacked toolchain's place is named after the sums of what is in it, so no place is ever written twice.
        content = f"{host}\n" + "".join(f"{os.path.basename(path)} {total}\n" for path, total in self.archives.items())
        self.place = os.path.join(config.cache_dir, "stage0", hashlib.sha256(content.encode()).hexdigest()[:16])


def find(config: Configuration) -> Toolchain | None:
    """The toolchain that configuration asks for; None when stage0 has to be downloaded for it."""
    pin, name, stage0 = Pin(config), config.rustc or "rustc", "local"
    is_chosen = config.rustc or config.stage0 == "local"
    found = probe(config, name) if is_chosen or config.stage0 == "auto" else None
    if not is_chosen and (not found or release(found[1]) < release(f"- {pin.rust_version}")):
        name, stage0 = os.path.join(pin.place, "bin", f"rustc{EXE}"), os.path.basename(pin.place)
        if not os.path.exists(name):
            return None
        found = probe(config, name)
    if not found:
        advice = 'install Rust, or set build.rustc, or build.stage0 = "download"'
        raise Failure(f"{name} is not there, or does not run: {advice}")
    rustc, version, host = found
    cargo = which(config.cargo or os.path.join(os.path.dirname(rustc), f"cargo{EXE}")) or which(config.cargo or "cargo")
    if not cargo:
        raise Failure(f"{config.cargo or 'cargo'} is not there: install it, or set build.cargo")
    tools = {"BOOTSTRAP_RUSTC": rustc, "BOOTSTRAP_RUSTC_VERSION": version, "BOOTSTRAP_HOST": host, "BOOTSTRAP_CARGO": cargo}
    return tools | {"BOOTSTRAP_STAGE0": stage0, "BOOTSTRAP_FINGERPRINT": fingerprint(config.root, rustc, version)}


def probe(config: Configuration, name: str) -> tuple[str, str, str] | None:
    """The real path, the version line and the host of a rustc; None when it does not run.

    rustup's rustc is a proxy: what it stands for depends on its variables, its settings and the toolchain files of the source
    root and the folders above. The answer is kept in the build directory with the stamps of all these and of the rustc that was
    found, and holds while none has changed. (What another manager's proxies go by is not known here.)
    """
    path = which(name)
    if not path:
        return None
    home = os.environ.get("RUSTUP_HOME") or os.path.join(os.path.expanduser("~"), ".rustup")
    inputs = [stamp(path), os.environ.get("RUSTUP_TOOLCHAIN", ""), stamp(os.path.join(home, "settings.toml"))]
    folder, below = config.root, ""
    while folder != below:
        inputs += [stamp(os.path.join(folder, file)) for file in ("rust-toolchain", "rust-toolchain.toml")]
        folder, below = os.path.dirname(folder), folder
    kept = os.path.join(config.build_dir, f"rustc-{hashlib.sha256(os.fsencode(path)).hexdigest()[:8]}.probe")
    try:
        with open(kept, encoding="utf-8") as file:
            *known, rustc, version, host = file.read().split("\n")
        if known == [*inputs, stamp(rustc)]:
            return rustc, version, host
    except (OSError, ValueError):
        pass  # never asked, or not by this version of ours
    import subprocess

    try:
        # Two questions, because the first answer leaves no room for another.
        questions = ([path, "-vV"], [path, "--print=sysroot"])
        said = [subprocess.check_output(asked, cwd=config.root, stderr=subprocess.DEVNULL, text=True) for asked in questions]
        version, *more = said[0].splitlines()
        host = next(line.removeprefix("host: ") for line in more if line.startswith("host: "))
        release(version)
    except (OSError, ValueError, LookupError, StopIteration, subprocess.CalledProcessError):
        return None
    # A proxy has rustup beside it. Any other rustc is taken as it is, be it a wrapper.
    proxied = which(os.path.join(os.path.dirname(path), "rustup")) and which(os.path.join(said[1].strip(), "bin", "rustc"))
    rustc = proxied or path
    os.makedirs(config.build_dir, exist_ok=True)
    with open(f"{kept}.{os.getpid()}", "w", encoding="utf-8") as file:
        file.write("\n".join([*inputs, stamp(rustc), rustc, version, host]))
    os.replace(file.name, kept)
    return rustc, version, host


def driver_path(config: Configuration, tools: Toolchain) -> str:
    """Where the driver lies that the sources and this rustc make."""
    return os.path.join(config.cache_dir, "driver", tools["BOOTSTRAP_FINGERPRINT"], f"bootstrap{EXE}")


def fingerprint(root: str, rustc: str, version: str) -> str:
    """The fingerprint of these sources and this rustc, which the driver computes, too.

    It is the SHA-256 over an entry for each file, `path NUL length-of-content NUL content`, sorted by path, and one for rustc.
    Absent and hidden files are passed over (editors make such).
    """
    paths = list(FILES)
    for top, ends in FOLDERS.items():
        for folder, _, names in os.walk(os.path.join(root, top)):
            below = folder[len(root) + 1 :].replace(os.sep, "/")
            paths += [f"{below}/{name}" for name in names if name.endswith(ends) and not name.startswith(".")]
    entries = []
    for path in sorted(paths):
        try:
            with open(os.path.join(root, path), "rb") as file:
                entries.append((os.fsencode(path), file.read()))
        except FileNotFoundError:
            pass
    entries.append((b"rustc", os.fsencode(f"{rustc}\0{version}")))
    return hashlib.sha256(b"".join(b"%b\0%d\0%b" % (path, len(text), text) for path, text in entries)).hexdigest()


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
