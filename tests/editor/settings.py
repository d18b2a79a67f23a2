"""The settings that `./x setup editor NAME --print` gives, read by a real parser of each format."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

Settings = dict[str, Any]

PREFIX = "rust-analyzer."
EMACS_READS = "(with-temp-buffer (insert-file-contents (car command-line-args-left)) (read (current-buffer)))"


class Skipped(Exception):
    """A program that is needed to tell is not there."""


def json_with_comments(text: str) -> Settings:
    """Reads JSON in which a line may be a comment."""
    # A string stays as it is, with whatever looks like a comment in it.
    bare = re.sub(r'("(?:\\.|[^"\\])*")|//[^\n]*', lambda found: found[1] or "", text)
    settings: Settings = json.loads(bare)
    return settings


def options_of(settings: Settings) -> Settings:
    """What VS Code makes of dotted keys: the options that it sends to the language server."""
    options: Settings = {}
    for name, value in settings.items():
        if name.startswith(PREFIX):
            *tables, key = name.removeprefix(PREFIX).split(".")
            table = options
            for one in tables:
                table = table.setdefault(one, {})
            table[key] = value
    return options


def read_vscode(path: Path) -> Settings:
    """The options in VS Code's and coc.nvim's settings."""
    return options_of(json_with_comments(path.read_text()))


def read_helix(path: Path) -> Settings:
    """The options in Helix's."""
    options: Settings = tomllib.loads(path.read_text())["language-server"]["rust-analyzer"]["config"]
    return options


def read_zed(path: Path) -> Settings:
    """The options in Zed's."""
    options: Settings = json_with_comments(path.read_text())["lsp"]["rust-analyzer"]["initialization_options"]
    return options


def read_kate(path: Path) -> Settings:
    """The options in Kate's, which takes no comments."""
    options: Settings = json.loads(path.read_text())["lspclient"]["servers"]["rust"]["initializationOptions"]
    return options


def read_neovim(path: Path) -> None:
    """Whether Lua can read Neovim's."""
    run("luac5.4", "lua5.4", "-p", str(path))


def read_emacs(path: Path) -> None:
    """Whether Emacs can read its own."""
    run("emacs", "emacs-nox", "--batch", "--eval", EMACS_READS, str(path))


def run(program: str, package: str, *arguments: str) -> None:
    """Runs a parser, and fails with what it says."""
    found = shutil.which(program)
    if not found:
        raise Skipped(f"no {program}: `apt-get install {package}`")
    done = subprocess.run([found, *arguments], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ValueError(f"{program} cannot read it: {done.stderr or done.stdout}")


READERS: dict[str, Callable[[Path], Settings | None]] = {
    "vscode": read_vscode,
    "vim": read_vscode,
    "neovim": read_neovim,
    "emacs": read_emacs,
    "helix": read_helix,
    "zed": read_zed,
    "kate": read_kate,
}
