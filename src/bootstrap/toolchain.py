"""Finds the rustc and cargo that compile the driver, without starting either when nothing has changed."""

from __future__ import annotations

import os

from failure import EXIT_ENVIRONMENT, Failure
from stage0 import Pin

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from configuration import Configuration

EXE = ".exe" if os.name == "nt" else ""


class Toolchain:
    """Absolute paths of the tools, what rustc says of itself, and the key of their stage0 (or `local`)."""

    def __init__(self, rustc: str, cargo: str, version: str, host: str, stage0: str) -> None:
        self.rustc, self.cargo, self.version, self.host, self.stage0 = rustc, cargo, version, host, stage0


def find(config: Configuration, environment: Mapping[str, str]) -> Toolchain | None:
    """The toolchain that configuration asks for; None when stage0 has to be downloaded for it."""
    pin, stage0, found = Pin(config.root), "local", None
    if config.rustc or config.stage0 != "download":
        found = probe(config.rustc or "rustc", "path", config, environment)
        if not found and (config.rustc or config.stage0 == "local"):
            advice = 'install Rust, or set build.rustc, or build.stage0 = "download"'
            raise Failure(EXIT_ENVIRONMENT, f"{config.rustc or 'rustc'} is not there, or does not run: {advice}")
        if found and config.stage0 == "auto" and not config.rustc and number(found[1]) < number(f"- {pin.rust_version}"):
            found = None
    if not found:
        place = pin.place(config.cache_dir)
        rustc, stage0 = os.path.join(place, "bin", f"rustc{EXE}"), os.path.basename(place)
        if not os.path.exists(rustc):
            return None
        found = probe(rustc, "stage0", config, environment)
        if not found:
            raise Failure(EXIT_ENVIRONMENT, f"{rustc} does not run here: set build.rustc to one that does")
    rustc, version, host = found
    beside = os.path.join(os.path.dirname(rustc), f"cargo{EXE}")
    cargo = config.cargo or (beside if os.path.exists(beside) else "cargo")
    path = which(cargo, environment)
    if not path:
        raise Failure(EXIT_ENVIRONMENT, f"{cargo} is not there: install it, or set build.cargo")
    return Toolchain(rustc, path, version, host, stage0)


def probe(name: str, record: str, config: Configuration, environment: Mapping[str, str]) -> tuple[str, str, str] | None:
    """The real path, version line and host of a rustc; None when it does not run.

    rustup's rustc is a proxy: which toolchain it stands for depends on its variables, its settings and the toolchain files
    of the source root and the folders above. The answer is kept in the build directory, with the stamps of all these and of
    the rustc that was found, and holds as long as none has changed. (What another tool's proxies depend on is not known here.)
    """
    path = which(name, environment)
    if not path:
        return None
    home = environment.get("RUSTUP_HOME") or os.path.join(os.path.expanduser("~"), ".rustup")
    inputs = [path, stamp(path), environment.get("RUSTUP_TOOLCHAIN", ""), stamp(os.path.join(home, "settings.toml"))]
    folder, above = config.root, ""
    while folder != above:
        inputs += [stamp(os.path.join(folder, "rust-toolchain")), stamp(os.path.join(folder, "rust-toolchain.toml"))]
        folder, above = os.path.dirname(folder), folder
    kept = os.path.join(config.build_dir, f"rustc-{record}.probe")
    try:
        with open(kept, encoding="utf-8") as file:
            *known, rustc, rustc_stamp, version, host = file.read().split("\n")
        if known == inputs and rustc_stamp == stamp(rustc):
            return rustc, version, host
    except (OSError, ValueError):
        pass
    import subprocess

    try:
        told = subprocess.run([path, "-vV", "--print=sysroot"], cwd=config.root, env=environment, capture_output=True, text=True)
    except OSError:
        return None
    lines = told.stdout.splitlines()
    hosts = [line.removeprefix("host: ") for line in lines if line.startswith("host: ")]
    if told.returncode != 0 or not hosts:
        return None
    rustc = os.path.join(lines[-1], "bin", f"rustc{EXE}")
    if not os.path.exists(rustc):  # an old rustc, or a wrapper, that does not print its sysroot
        rustc = path
    os.makedirs(config.build_dir, exist_ok=True)
    with open(f"{kept}.{os.getpid()}", "w", encoding="utf-8") as file:
        file.write("\n".join([*inputs, rustc, stamp(rustc), lines[0], hosts[0]]))
    os.replace(file.name, kept)
    return rustc, lines[0], hosts[0]


def which(name: str, environment: Mapping[str, str]) -> str | None:
    """A bare name's absolute path, as PATH finds it; any other path as it is, when there is such a program."""
    folders = [""] if os.path.isabs(name) else environment.get("PATH", os.defpath).split(os.pathsep)
    for folder in folders:
        for path in (os.path.join(folder, name), os.path.join(folder, name + EXE)):
            if os.path.isfile(path) and os.access(path, os.X_OK):
                return os.path.abspath(path)
    return None


def stamp(path: str) -> str:
    """What changes whenever the file behind `path` does."""
    try:
        status = os.stat(path)
    except OSError:
        return "absent"
    return f"{os.path.realpath(path)} {status.st_mtime_ns} {status.st_size} {status.st_ino}"


def number(version: str) -> tuple[int, ...]:
    """The release in a version line: (1, 95, 0) of `rustc 1.95.0-nightly (…)`."""
    return tuple(int(part) for part in version.split()[1].partition("-")[0].split("."))
