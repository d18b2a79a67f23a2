"""The launcher stays small: it runs before there is anything that could check it, so that people have to."""

import unittest
from pathlib import Path

LAUNCHER = Path(__file__).resolve().parents[2] / "src" / "bootstrap"
LINES_MAX = 600


class Size(unittest.TestCase):
    def test_the_launcher_has_fewer_than_600_lines_of_all_kinds(self) -> None:
        counts = {path.name: len(path.read_bytes().splitlines()) for path in LAUNCHER.glob("*.py")}
        self.assertGreater(len(counts), 1, f"the launcher is not in {LAUNCHER}")
        self.assertLess(sum(counts.values()), LINES_MAX, counts)


if __name__ == "__main__":
    unittest.main()
