"""The race that started it all: several `./x` at once on a checkout whose build directory is empty.

`STAGE0_FULL=1` plays all fifty rounds of each; otherwise a few.
"""

from __future__ import annotations

import shutil
import unittest
from collections.abc import Sequence
from pathlib import Path

from checkout import BASE, FULL, Case, Checkout

ALL_ROUNDS = 50
ROUNDS = ALL_ROUNDS if FULL else 3

Commands = Sequence[tuple[str, ...]]

TOGETHER: list[Commands] = [
    [("tidy",), ("tidy",)],
    [("check",), ("build",), ("test",)],
    [("check",)] * 4 + [("tidy",)] * 8 + [("build",)] * 3 + [("test",)] * 3 + [("doc",)] * 2,
]
COMPONENTS: Commands = [("fmt", "--check"), ("clippy",), ("fmt", "--check"), ("clippy",), ("check",)]


class Race(Case):
    def play(self, commands: Commands, components: tuple[str, ...] = BASE, rounds: int = ROUNDS) -> None:
        """Runs the commands at once, from an empty build directory; one download and one unpacking serve all."""
        self.checkout.release("v1")
        for _ in range(rounds):
            self.round(self.checkout, commands, components)

    def round(self, checkout: Checkout, commands: Commands, components: tuple[str, ...]) -> None:
        shutil.rmtree(checkout.build, ignore_errors=True)
        checkout.server.requests.clear()
        said = self.end_all([checkout.start(*command) for command in commands])
        asked = sorted(Path(path).name.split("-1.95.0")[0] for path, _ in checkout.server.requests)
        self.assertEqual(asked, sorted(components))
        for once in ("unpacking stage0", "building the driver of ./x"):
            self.assertEqual(said.splitlines().count(once), 1, said)
        self.assert_clean(checkout.build / "cache")

    def test_two_tidy(self) -> None:
        self.play(TOGETHER[0])

    def test_check_and_build_and_test(self) -> None:
        self.play(TOGETHER[1])

    def test_twenty_at_once(self) -> None:
        self.play(TOGETHER[2])

    def test_what_only_some_commands_need_is_fetched_once(self) -> None:
        self.play(COMPONENTS, (*BASE, "rustfmt", "clippy"))

    def test_without_locks_and_staging_the_same_rounds_fail(self) -> None:
        self.checkout.without_guards()
        for commands in TOGETHER:
            # On a busy machine one may be through with all before the next has begun, but not fifty times.
            with self.subTest(commands), self.assertRaises(AssertionError):
                self.play(commands, rounds=ALL_ROUNDS)


class TwoCheckouts(Case):
    def test_two_checkouts_that_share_a_cache_unpack_once(self) -> None:
        other = self.checkout_in(self.top / "two")
        served = self.checkout.release("v1")
        other.server.files |= served
        other.pin(served)
        shared = self.top / "shared"
        for checkout in (self.checkout, other):
            with (checkout.root / "bootstrap.toml").open("a") as settings:
                settings.write(f'build.cache-dir = "{shared}"\n')
        for _ in range(ROUNDS):
            shutil.rmtree(shared, ignore_errors=True)
            for checkout in (self.checkout, other):
                checkout.server.requests.clear()
            runs = [
                checkout.start(*command) for command in (("fmt", "--check"), ("tidy",)) for checkout in (self.checkout, other)
            ]
            said = self.end_all(runs)
            requests = self.checkout.server.requests + other.server.requests
            self.assertEqual(len(requests), len({path for path, _ in requests}), requests)
            self.assertEqual(len(requests), len((*BASE, "rustfmt")))
            self.assertEqual(said.splitlines().count("unpacking stage0"), 1, said)
            self.assert_clean(shared)
            self.assertEqual(len(self.checkout.toolchains(shared)), 2)


if __name__ == "__main__":
    unittest.main()
