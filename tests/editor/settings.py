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
EMACS_SAYS = """(let* ((file (pop command-line-args-left))
       (settings (with-temp-buffer (insert-file-contents file) (read (current-buffer)))))
  (require 'json)
  (princ (json-encode (alist-get 'eglot-workspace-configuration (alist-get nil settings)))))"""


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


def read_neovim(path: Path) -> Settings:
    """The options in Neovim's, as it gives them back itself."""
    says = f"lua io.stdout:write(vim.json.encode(dofile([[{path}]])))"
    command = [program("nvim", "neovim"), "--clean", "--headless", "-n", "-c", says, "-c", "qall!"]
    options: Settings = json.loads(run(command))["rust-analyzer"]
    return options


def read_emacs(path: Path) -> Settings:
    """The options in Emacs's for eglot. Those for lsp-mode are read along with them."""
    command = [program("emacs", "emacs-nox"), "--batch", "--quick", "--eval", EMACS_SAYS, str(path)]
    options: Settings = json.loads(run(command))["rust-analyzer"]
    return options


def program(name: str, package: str) -> str:
    """The path of a program."""
    found = shutil.which(name)
    if not found:
        raise Skipped(f"no {name}: `apt-get install {package}`")
    return found


def run(command: list[str]) -> str:
    """Runs a parser, and gives what it prints, or fails with what it complains of."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ValueError(f"{command[0]} cannot read it: {done.stderr or done.stdout}")
    return done.stdout


READERS: dict[str, Callable[[Path], Settings]] = {
    "vscode": read_vscode,
    "vim": read_vscode,
    "neovim": read_neovim,
    "emacs": read_emacs,
    "helix": read_helix,
    "zed": read_zed,
    "kate": read_kate,
}
