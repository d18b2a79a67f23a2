"""What goes wrong with an archive or the cache: a clear error with its exit code, nothing half done, and then a way on.

Each is played twice: when the launcher fetches the compiler, and when the driver fetches rustfmt.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import unittest
from pathlib import Path

from checkout import DATE, Case, host
from dist_server import Fault, archive

HALVES = {"rustc": ("tidy",), "rustfmt": ("fmt", "--check")}


def may_mount() -> bool:
    """Whether a tmpfs can be mounted here, out of everybody else's sight."""
    probe = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    return bool(shutil.which("unshare")) and subprocess.run(probe, capture_output=True, check=False).returncode == 0


class Refusals(Case):
    def setUp(self) -> None:
        super().setUp()
        self.made = self.checkout.release("v1")
        self.cache = self.checkout.build / "cache"

    def path(self, component: str) -> str:
        """An archive's path on the server."""
        return f"/dist/{DATE}/{component}-1.95.0-{host()}.tar.xz"

    def begin(self, component: str) -> int:
        """Gets so far that the component is what is missing next; gives how many toolchains there are."""
        shutil.rmtree(self.checkout.build, ignore_errors=True)
        self.checkout.server.files |= self.made
        self.checkout.server.faults = []
        self.checkout.pin(self.made)
        if component == "rustfmt":
            self.x("tidy")
        return len(self.checkout.toolchains())

    def refused(self, component: str, *texts: str, toolchains: int) -> None:
        """The command fails, and says these; then, with the true archive, it succeeds."""
        said = self.x(*HALVES[component], code=4)
        for text in ("error: ", *texts):
            self.assertIn(text, said)
        self.assertNotIn("Traceback", said)
        self.assertEqual(len(self.checkout.toolchains()), toolchains)
        self.assert_clean(self.cache)
        self.checkout.server.files |= self.made
        self.checkout.pin(self.made)
        self.x(*HALVES[component])

    def test_a_tampered_archive_in_the_cache_is_fetched_again(self) -> None:
        for component, command in HALVES.items():
            with self.subTest(component):
                self.begin(component)
                self.x(*command)
                for toolchain in self.checkout.toolchains():
                    shutil.rmtree(toolchain)
                cached = self.cache / "downloads" / Path(self.path(component)).name
                whole = cached.read_bytes()
                cached.write_bytes(whole[:100] + b"x" + whole[101:])
                self.checkout.server.requests.clear()
                said = self.x(*command)
                self.assertIn("changed", said)
                self.assertEqual({path for path, _ in self.checkout.server.requests}, {self.path(component)})
                self.assertEqual(cached.read_bytes(), whole)

    def test_a_tampered_archive_on_the_server(self) -> None:
        for component in HALVES:
            with self.subTest(component):
                toolchains = self.begin(component)
                whole = self.made[self.path(component)]
                self.checkout.server.files[self.path(component)] = whole[:100] + b"x" + whole[101:]
                self.refused(component, component, "SHA-256", toolchains=toolchains)

    def test_a_truncated_archive_that_is_pinned_like_that(self) -> None:
        for component in HALVES:
            with self.subTest(component):
                toolchains = self.begin(component)
                self.serve(component, self.made[self.path(component)][:-200])
                self.refused(component, component, "unpack", toolchains=toolchains)

    def test_an_archive_with_a_path_that_leads_out(self) -> None:
        for component in HALVES:
            for name in ("../../../evil", f"{self.top}/evil", "a/b/../../../evil"):
                with self.subTest(component, name=name):
                    toolchains = self.begin(component)
                    member = tarfile.TarInfo(name)
                    self.serve(component, archive("a", "b", {"bin/x": b""}, [member]))
                    self.refused(component, component, "unpack", toolchains=toolchains)
                    self.assertEqual(list(self.top.rglob("evil*")), [])

    def serve(self, component: str, content: bytes) -> None:
        """Serves and pins another archive."""
        path = self.path(component)
        self.checkout.server.files[path] = content
        self.checkout.pin(self.made | {path: content})

    def test_a_server_that_has_not_got_it(self) -> None:
        for component in HALVES:
            with self.subTest(component):
                toolchains = self.begin(component)
                del self.checkout.server.files[self.path(component)]
                self.refused(component, component, "404", toolchains=toolchains)

    def test_a_server_that_falters_is_tried_again(self) -> None:
        for component, command in HALVES.items():
            with self.subTest(component):
                self.begin(component)
                self.checkout.server.faults = [
                    Fault(status=500),
                    Fault(drop_after=300),
                    Fault(ranges=False, drop_after=500),
                    Fault(slow=True),
                ]
                self.x(*command)
                self.assertGreater(len(self.checkout.server.requests), 4)

    def mounted(self, options: str, component: str) -> tuple[str, str]:
        """Runs the command with a small tmpfs for a cache; gives what it says, and what it leaves there."""
        prepare = 'mount -t tmpfs -o size=64m none "$0" && cp -a "$0.before/." "$0" 2>/dev/null; '
        run = 'mount -o remount,"$1" "$0" || exit 99; shift; "$@"; code=$?; find "$0"; exit $code'
        before = ("unshare", "--mount", "sh", "-c", prepare + run, str(self.cache), options)
        process = self.checkout.start(*HALVES[component], before=before)
        out, err = process.communicate(timeout=120)
        self.assertEqual(process.returncode, 4, f"{out}\n{err}")
        self.assertNotIn("Traceback", err)
        return err, out

    def before_mount(self, component: str) -> None:
        """Leaves beside the cache what is to be in it."""
        self.begin(component)
        self.cache.mkdir(parents=True, exist_ok=True)
        before = self.cache.with_name("cache.before")
        shutil.rmtree(before, ignore_errors=True)
        self.cache.rename(before)
        self.cache.mkdir()

    @unittest.skipUnless(may_mount(), "mounting is not permitted here")
    def test_a_full_disk(self) -> None:
        big = {f"lib/{number}": os.urandom(1 << 20) for number in range(12)}
        # The first size has no room for the archive, the second for the archive but not for the tree.
        for component, mebibytes in (("rustc", 8), ("rustc", 16), ("rustfmt", 40), ("rustfmt", 50)):
            with self.subTest(component, mebibytes=mebibytes):
                self.made = self.checkout.release("v1", **{component: big})
                self.before_mount(component)
                said, left = self.mounted(f"size={mebibytes}m", component)
                self.assertIn("No space left on device", said)
                self.assertRegex(said, "(free some|there is) space")
                self.assertNotIn("/staging/", left)
                self.assertEqual(left.count("/stage0/"), self.count_below("stage0"))

    def count_below(self, shelf: str) -> int:
        """How many files and folders there were in the cache before."""
        return sum(1 for _ in self.cache.with_name("cache.before").joinpath(shelf).rglob("*"))

    @unittest.skipUnless(may_mount(), "mounting is not permitted here")
    def test_an_unwritable_cache(self) -> None:
        for component in HALVES:
            with self.subTest(component):
                self.before_mount(component)
                said, _ = self.mounted("ro", component)
                self.assertIn("Read-only file system", said)
                self.assertIn(str(self.cache), said)


if __name__ == "__main__":
    unittest.main()
