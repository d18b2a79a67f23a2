"""Components that only some commands need: fetched on first need, by readers too, and never only to show something."""

from __future__ import annotations

import unittest
from pathlib import Path

from checkout import BASE, Case


class Components(Case):
    def setUp(self) -> None:
        super().setUp()
        self.checkout.release("v1")
        self.x("tidy")
        self.checkout.server.requests.clear()

    def fetched(self) -> list[str]:
        """The components that were asked for."""
        return [Path(path).name.split("-1.95.0")[0] for path, _ in self.checkout.server.requests]

    def test_what_only_shows_something_fetches_nothing(self) -> None:
        for arguments in (
            ("setup", "editor", "vscode", "--print"),
            ("setup", "editor", "vscode", "--dry-run"),
            ("fmt", "--dry-run"),
            ("clippy", "--dry-run"),
            ("fmt", "--help"),
        ):
            with self.subTest(arguments):
                said = self.x(*arguments)
                self.assertEqual(self.fetched(), [])
                self.assertNotIn("downloading", said)
        said = self.x("setup", "editor", "vscode", "--check", code=1)
        self.assertIn("the settings leave out rustfmt", said)
        self.assertEqual(self.fetched(), [])

    def test_settings_name_what_was_fetched_for_them(self) -> None:
        self.x("setup", "editor", "vscode")
        self.assertEqual(self.fetched(), ["rustfmt"])
        self.assertIn("/bin/rustfmt", (self.checkout.root / ".vscode" / "settings.json").read_text())
        self.x("setup", "editor", "vscode", "--check")
        self.assertEqual(self.fetched(), ["rustfmt"])

    def test_a_reader_fetches_beside_another_reader(self) -> None:
        held = self.start_held("check")
        said = self.x("clippy", "--no-wait")
        self.assertNotIn("waiting", said)
        self.assertEqual(self.fetched(), ["clippy"])
        self.let_on("check")
        self.end(held)

    def test_a_toolchain_with_one_component_more_is_another_beside_the_first(self) -> None:
        (base,) = self.checkout.toolchains()
        before = {path.relative_to(base) for path in base.rglob("*")}
        self.x("fmt", "--check")
        self.assertEqual({path.relative_to(base) for path in base.rglob("*")}, before)
        self.assertEqual(len(self.checkout.toolchains()), 2)
        self.assertEqual(self.fetched(), ["rustfmt"])
        self.assertNotIn(self.fetched()[0], BASE)


if __name__ == "__main__":
    unittest.main()
