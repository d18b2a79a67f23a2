"""The launcher behind `./x`: finds or fetches a toolchain, builds the driver when it has changed, and becomes it.

With nothing to do it starts no process, takes no lock, writes no file and imports little: every `./x` pays for it.
"""

import os
import sys

import toolchain
from configuration import ENVIRONMENT, FAILED, USAGE, Configuration, Failure


def main(root: str, arguments: list[str]) -> int:
    """Runs `./x` with `arguments`; gives the exit code when no driver took our place."""
    try:
        return launch(Configuration(root, arguments), arguments)
    except Failure as failure:
        code, message = failure.args
    except OSError as error:
        advice = "see that there is space, and that build.build-dir and build.cache-dir are yours to write, not root's"
        code, message = ENVIRONMENT, f"{error.filename or 'the cache'}: {error.strerror or error}; {advice}"
    print(f"error: {message}", file=sys.stderr)
    return int(code)


def launch(config: Configuration, arguments: list[str]) -> int:
    """Becomes the driver; what is missing for that is made first, piece by piece."""
    for _ in range(5):
        try:
            return become(*toolchain.find(config), arguments)
        except FileNotFoundError:  # something was not made yet, or was collected or edited in this very moment
            if config.refused:
                raise Failure(USAGE, config.refused) from None
        import provision

        provision.provide(config)
    raise Failure(FAILED, "the driver's sources changed during each of its builds: run ./x again when they rest")


def become(driver: str, told: dict[str, str], arguments: list[str]) -> int:
    """Replaces this process by the driver. Windows cannot do that: there we stay for its exit code."""
    os.stat(told["BOOTSTRAP_RUSTC"])  # without it the driver would only send us back
    if sys.platform != "win32":
        os.execve(driver, [driver, *arguments], os.environ | told)
    import signal
    import subprocess

    child = subprocess.Popen([driver, *arguments], env=os.environ | told)
    # The console tells the driver of Ctrl-C, too, and the driver decides. An interrupted wait could lose its exit code.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return child.wait()
