"""The launcher behind `./x`: finds or fetches a toolchain, builds the driver when it has changed, and becomes it.

It decides nothing else. With nothing to do it starts no process, takes no lock and writes no file. What has to be made is
made under the cache lock, which is let go before the driver starts: the driver's session is the only lock a command has.

The driver's fingerprint is the SHA-256, in hexadecimal, over these entries, each being
`path NUL length-of-content-in-decimal NUL content`, sorted by path (relative to the source root, with `/`), as UTF-8 bytes:

- the files `Cargo.lock`, `Cargo.toml`, `src/bootstrap/Cargo.toml` and `src/buildlock/Cargo.toml`;
- below `src/bootstrap/src` and `src/buildlock/src` the files that end in `.rs`, `.toml` or `.md`;
- below `src/bootstrap/defaults` all files;

where names that begin with a dot (an editor's own files) and files that are absent are passed over; and, last, an entry of the path `rustc` and the content `path-of-rustc NUL version-line`. The driver computes the same.
"""

from __future__ import annotations

import os
import sys

import configuration
import stage0
import toolchain
from failure import EXIT_BUG, EXIT_ENVIRONMENT, EXIT_FAILED, EXIT_INTERRUPTED, Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from configuration import Configuration
    from toolchain import Toolchain

ATTEMPTS = 5
SINGLE_FILES = ("Cargo.lock", "Cargo.toml", "src/bootstrap/Cargo.toml", "src/buildlock/Cargo.toml")
SOURCES = (".rs", ".toml", ".md")
FOLDERS = {"src/bootstrap/src": SOURCES, "src/buildlock/src": SOURCES, "src/bootstrap/defaults": ("",)}


def main(root: str, arguments: list[str]) -> int:
    """Runs `./x` with `arguments`; gives the exit code when no driver took our place."""
    try:
        return launch(root, arguments)
    except Failure as failure:
        code, message = failure.code, str(failure)
    except KeyboardInterrupt:
        code, message = EXIT_INTERRUPTED, "interrupted"
    except OSError as error:
        code, message = EXIT_ENVIRONMENT, explain(error)
    except Exception:
        import traceback

        traceback.print_exc()
        code, message = EXIT_BUG, "this is a bug in the launcher of ./x: please report it with the lines above"
    print(f"error: {message}", file=sys.stderr)
    return code


def launch(root: str, arguments: list[str]) -> int:
    """Becomes the driver; what is missing for that is made first, and then looked for again."""
    config = configuration.load(root, arguments, os.environ, os.getcwd())
    for _ in range(ATTEMPTS):
        tools = toolchain.find(config, os.environ)
        fingerprint = tools and fingerprint_of(root, tools)
        if tools and fingerprint and os.path.exists(driver_path(config, fingerprint)):
            try:
                return become(config, tools, fingerprint, arguments)
            except FileNotFoundError:
                continue  # collected in this very moment
        provide(config, arguments)
    raise Failure(EXIT_FAILED, "the driver's sources changed in each of its builds: run ./x again when they are at rest")


def become(config: Configuration, tools: Toolchain, fingerprint: str, arguments: list[str]) -> int:
    """Replaces this process by the driver. Windows cannot: there we stay for its exit code."""
    driver = driver_path(config, fingerprint)
    told = {
        "BOOTSTRAP_ROOT": config.root,
        "BOOTSTRAP_BUILD_DIR": config.build_dir,
        "BOOTSTRAP_FINGERPRINT": fingerprint,
        "BOOTSTRAP_STAGE0": tools.stage0,
        "BOOTSTRAP_CARGO": tools.cargo,
        "BOOTSTRAP_RUSTC": tools.rustc,
        "BOOTSTRAP_RUSTC_VERSION": tools.version,
        "BOOTSTRAP_HOST": tools.host,
        "BOOTSTRAP_PYTHON": sys.executable,
        "BOOTSTRAP_RELAUNCHES": os.environ.get("BOOTSTRAP_RELAUNCHES", "0"),
    }
    if sys.platform != "win32":
        os.execve(driver, [driver, *arguments], os.environ | told)
    import subprocess

    with subprocess.Popen([driver, *arguments], env=os.environ | told) as child:
        while True:
            try:
                return child.wait()
            except KeyboardInterrupt:
                pass  # the console has told the driver too, and it decides


