"""Stage0 moves while commands run: they finish on the old one, and the next uses the new one."""

from __future__ import annotations

import unittest

from checkout import DATE, TOOLS, Case
from dist_server import sha256

HOSTS = (
    *("aarch64-apple-darwin", "aarch64-pc-windows-msvc", "aarch64-unknown-linux-gnu", "i686-pc-windows-msvc"),
    *("i686-unknown-linux-gnu", "x86_64-pc-windows-gnu", "x86_64-pc-windows-msvc", "x86_64-unknown-linux-gnu"),
)


class Bump(Case):
    def setUp(self) -> None:
        super().setUp()
        self.checkout.release("old")

    def labels(self, since: int) -> set[str]:
        """Which toolchains' tools were called since then."""
        return {line.split()[0] for line in self.checkout.logged()[since:]}

    def test_a_check_and_a_build_that_run_finish_on_the_old_one(self) -> None:
        # Beside each other they can only run in two build directories, with one cache.
        shared = ("--set", f"build.cache-dir={self.top / 'shared'}")
        builds = [("--build-dir", str(self.top / name)) for name in ("first", "second")]
        held = {
            command: self.start_held(command, *build, *shared) for command, build in zip(("check", "build"), builds, strict=True)
        }
        since = len(self.checkout.logged())
        self.checkout.release("new")
        for command, run in held.items():
            self.let_on(command)
            self.end(run)
        self.assertEqual(self.labels(since), {"old"})
        since = len(self.checkout.logged())
        for build in builds:
            self.x("check", *build, *shared)
        self.assertEqual(self.labels(since), {"new"})
        self.assertEqual(len(self.checkout.toolchains(self.top / "shared")), 2)

    def test_who_waited_for_its_session_meanwhile_goes_back_for_the_new_one(self) -> None:
        held = self.start_held("check")
        waiting = self.checkout.start("build")
        assert waiting.stderr
        self.assertIn("waiting for ./x check", waiting.stderr.readline())
        since = len(self.checkout.logged())
        self.checkout.release("new")
        self.let_on("check")
        self.end(held)
        self.end(waiting)
        lines = self.checkout.logged()[since:]
        self.assertTrue(any(line.startswith("new cargo build --manifest-path") for line in lines), lines)
        self.assertFalse(any(line.startswith("old cargo build --manifest-path") for line in lines), lines)

    def test_the_command_moves_the_pin_and_the_next_command_uses_it(self) -> None:
        self.x("check")
        pinned = self.checkout.root / "src" / "stage0"
        old = pinned.read_text()
        made = self.checkout.release("new")
        pinned.write_text(old)
        manifest = manifest_of(made).encode()
        self.checkout.server.files["/dist/channel-rust-1.95.0.toml"] = manifest
        self.checkout.server.files["/dist/channel-rust-1.95.0.toml.sha256"] = f"{sha256(manifest)}  x\n".encode()
        (self.top / "manifest.toml").write_bytes(manifest)
        for source in (["1.95.0"], ["--manifest", str(self.top / "manifest.toml")]):
            with self.subTest(source):
                pinned.write_text(old)
                self.assertIn("Moved stage0", self.x("bump-stage0", *source))
                since = len(self.checkout.logged())
                self.x("check")
                self.assertEqual(self.labels(since), {"new"})

    def test_clean_says_what_it_frees_and_keeps_what_is_current(self) -> None:
        self.x("check")
        (old,) = self.checkout.toolchains()
        self.checkout.release("new")
        said = self.x("clean", "--stage0")
        (new,) = self.checkout.toolchains()
        self.assertNotEqual(old, new)
        self.assertIn(f"Removed {old}", said)
        self.assertRegex(said, r"Freed .*MiB")

    def test_a_pin_that_never_rests_is_given_up_after_three_relaunches(self) -> None:
        held = self.start_held("build")
        waiting = self.checkout.start("check", BOOTSTRAP_RELAUNCHES="3")
        assert waiting.stderr
        self.assertIn("waiting for ./x build", waiting.stderr.readline())
        self.checkout.release("new")
        self.let_on("build")
        self.end(held)
        self.assertIn("changed 3 times", self.end(waiting, 4))


def manifest_of(made: dict[str, bytes]) -> str:
    """A channel manifest of these archives. Other hosts' are named, as the real ones are, and have sums of nothing."""
    lines = ['manifest-version = "2"', f'date = "{DATE}"']
    for component in TOOLS:
        for triple in HOSTS:
            path = f"/dist/{DATE}/{component}-1.95.0-{triple}.tar.xz"
            sums = f'xz_hash = "{sha256(made.get(path, b""))}"'
            lines += [f"[pkg.{component}.target.{triple}]", f'xz_url = "https://dist.invalid{path}"', sums]
    return "\n".join(lines)


if __name__ == "__main__":
    unittest.main()
