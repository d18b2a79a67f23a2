"""The launcher stays small: it runs before there is anything that could check it, so that people have to."""

import ast
import unittest
from pathlib import Path

LAUNCHER = Path(__file__).resolve().parents[2] / "src" / "bootstrap"
CODE_LINES_MAX = 600
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)


def code_lines(text: str) -> int:
    """How many lines are neither blank, nor a comment, nor a docstring."""
    documented = (node for node in ast.walk(ast.parse(text)) if isinstance(node, DOCUMENTED) and ast.get_docstring(node))
    docstrings = {line for node in documented for line in range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1)}
    lines = enumerate(text.splitlines(), start=1)
    return sum(bool(line.strip()) and not line.strip().startswith("#") and number not in docstrings for number, line in lines)


class Size(unittest.TestCase):
    def test_the_launcher_has_fewer_than_600_lines_of_code(self) -> None:
        counts = {path.name: code_lines(path.read_text("utf-8")) for path in LAUNCHER.glob("*.py")}
        self.assertGreater(len(counts), 1, f"the launcher is not in {LAUNCHER}")
        self.assertLess(sum(counts.values()), CODE_LINES_MAX, counts)

    def test_comments_docstrings_and_blank_lines_are_no_code(self) -> None:
        self.assertEqual(code_lines('"""A\nmodule."""\n\n# why\nx = 1  # what\n\ndef f() -> None:\n    """F."""\n    pass\n'), 3)


if __name__ == "__main__":
    unittest.main()