def provide(config: Configuration, arguments: list[str]) -> None:
    """Makes what is missing, under the cache lock: whoever has waited for it finds everything in place."""
    import contextlib
    import shlex

    import cache_lock

    with contextlib.ExitStack() as locks:
        tells: list[Callable[[str], None]] = []
        if config.lock_mode == "off":
            print('warning: build.lock-mode is "off": nothing keeps others from the cache', file=sys.stderr)
        else:
            # Checkouts that share a cache need not share their lock folder, so the cache has a lock of its own then.
            shared = os.path.commonpath([config.cache_dir, config.build_dir]) != config.build_dir
            for folder in [config.lock_dir] + [config.cache_dir] * shared:
                command = shlex.join(["./x", *arguments])
                tells.append(locks.enter_context(cache_lock.held(folder, config.lock_timeout, command)))
            stage0.sweep(config.cache_dir)
        tools = toolchain.find(config, os.environ)
        if not tools:
            for tell in tells:
                tell("unpacking stage0")
            pin = stage0.Pin(config.root)
            pin.install(config.cache_dir, config.dist_server or os.environ.get("RUSTUP_DIST_SERVER") or pin.dist_server)
            tools = toolchain.find(config, os.environ)
        fingerprint = tools and fingerprint_of(config.root, tools)
        if tools and fingerprint and not os.path.exists(driver_path(config, fingerprint)):
            for tell in tells:
                tell("building the driver")
            executable = build(config, tools)
            # Sources that changed meanwhile are another driver's, and this one's name would be wrong.
            if fingerprint_of(config.root, tools) == fingerprint:
                stage0.store(config.cache_dir, executable, driver_path(config, fingerprint))


def build(config: Configuration, tools: Toolchain) -> str:
    """Lets cargo build the driver; gives the path of the executable."""
    import json
    import subprocess

    print("building the driver of ./x", file=sys.stderr)
    manifest = os.path.join(config.root, "Cargo.toml")
    command = [tools.cargo, "build", "--profile=driver", "--package=bootstrap", "--locked", f"--manifest-path={manifest}"]
    command += [f"--target-dir={os.path.join(config.cache_dir, 'driver-target')}", "--message-format=json-render-diagnostics"]
    environment = os.environ | {"RUSTC": tools.rustc}
    executable = None
    # Cargo's standard output is ours to read, so that nothing but the driver's own ever reaches the user's.
    with subprocess.Popen(command, cwd=config.root, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as cargo:
        for line in cargo.stdout or ():
            message = json.loads(line)
            if message.get("reason") == "compiler-artifact" and message["target"]["name"] == "bootstrap":
                executable = message.get("executable") or executable
    if cargo.returncode != 0 or not executable:
        advice = "mend what cargo says above; if it is Cargo.lock, run `cargo check` once"
        raise Failure(EXIT_FAILED, f"building the driver failed: {advice}")
    return str(executable)


def driver_path(config: Configuration, fingerprint: str) -> str:
    """Where the driver with that fingerprint lies."""
    return os.path.join(config.cache_dir, "driver", fingerprint, f"bootstrap{toolchain.EXE}")


def fingerprint_of(root: str, tools: Toolchain) -> str:
    """The fingerprint of the driver that these sources and this rustc make; the module's text defines it."""
    import hashlib

    digest = hashlib.sha256()

    def add(path: str, content: bytes) -> None:
        digest.update(b"%b\0%d\0%b" % (os.fsencode(path), len(content), content))

    for path in sorted(sources(root)):
        try:
            with open(os.path.join(root, path), "rb") as file:
                add(path, file.read())
        except FileNotFoundError:
            pass
    add("rustc", os.fsencode(f"{tools.rustc}\0{tools.version}"))
    return digest.hexdigest()


def sources(root: str) -> Iterator[str]:
    """The paths of the driver's sources, relative to the source root."""
    yield from SINGLE_FILES
    for top, ends in FOLDERS.items():
        for folder, _, names in os.walk(os.path.join(root, top)):
            below = folder[len(root) + 1 :].replace(os.sep, "/")
            yield from (f"{below}/{name}" for name in names if name.endswith(ends) and not name.startswith("."))


def explain(error: OSError) -> str:
    """What went wrong with which file, and what to do about it."""
    import errno

    advice = {
        errno.ENOSPC: "free some space, or move build.cache-dir or build.build-dir to another disk",
        errno.EACCES: "make it yours, or set build.cache-dir or build.build-dir to a folder that is",
    }
    advice |= dict.fromkeys((errno.EPERM, errno.EROFS), advice[errno.EACCES])
    advice |= dict.fromkeys((errno.EDQUOT,), advice[errno.ENOSPC])
    todo = advice.get(error.errno or 0, "see that build.build-dir and build.cache-dir can be used")
    return f"{error.filename or 'writing the cache'}: {error.strerror or error}; {todo}"
