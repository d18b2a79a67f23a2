"""Finds the rustc and cargo that compile the driver, and its place. With nothing changed this starts neither of them."""

import hashlib
import os
import sys

from configuration import ENVIRONMENT, Configuration, Failure

SYSTEMS = {"linux": "unknown-linux-gnu", "darwin": "apple-darwin", "win32": "pc-windows-msvc"}
MACHINES = {"arm64": "aarch64", "ARM64": "aarch64", "AMD64": "x86_64", "x86": "i686", "i386": "i686"}
EXE = ".exe" if sys.platform == "win32" else ""

# What the driver is made of: these files, and below these folders whatever ends like this.
FILES = ("Cargo.lock", "Cargo.toml", "src/bootstrap/Cargo.toml", "src/buildlock/Cargo.toml")
FOLDERS = ("src/bootstrap/defaults", "src/bootstrap/src", "src/buildlock/src")
ENDS = (".rs", ".toml", ".md")


class Pin:
    """What `src/stage0`, whose header tells the format, pins for the host that we run on."""

    def __init__(self, config: Configuration) -> None:
        with open(os.path.join(config.root, "src", "stage0"), encoding="utf-8") as file:
            values = dict(line.strip().partition("=")[::2] for line in file)
        machine = os.environ.get("PROCESSOR_ARCHITECTURE", "") if sys.platform == "win32" else os.uname().machine
        host = f"{MACHINES.get(machine, machine)}-{SYSTEMS.get(sys.platform, sys.platform)}"
        paths = [f"dist/{values['date']}/{name}-{values['version']}-{host}.tar.xz" for name in ("cargo", "rust-std", "rustc")]
        # Each archive's path on the server with its sum, none where nothing is pinned for this host.
        self.archives = {path: values.get(path, "") for path in paths}
        # An unpacked toolchain's place is named after the sums of what is in it, so no place is ever written twice.
        content = f"{host}\n" + "".join(f"{os.path.basename(path)} {total}\n" for path, total in self.archives.items())
        self.place = os.path.join(config.cache_dir, "stage0", hashlib.sha256(content.encode()).hexdigest()[:16])
        self.rustc = [os.path.join(self.place, "bin", f"rustc{EXE}"), f"rustc {values['version']}", host]
        self.oldest, self.dist_server = f"rustc {values['rust-version']}", values["dist-server"]


def find(config: Configuration) -> tuple[str, dict[str, str]]:
    """The place of the driver for these sources and the configured toolchain, and what it is told by its environment."""
    pin = Pin(config)
    is_chosen = config.rustc or config.stage0 == "local"
    found = probe(config) if is_chosen or config.stage0 == "auto" else []
    if is_chosen and not found:
        name = config.rustc or "rustc"
        raise Failure(ENVIRONMENT, f'{name} is not there, or does not run: install Rust, or set build.stage0 = "download"')
    is_local = is_chosen or (found and release(found[1]) >= release(pin.oldest))
    rustc, version, host = found if is_local else pin.rustc
    cargo = which(config.cargo or os.path.join(os.path.dirname(rustc), "cargo")) or which(config.cargo or "cargo")
    sources = fingerprint(config.root, rustc, version)
    told = {"BOOTSTRAP_ROOT": config.root, "BOOTSTRAP_BUILD_DIR": config.build_dir, "BOOTSTRAP_FINGERPRINT": sources}
    told |= {"BOOTSTRAP_RUSTC": rustc, "BOOTSTRAP_RUSTC_VERSION": version, "BOOTSTRAP_HOST": host, "BOOTSTRAP_CARGO": cargo}
    told |= {"BOOTSTRAP_STAGE0": "local" if is_local else os.path.basename(pin.place), "BOOTSTRAP_PYTHON": sys.executable}
    told |= {"BOOTSTRAP_REFUSED": config.refused}
    return os.path.join(config.cache_dir, "driver", sources, f"bootstrap{EXE}"), told


