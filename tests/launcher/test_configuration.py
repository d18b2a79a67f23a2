"""Runs the cases of `tests/cases/config`, which the driver runs too."""

import contextlib
import os
import tempfile
import tomllib
import unittest
from pathlib import Path
from typing import Any
from unittest import mock

from configuration import USAGE, Configuration, Failure

CASES = Path(__file__).resolve().parents[2] / "tests" / "cases" / "config"
KEYS = ("build-dir", "lock-dir", "cache-dir", "rustc", "cargo", "stage0", "dist-server", "lock-timeout", "lock-mode")
ABSENT = {"rustc": "", "cargo": "", "dist-server": "", "lock-timeout": float("inf")}


class ConfigurationCases(unittest.TestCase):
    def test_every_case_of_the_table_holds(self) -> None:
        paths = sorted(CASES.glob("*.toml"))
        self.assertGreater(len(paths), 50, f"the table is not in {CASES}")
        for path in paths:
            with self.subTest(path.stem), tempfile.TemporaryDirectory() as folder:
                self.run_case(tomllib.loads(path.read_text("utf-8")), Path(folder).resolve())

    def run_case(self, case: dict[str, Any], top: Path) -> None:
        unknown = case.keys() - {"about", "cwd", "args", "env", "files", "expect", "error"}
        self.assertFalse(unknown, "keys that the format does not have")

        def filled(text: str) -> str:
            return text.replace("{top}", top.as_posix())

        cwd = top / case.get("cwd", "root")
        for needed in (top / "root", cwd):
            needed.mkdir(parents=True, exist_ok=True)
        for name, content in case.get("files", {}).items():
            (top / name).parent.mkdir(parents=True, exist_ok=True)
            (top / name).write_text(filled(content), "utf-8")
        arguments = [filled(word) for word in case.get("args", ["check"])]
        environment = {name: filled(value) for name, value in case.get("env", {}).items()}

        def load() -> Configuration:
            with mock.patch.dict(os.environ, environment, clear=True), contextlib.chdir(cwd):
                return Configuration(str(top / "root"), arguments)

        if "error" in case:
            try:
                code, message = USAGE, load().refused
            except Failure as failure:
                code, message = failure.args
            self.assertEqual(code, USAGE)
            self.assertNotEqual(message, "")
            for text in case["error"]:
                self.assertIn(text, message)
            return
        expected = {key: filled(value) if isinstance(value, str) else value for key, value in case["expect"].items()}
        build = Path(expected.get("build-dir", top / "root" / "build"))
        defaults = {"build-dir": build, "lock-dir": build / "session", "cache-dir": build / "cache"}
        expected = {"stage0": "auto", "lock-mode": "read-write"} | {k: str(v) for k, v in defaults.items()} | expected
        got = load()
        self.assertEqual(got.refused, "")
        for key in KEYS:
            value = getattr(got, key.replace("-", "_"))
            if key.endswith("-dir"):
                value = value.replace(os.sep, "/")
            self.assertEqual(value, expected.get(key, ABSENT.get(key)), key)


if __name__ == "__main__":
    unittest.main()
