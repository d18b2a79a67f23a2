"""The launcher behind `./x`: finds or fetches a toolchain, builds the driver when it has changed, and becomes it.

With nothing to do it starts no process, takes no lock, writes no file and imports little: every `./x` pays for it. What is
missing is made under the cache lock, which is let go before the driver starts.
"""

import os
import sys

import toolchain
from configuration import Configuration
from failure import EXIT_BUG, EXIT_ENVIRONMENT, EXIT_FAILED, EXIT_INTERRUPTED, Failure
from toolchain import Toolchain

ATTEMPTS = 5


def main(root: str, arguments: list[str]) -> int:
    """Runs `./x` with `arguments`; gives the exit code when no driver took our place."""
    try:
        return launch(root, arguments)
    except Failure as failure:
        code, message = failure.code, str(failure)
    except KeyboardInterrupt:
        code, message = EXIT_INTERRUPTED, "interrupted"
    except OSError as error:
        advice = "see that there is space, and that build.build-dir and build.cache-dir are yours to write, not root's"
        code, message = EXIT_ENVIRONMENT, f"{error.filename or 'writing'}: {error.strerror or error}; {advice}"
    except Exception:
        sys.excepthook(*sys.exc_info())
        code, message = EXIT_BUG, "this is a bug in the launcher of ./x: please report it with the lines above"
    print(f"error: {message}", file=sys.stderr)
    return code


def launch(root: str, arguments: list[str]) -> int:
    """Becomes the driver; what is missing for that is made first, piece by piece, and then looked for again."""
    config = Configuration(root, arguments)
    for _ in range(ATTEMPTS):
        tools = toolchain.find(config)
        if tools:
            try:
                return become(config, tools, arguments)
            except FileNotFoundError:
                pass  # it is not built yet, or was collected in this very moment
        import provision

        provision.provide(config, tools, arguments)
    raise Failure("the driver's sources changed during each of its builds: run ./x again when they rest", EXIT_FAILED)


def become(config: Configuration, tools: Toolchain, arguments: list[str]) -> int:
    """Replaces this process by the driver. Windows cannot do that: there we stay for its exit code."""
    driver = toolchain.driver_path(config, tools)
    environment = {"BOOTSTRAP_RELAUNCHES": "0"} | os.environ | tools
    environment |= {"BOOTSTRAP_ROOT": config.root, "BOOTSTRAP_BUILD_DIR": config.build_dir, "BOOTSTRAP_PYTHON": sys.executable}
    if sys.platform != "win32":
        os.execve(driver, [driver, *arguments], environment)
    import signal
    import subprocess

    child = subprocess.Popen([driver, *arguments], env=environment)
    # The console tells the driver of Ctrl-C, too, and the driver decides. An interrupted wait could lose its exit code.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return child.wait()