def probe(config: Configuration) -> list[str]:
    """The real path, the version line and the host of the user's rustc; nothing when it does not run.

    The answer is kept for as long as the files do not change by which rustup's proxies, and any rustc, come to theirs.
    """
    path = which(config.rustc or "rustc")
    if not path:
        return []
    rustup = os.environ.get("RUSTUP_HOME") or os.path.expanduser("~/.rustup")
    above = [config.root.rsplit(os.sep, up)[0] for up in range(config.root.count(os.sep) + 1)]
    files = [f"{folder}{os.sep}rust-toolchain{end}" for folder in above for end in ("", ".toml")]
    inputs = [os.environ.get("RUSTUP_TOOLCHAIN", ""), *map(stamp, [path, os.path.join(rustup, "settings.toml"), *files])]
    kept = os.path.join(config.build_dir, f"rustc-{hashlib.sha256(os.fsencode(path)).hexdigest()[:8]}.probe")
    if os.path.exists(kept):
        with open(kept, encoding="utf-8", errors="surrogateescape") as file:
            known = file.read().split("\n")
        if known[3:] == [*inputs, stamp(known[0])]:
            return known[:3]
    import subprocess

    try:
        # Two questions, because the first answer leaves no room for another.
        questions = ([path, "-vV"], [path, "--print=sysroot"])
        answers = [subprocess.run(asked, cwd=config.root, capture_output=True, check=True, text=True) for asked in questions]
        said, sysroot = [answer.stdout for answer in answers]
        version, host = said.splitlines()[0], said.split("\nhost: ")[1].splitlines()[0]
        release(version)
    except (OSError, ValueError, LookupError, subprocess.CalledProcessError):
        return []
    # A proxy has rustup beside it. Any other rustc is taken as it is, be it a wrapper.
    proxied = which(os.path.join(os.path.dirname(path), "rustup")) and which(os.path.join(sysroot.strip(), "bin", "rustc"))
    known = [proxied or path, version, host]
    os.makedirs(config.build_dir, exist_ok=True)
    with open(kept, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write("\n".join([*known, *inputs, stamp(known[0])]))
    return known


def fingerprint(root: str, rustc: str, version: str) -> str:
    """The fingerprint of these sources and this rustc. The driver computes it, too, and says how (`relaunch.rs`)."""
    paths = list(FILES)
    for top in FOLDERS:
        for folder, _, names in os.walk(os.path.join(root, top)):
            below = folder[len(root) + 1 :].replace(os.sep, "/")
            paths += [f"{below}/{name}" for name in names if name.endswith(ENDS) and not name.startswith(".")]
    entries = []
    for path in sorted(paths):
        with open(os.path.join(root, path), "rb") as file:
            entries.append((os.fsencode(path), file.read()))
    entries.append((b"rustc", os.fsencode(f"{rustc}\0{version}")))
    return hashlib.sha256(b"".join(b"%b\0%d\0%b" % (path, len(text), text) for path, text in entries)).hexdigest()


def which(name: str) -> str:
    """The absolute path of a program, a bare name's as PATH finds it; empty when there is none."""
    folders = [""] if os.path.dirname(name) else os.environ.get("PATH", os.defpath).split(os.pathsep)
    paths = [os.path.join(folder, name + end) for folder in folders for end in (EXE, "")]
    return next((os.path.abspath(path) for path in paths if os.path.isfile(path) and os.access(path, os.X_OK)), "")


def stamp(path: str) -> str:
    """A text that changes whenever the file behind `path` does."""
    if not os.path.exists(path):
        return "absent"
    status = os.stat(path)
    return f"{os.path.realpath(path)} {status.st_mtime_ns} {status.st_size} {status.st_ino}"


def release(version: str) -> list[int]:
    """The numbers in a version line: [1, 95, 0] of `rustc 1.95.0-nightly (…)`."""
    return [int(part) for part in version.split()[1].partition("-")[0].split(".")]
