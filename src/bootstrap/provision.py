"""Makes what `./x` lacks, under the cache lock: stage0 and the driver. What is in place is whole, and never changes."""

import contextlib
import errno
import functools
import hashlib
import http.client
import io
import json
import lzma
import os
import shutil
import subprocess
import sys
import tarfile
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import cache_lock
import toolchain
from configuration import ENVIRONMENT, FAILED, Configuration, Failure

ATTEMPTS, BACKOFF_SECONDS, SILENCE_SECONDS_MAX = 6, 0.5, 30.0
CHUNK_BYTES, BYTES_MAX = 1 << 18, 8 << 30
OUR_OWN_TROUBLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)
ADVICE = "check build.dist-server and src/stage0"


def provide(config: Configuration) -> None:
    """Makes what is missing next. Who had to wait for the lock may find it in place."""
    # A cache outside of the build directory is shared with others, who have other lock folders: its lock lies in itself.
    is_own = f"{config.cache_dir}{os.sep}".startswith(f"{config.build_dir}{os.sep}")
    with contextlib.ExitStack() as lock:
        if config.lock_mode == "off":
            print('warning: build.lock-mode is "off": nothing keeps others out of the cache', file=sys.stderr)
        else:
            folder = config.lock_dir if is_own else config.cache_dir
            lock.enter_context(cache_lock.held(folder, config.lock_timeout, "preparing the driver"))
            # Only now is what lies in staging known to be a dead one's.
            shutil.rmtree(os.path.join(config.cache_dir, "staging"), ignore_errors=True)
        driver, told = toolchain.find(config)
        if not os.path.exists(told["BOOTSTRAP_RUSTC"]):
            install_stage0(config)
        elif not os.path.exists(driver):
            install_driver(config, driver, told)


def install_stage0(config: Configuration) -> None:
    """Downloads and unpacks the pinned toolchain."""
    pin = toolchain.Pin(config)
    server = config.dist_server or os.environ.get("RUSTUP_DIST_SERVER") or pin.dist_server
    folder = os.path.join(config.cache_dir, "downloads")
    if not all(pin.archives.values()):
        raise Failure(ENVIRONMENT, f'src/stage0 pins none for {pin.rustc[2]}: install Rust, and set build.stage0 = "local"')
    paths = [download(f"{server.rstrip('/')}/{name}", folder, sha256) for name, sha256 in pin.archives.items()]
    print("unpacking stage0", file=sys.stderr)
    with staged(config, pin.place) as tree:
        unpack(paths, tree)
        if not os.path.exists(os.path.join(tree, "bin", os.path.basename(pin.rustc[0]))):
            raise Failure(ENVIRONMENT, f"{', '.join(paths)} hold no rustc: see src/stage0 and build.dist-server")


def install_driver(config: Configuration, place: str, told: dict[str, str]) -> None:
    """Lets cargo build the driver, and copies it to its place, since cargo will write over its own."""
    print("building the driver of ./x", file=sys.stderr)
    if not told["BOOTSTRAP_CARGO"]:
        raise Failure(ENVIRONMENT, f"{config.cargo or 'cargo'} is not there: install it, or set build.cargo")
    command = [told["BOOTSTRAP_CARGO"], "build", "--profile=driver", "--package=bootstrap", "--bin=bootstrap", "--locked"]
    command += ["--message-format=json-render-diagnostics", f"--target-dir={os.path.join(config.cache_dir, 'driver-target')}"]
    environment = os.environ | {"RUSTC": told["BOOTSTRAP_RUSTC"]}
    # What cargo prints on standard output is for us: on the user's there is nothing but the driver's own.
    cargo = subprocess.run(command, cwd=config.root, env=environment, stdout=subprocess.PIPE, check=False)
    built = [path for line in cargo.stdout.splitlines() if (path := json.loads(line).get("executable"))]
    if cargo.returncode != 0 or not built:
        raise Failure(FAILED, "building the driver failed: mend what cargo says above (for Cargo.lock, run `cargo check`)")
    # With sources that changed meanwhile it is another driver, and this would be the wrong name for it.
    if toolchain.find(config) == (place, told):
        with staged(config, os.path.dirname(place)) as folder:
            shutil.copy2(built[0], folder)


