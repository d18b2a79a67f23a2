"""Prints the figures of the race: this tree's order beside the classic one, both with a driver that does nothing.

Call it as `python3 tests/stage0/race_figures.py [ROUNDS [classic|ours]]`. In each round two processes start at once, on
an empty build directory or on one whose stage0 is stale; a round fails when one of them does.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from checkout import STUCK_SECONDS, Checkout

FILES_OF_A_COMPONENT = 400


def play(checkout: Checkout, command: list[str], start: Path | None, rounds: int) -> tuple[int, float, float]:
    """Gives the failed rounds, the mean of downloads per round, and the median of seconds until both were done."""
    failures, downloads, seconds = 0, list[int](), list[float]()
    for _ in range(rounds):
        shutil.rmtree(checkout.build, ignore_errors=True)
        if start:
            subprocess.check_call(["cp", "-a", start, checkout.build])
        checkout.server.requests.clear()
        began = time.monotonic()
        runs = [launch(checkout, command) for _ in range(2)]
        codes = [run.wait(STUCK_SECONDS) for run in runs]
        failures += any(codes)
        seconds.append(time.monotonic() - began)
        downloads.append(len(checkout.server.requests))
    return failures, statistics.mean(downloads), statistics.median(seconds)


def launch(checkout: Checkout, command: list[str]) -> subprocess.Popen[bytes]:
    """Starts one of the two."""
    devnull = subprocess.DEVNULL
    return subprocess.Popen(command, cwd=checkout.top, env=checkout.environment, stdout=devnull, stderr=devnull)


def compare(rounds: int, only: str) -> dict[str, tuple[int, float, float]]:
    """The figures of both orders, from archives alike."""
    figures = {}
    with tempfile.TemporaryDirectory() as folder:
        checkout = Checkout(Path(folder).resolve() / "one", driver=Path("/bin/true"))
        classic = [sys.executable, "-I", "-S", str(Path(__file__).with_name("classic.py"))]
        orders = {"classic": [*classic, str(checkout.root), checkout.server.url], "ours": checkout.command("tidy")}
        with checkout.server:
            for name, command in orders.items():
                if only not in ("", name):
                    continue
                checkout.release("old", rustc=files("lib"), cargo=files("share"))
                figures[f"{name}, empty"] = play(checkout, command, None, rounds)
                shutil.rmtree(checkout.build, ignore_errors=True)
                launch(checkout, command).wait(STUCK_SECONDS)
                stale = checkout.build.with_name(f"stale-{name}")
                checkout.build.rename(stale)
                checkout.release("new", rustc=files("lib"), cargo=files("share"))
                figures[f"{name}, stale"] = play(checkout, command, stale, rounds)
    return figures


def files(folder: str) -> dict[str, bytes]:
    """Files of a component."""
    return {f"{folder}/{number}": bytes([number % 251]) * 4096 for number in range(FILES_OF_A_COMPONENT)}


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    chosen = sys.argv[2] if len(sys.argv) > 2 else ""
    print(f"{count} rounds of two processes | failed rounds | downloads per round | seconds to both done")
    for name, (failed, fetched, took) in compare(count, chosen).items():
        print(f"{name:>26} | {failed:13} | {fetched:19.1f} | {took:20.2f}")
