"""Archives of real size, tens of thousands of files, through the whole of `./x`."""

from __future__ import annotations

import signal
import unittest

import real_size
from checkout import STUCK_SECONDS, Case


class RealSize(Case):
    def test_two_at_once_and_one_killed_in_the_middle_of_unpacking(self) -> None:
        files = {"rust-std": real_size.texts()}
        self.checkout.release("v1", **files)
        killed = self.checkout.start("tidy")
        assert killed.stderr
        while "unpacking stage0" not in killed.stderr.readline():
            pass
        # It is in the middle once there is something in the tree.
        staging = self.checkout.build / "cache" / "staging"
        while not any(staging.glob("*/share/doc/*")):
            self.assertIsNone(killed.poll())
        killed.send_signal(signal.SIGKILL)
        killed.communicate(timeout=STUCK_SECONDS)
        self.assertEqual(self.checkout.toolchains(), [])
        self.checkout.server.requests.clear()
        said = self.end_all([self.checkout.start("tidy") for _ in range(2)])
        self.assertEqual(said.splitlines().count("unpacking stage0"), 1)
        self.assertEqual(self.checkout.server.requests, [])
        (tree,) = self.checkout.toolchains()
        for component in files.values():
            for path, content in component.items():
                self.assertEqual((tree / path).read_bytes(), content)
        self.assert_clean(self.checkout.build / "cache")


if __name__ == "__main__":
    unittest.main()
