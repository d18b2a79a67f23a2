"""The launcher behind `./x`: finds or fetches a toolchain, builds the driver when it has changed, and becomes it.

With nothing to do it starts no process, takes no lock, writes no file and imports little: every `./x` pays for it. What
is missing is made under the cache lock, which is let go before the driver starts.

The driver's fingerprint, which the driver computes too, is the SHA-256 in hexadecimal over one entry for each source,
`path NUL length-of-content-in-decimal NUL content`, sorted by path (relative to the source root, with `/`; as UTF-8):

- the files `Cargo.lock`, `Cargo.toml`, `src/bootstrap/Cargo.toml` and `src/buildlock/Cargo.toml`;
- below `src/bootstrap/src` and `src/buildlock/src` the files that end in `.rs`, `.toml` or `.md`;
- below `src/bootstrap/defaults` all files.

Absent and hidden files are passed over (editors make such). After these comes one more entry, of the path `rustc` and
the content `path-of-rustc NUL version-line`.
"""

import os
import sys

import toolchain
from configuration import Configuration
from failure import EXIT_BUG, EXIT_ENVIRONMENT, EXIT_FAILED, EXIT_INTERRUPTED, Failure
from toolchain import Toolchain

ATTEMPTS = 5
FILES = ("Cargo.lock", "Cargo.toml", "src/bootstrap/Cargo.toml", "src/buildlock/Cargo.toml")
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
        advice = "see that there is space, and that build.build-dir and build.cache-dir are yours to write"
        code, message = EXIT_ENVIRONMENT, f"{error.filename or 'writing'}: {error.strerror or error}; {advice}"
    except Exception:
        import traceback

        traceback.print_exc()
        code, message = EXIT_BUG, "this is a bug in the launcher of ./x: please report it with the lines above"
    print(f"error: {message}", file=sys.stderr)
    return code


def launch(root: str, arguments: list[str]) -> int:
    """Becomes the driver; what is missing for that is made first, piece by piece, and then looked for again."""
    config = Configuration(root, arguments)
    for _ in range(ATTEMPTS):
        tools = toolchain.find(config)
        driver = tools and driver_path(config, tools)
        if tools and driver and os.path.exists(driver):
            try:
                return become(config, tools, driver, arguments)
            except FileNotFoundError:
                continue  # it was collected in this very moment
        provide(config, arguments)
    raise Failure("the driver's sources changed during each of its builds: run ./x again when they rest", EXIT_FAILED)


def provide(config: Configuration, arguments: list[str]) -> None:
    """Makes the next thing that is missing; who had to wait for the lock may find it in place."""
    import provision

    with provision.cache(config, arguments) as tell:
        tools = toolchain.find(config)
        if not tools:
            tell("unpacking stage0")
            provision.install_stage0(config)
        elif not os.path.exists(driver := driver_path(config, tools)):
            tell("building the driver")
            built = provision.build_driver(config, tools)
            # With sources that changed meanwhile it is another driver, and this would be the wrong name for it.
            if driver_path(config, tools) == driver:
                provision.store_driver(config, built, driver)


def become(config: Configuration, tools: Toolchain, driver: str, arguments: list[str]) -> int:
    """Replaces this process by the driver. Windows cannot do that: there we stay for its exit code."""
    environment = os.environ | {
        "BOOTSTRAP_ROOT": config.root,
        "BOOTSTRAP_BUILD_DIR": config.build_dir,
        "BOOTSTRAP_FINGERPRINT": os.path.basename(os.path.dirname(driver)),
        "BOOTSTRAP_STAGE0": tools.stage0,
        "BOOTSTRAP_CARGO": tools.cargo,
        "BOOTSTRAP_RUSTC": tools.rustc,
        "BOOTSTRAP_RUSTC_VERSION": tools.version,
        "BOOTSTRAP_HOST": tools.host,
        "BOOTSTRAP_PYTHON": sys.executable,
        "BOOTSTRAP_RELAUNCHES": os.environ.get("BOOTSTRAP_RELAUNCHES", "0"),
    }
    if sys.platform != "win32":
        os.execve(driver, [driver, *arguments], environment)
    import signal
    import subprocess

    child = subprocess.Popen([driver, *arguments], env=environment)
    # The console tells the driver of Ctrl-C, too, and the driver decides. An interrupted wait could lose its exit code.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return child.wait()


def driver_path(config: Configuration, tools: Toolchain) -> str:
    """Where the driver lies that these sources and this rustc make."""
    return os.path.join(config.cache_dir, "driver", fingerprint_of(config.root, tools), f"bootstrap{toolchain.EXE}")


def fingerprint_of(root: str, tools: Toolchain) -> str:
    """The fingerprint of these sources and this rustc, as the top of this file has it."""
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
    entries.append((b"rustc", os.fsencode(f"{tools.rustc}\0{tools.version}")))
    return toolchain.sha256(b"".join(b"%b\0%d\0%b" % (path, len(text), text) for path, text in entries))