@contextlib.contextmanager
def staged(config: Configuration, place: str) -> Iterator[str]:
    """A new folder that becomes `place` when all goes well, and is removed when not."""
    folder = os.path.join(config.cache_dir, "staging", os.urandom(8).hex())
    os.makedirs(folder)
    try:
        yield folder
        if sys.platform != "win32":
            os.sync()  # once for all: fsync of each file would take longer than all the rest
        if not os.path.isdir(place):  # what another has put there, with the lock switched off, is as good
            os.renames(folder, place)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def download(url: str, folder: str, sha256: str) -> str:
    """The path of the file with that sum in `folder`: what is there is checked, and what is missing downloaded."""
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, os.path.basename(url))
    with open(path, "ab+") as file:
        for attempt in range(ATTEMPTS):
            time.sleep(BACKOFF_SECONDS * (2**attempt - 1))
            try:
                fetch(url, file, sha256)
                return path
            except (OSError, http.client.HTTPException) as error:
                if getattr(error, "errno", None) in OUR_OWN_TROUBLE:
                    raise
                trouble, status = f"downloading {url}: {error or type(error).__name__}", getattr(error, "code", 500)
            if url.startswith("file:") or status not in (408, 416, 429, 500, 502, 503, 504):
                raise Failure(ENVIRONMENT, f"{trouble}; {ADVICE}")
            if status == 416:  # there is no more of it than we have, with a sum that is wrong
                trouble = f"{path} has changed since it was downloaded"
                file.truncate(0)
            print(f"warning: {trouble}", file=sys.stderr)
    raise Failure(ENVIRONMENT, f"{trouble}; gave up after {ATTEMPTS} attempts, and the next run goes on from here")


def fetch(url: str, file: io.BufferedRandom, sha256: str) -> None:
    """Adds to `file` what it lacks, until its sum is right. After a `ConnectionError` another attempt may help."""
    file.seek(0)
    digest = hashlib.file_digest(file, "sha256")
    if digest.hexdigest() == sha256:
        return
    print(f"downloading {url}", file=sys.stderr)
    have = file.tell()
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=SILENCE_SECONDS_MAX) as response:
        resumed = response.headers.get("Content-Range", "").startswith(f"bytes {have}-")
        if not resumed:  # a server without ranges sends all of it again
            have, digest = file.truncate(0), hashlib.sha256()
        end = have + int(response.headers.get("Content-Length", 0))
        while (chunk := response.read(CHUNK_BYTES)) and have <= BYTES_MAX:
            digest.update(chunk)
            have += file.write(chunk)
            if sys.stderr.isatty() and have <= end:
                print(f"[{'=' * (60 * have // end):60}]", end="\r" if have < end else "\n", file=sys.stderr, flush=True)
    if have < end:
        raise ConnectionError(f"the connection was closed after {have} of {end} bytes")
    if digest.hexdigest() != sha256:
        file.truncate(0)
        if resumed:
            raise ConnectionError("the pieces do not make the pinned file")
        raise Failure(ENVIRONMENT, f"downloading {url}: its SHA-256 is {digest.hexdigest()}, and {sha256} is pinned; {ADVICE}")


def unpack(paths: list[str], tree: str) -> None:
    """Unpacks all archives side by side into `tree`, an empty folder that nobody else looks at."""
    # At a failure, or Ctrl-C, all are closed before those who still read are waited for: their next read fails.
    with ThreadPoolExecutor(len(paths)) as pool, contextlib.ExitStack() as opened:
        archives = [opened.enter_context(lzma.open(path)) for path in paths]
        links = [link for found in pool.map(unpack_one, archives, paths, [tree] * len(paths)) for link in found]
    # They are made when all files are written, so that nothing is written through one, and then looked at together.
    for place, target in links:
        os.symlink(target, place)
    for place, target in links:
        if not os.path.realpath(place).startswith(os.path.realpath(tree) + os.sep):
            raise Failure(ENVIRONMENT, f"unpacking {', '.join(paths)}: the link {place} leads out of it, to {target}; {ADVICE}")


def unpack_one(archive: lzma.LZMAFile, path: str, tree: str) -> list[tuple[str, str]]:
    """Unpacks all of one archive but its links; gives these, each with what it says."""
    make_folder = functools.cache(functools.partial(os.makedirs, exist_ok=True))
    links = []
    try:
        with tarfile.TarFile(fileobj=archive, copybufsize=CHUNK_BYTES) as members:
            for member in members:
                if member.size < 0 or members.offset > BYTES_MAX:
                    raise ValueError("it is too large")
                parts = member.name.replace(os.sep, "/").split("/")
                if not {"", ".", ".."}.isdisjoint(parts):
                    raise ValueError(f"the name {member.name!r} leads out of it")
                place = os.path.join(tree, *parts[2:])  # it is named archive/component/place
                make_folder(place if member.isdir() else os.path.dirname(place))
                if member.issym():
                    links.append((place, member.linkname))
                elif not member.isdir() and not member.isreg():
                    raise ValueError(f"{member.name} is of type {member.type!r}, no file, folder or symbolic link")
                elif member.isreg() and parts[2:] not in ([], ["manifest.in"]):
                    members.makefile(member, place)
                    if member.mode & 0o111:
                        os.chmod(place, 0o644 | member.mode & 0o111)
    except (ValueError, EOFError, OverflowError, MemoryError, lzma.LZMAError, tarfile.TarError) as error:
        raise Failure(ENVIRONMENT, f"unpacking {path}: {error}; it is as pinned, so it was made like that: {ADVICE}") from None
    return links
