"""stage0: the pinned toolchain, in `<cache-dir>/stage0/<key>/`, whole or not there.

The key stands for the sums of what was unpacked, so no place is written twice and nothing in use is ever replaced. What
goes into the cache is made in `<cache-dir>/staging/` and renamed: whoever dies in the middle leaves rubbish there, and only
there. `src/stage0` holds the pin; its header is the format.
"""

from __future__ import annotations

import contextlib
import os
import sys

from failure import EXIT_ENVIRONMENT, Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

COMPONENTS = ("cargo", "rust-std", "rustc")
SYSTEMS = {"linux": "unknown-linux-gnu", "darwin": "apple-darwin", "win32": "pc-windows-msvc"}
MACHINES = {"arm64": "aarch64", "ARM64": "aarch64", "AMD64": "x86_64", "x86": "i686", "i386": "i686"}


class Pin:
    """What `src/stage0` pins for the host that we run on."""

    def __init__(self, root: str) -> None:
        with open(os.path.join(root, "src", "stage0"), encoding="utf-8") as file:
            values = dict(line.strip().split("=", 1) for line in file if "=" in line and not line.startswith("#"))
        machine = os.uname().machine if sys.platform != "win32" else os.environ.get("PROCESSOR_ARCHITECTURE", "")
        self.host = f"{MACHINES.get(machine, machine)}-{SYSTEMS.get(sys.platform, sys.platform)}"
        try:
            self.rust_version, self.dist_server = values["rust-version"], values["dist-server"]
            folder = f"dist/{values['date']}"
            names = [f"{component}-{values['version']}-{self.host}.tar.xz" for component in COMPONENTS]
        except KeyError as error:
            raise Failure(EXIT_ENVIRONMENT, f"src/stage0 has no {error}: restore it, or see ./x bump-stage0") from None
        # The path on the server and the sum of each archive.
        self.archives = {f"{folder}/{name}": values.get(f"{folder}/{name}") for name in names}

    def place(self, cache_dir: str) -> str:
        """Where the toolchain lies; the key is the start of a SHA-256 over host and sums."""
        import hashlib

        lines = [self.host, *(f"{path.rpartition('/')[2]} {total}" for path, total in self.archives.items())]
        key = hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()[:16]
        return os.path.join(cache_dir, "stage0", key)

    def install(self, cache_dir: str, server: str) -> None:
        """Downloads and unpacks the toolchain. The cache lock must be held."""
        import download
        import unpack

        paths = []
        for name, total in self.archives.items():
            if not total:
                advice = 'install Rust yourself and set build.stage0 = "local"'
                raise Failure(EXIT_ENVIRONMENT, f"src/stage0 pins no {name}, so there is none for this host; {advice}")
            paths.append(os.path.join(cache_dir, "downloads", name.rpartition("/")[2]))
            download.ensure(f"{server.rstrip('/')}/{name}", paths[-1], total)
        with staged(cache_dir) as tree:
            unpack.unpack(paths, tree)
            if hasattr(os, "sync"):
                os.sync()  # once for all files: fsync of each would take minutes
            settle(tree, self.place(cache_dir))


@contextlib.contextmanager
def staged(cache_dir: str) -> Iterator[str]:
    """A new folder of our own below `staging`; what is still there at the end is removed."""
    import shutil

    folder = os.path.join(cache_dir, "staging", os.urandom(8).hex())
    os.makedirs(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def settle(folder: str, place: str) -> None:
    """Renames a staged folder to its content-addressed place; one that is there already is as good."""
    os.makedirs(os.path.dirname(place), exist_ok=True)
    try:
        os.rename(folder, place)
    except OSError:
        if not os.path.isdir(place):
            raise


def store(cache_dir: str, executable: str, place: str) -> None:
    """Copies the driver that cargo built to its place: cargo will write over its own."""
    import shutil

    with staged(cache_dir) as folder:
        copy = shutil.copy2(executable, os.path.join(folder, os.path.basename(place)))
        with open(copy, "rb+") as file:
            os.fsync(file.fileno())
        settle(folder, os.path.dirname(place))


def sweep(cache_dir: str) -> None:
    """Removes what killed runs have left. The cache lock must be held: it is what tells theirs from a living one's."""
    import shutil

    shutil.rmtree(os.path.join(cache_dir, "staging"), ignore_errors=True)
