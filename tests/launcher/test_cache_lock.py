"""Tests of the cache lock's files. That it excludes others is tested with real launches in `test_launch.py`."""

import os
import pathlib
import tempfile
import unittest

import cache_lock


class Planted(unittest.TestCase):
    """Links that somebody else put into the folder are not followed."""

    def setUp(self) -> None:
        home = tempfile.TemporaryDirectory()
        self.addCleanup(home.cleanup)
        self.folder = pathlib.Path(home.name, "session")
        self.folder.mkdir()
        self.victim = pathlib.Path(home.name, "victim")
        self.victim.write_text("precious", encoding="utf-8")

    def plant(self, name: str) -> None:
        try:
            (self.folder / name).symlink_to(self.victim)
        except OSError as error:
            self.skipTest(f"no links here: {error}")

    def test_a_link_in_place_of_the_record_is_replaced(self) -> None:
        for name in ("cache.holder.json", "cache.holder.json.new"):
            self.plant(name)
            with cache_lock.held(str(self.folder), 0, "testing"):
                record = self.folder / "cache.holder.json"
                self.assertIn('"doing": "testing"', record.read_text(encoding="utf-8"))
            self.assertEqual(self.victim.read_text(encoding="utf-8"), "precious", name)

    @unittest.skipUnless(hasattr(os, "O_NOFOLLOW"), "only where a link can be told from a file when it is opened")
    def test_a_link_in_place_of_the_lock_file_is_refused(self) -> None:
        self.plant("cache.lock")
        with self.assertRaises(OSError), cache_lock.held(str(self.folder), 0, "testing"):
            self.fail("the lock of another file was taken")
        self.assertEqual(self.victim.read_text(encoding="utf-8"), "precious")


if __name__ == "__main__":
    unittest.main()
