"""Makes what `./x` lacks, under the cache lock: stage0 and the driver.

All that goes into the cache is made in `<cache-dir>/staging/` and renamed to a place that is named after its content. Who dies
in the middle leaves rubbish there, and only there; what is in place is whole, and never changes.
"""

import contextlib
import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator

import cache_lock
import download
import toolchain
import unpack
from configuration import Configuration
from failure import EXIT_FAILED, Failure
from toolchain import EXE, Pin, Toolchain


def provide(config: Configuration, tools: Toolchain | None, arguments: list[str]) -> None:
    """Makes what is missing next, which is the driver where there are `tools`. Who had to wait may find it in place."""
    # Checkouts that share a cache need not share their lock folder: such a cache has a lock of its own, taken second.
    shared = not f"{config.cache_dir}{os.sep}".startswith(f"{config.build_dir}{os.sep}")
    folders = dict.fromkeys([config.lock_dir, config.cache_dir] if shared else [config.lock_dir])
    if config.lock_mode == "off":
        print('warning: build.lock-mode is "off": nothing keeps others out of the cache', file=sys.stderr)
        folders = {}
    command, doing = shlex.join(["./x", *arguments]), "building the driver" if tools else "unpacking stage0"
    with contextlib.ExitStack() as locks:
        for folder in folders:
            locks.enter_context(cache_lock.held(folder, config.lock_timeout, command, doing))
        if folders:  # only under the lock is what lies in staging known to be a dead one's
            shutil.rmtree(os.path.join(config.cache_dir, "staging"), ignore_errors=True)
        now = toolchain.find(config)
        if not now:
            install_stage0(config)
        elif tools:
            install_driver(config, now)


def install_stage0(config: Configuration) -> None:
    """Downloads and unpacks the pinned toolchain."""
    pin = Pin(config)
    server = config.dist_server or os.environ.get("RUSTUP_DIST_SERVER") or pin.dist_server
    paths = []
    for name, sha256 in pin.archives.items():
        if not sha256:
            advice = 'install Rust yourself, and set build.stage0 = "local"'
            raise Failure(f"there is no stage0 for this host (src/stage0 has no {name}): {advice}")
        paths.append(os.path.join(config.cache_dir, "downloads", os.path.basename(name)))
        download.ensure(f"{server.rstrip('/')}/{name}", paths[-1], sha256)
    print("unpacking stage0", file=sys.stderr)
    with staged(config, pin.place) as tree:
        unpack.unpack(paths, tree)
        if not os.path.exists(os.path.join(tree, "bin", f"rustc{EXE}")):
            raise Failure(f"{', '.join(paths)} hold no rustc: see src/stage0 and build.dist-server")
        if sys.platform != "win32":
            os.sync()  # once for all: fsync of each file would take longer than all the rest


def install_driver(config: Configuration, tools: Toolchain) -> None:
    """Lets cargo build the driver, and copies it to its place, since cargo will write over its own."""
    place = toolchain.driver_path(config, tools)
    if os.path.exists(place):
        return
    print("building the driver of ./x", file=sys.stderr)
    command = [tools["BOOTSTRAP_CARGO"], "build", "--profile=driver", "--package=bootstrap", "--locked"]
    command += ["--message-format=json-render-diagnostics", f"--target-dir={os.path.join(config.cache_dir, 'driver-target')}"]
    environment = os.environ | {"RUSTC": tools["BOOTSTRAP_RUSTC"]}
    # What cargo prints on standard output is for us: on the user's there is nothing but the driver's own.
    cargo = subprocess.run(command, cwd=config.root, env=environment, stdout=subprocess.PIPE, check=False)
    paths = [str(json.loads(line).get("executable")) for line in cargo.stdout.splitlines()]
    built = [path for path in paths if os.path.basename(path) == os.path.basename(place)]
    if cargo.returncode != 0 or not built:
        advice = "mend what cargo says above (if it is Cargo.lock, run `cargo check` once)"
        raise Failure(f"building the driver failed: {advice}", EXIT_FAILED)
    # With sources that changed meanwhile it is another driver, and this would be the wrong name for it.
    if toolchain.find(config) == tools:
        with staged(config, os.path.dirname(place)) as folder, open(shutil.copy2(built[0], folder), "rb+") as file:
            os.fsync(file.fileno())


@contextlib.contextmanager
def staged(config: Configuration, place: str) -> Iterator[str]:
    """A new folder that becomes `place` when all goes well, and is removed when not."""
    folder = os.path.join(config.cache_dir, "staging", os.urandom(8).hex())
    os.makedirs(folder)
    try:
        yield folder
        os.makedirs(os.path.dirname(place), exist_ok=True)
        if not os.path.isdir(place):  # what another has put there, with the lock switched off, is as good
            os.rename(folder, place)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
