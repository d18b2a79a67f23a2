"""One build directory for terminal and editor against two, in figures, on the crates of ripgrep.

`figures.py FOLDER` lays out a workspace of them in FOLDER, for which it needs the network once, and prints a table.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

from lsp import Client
from project import LIBRARY, RUST_ANALYZER, Project
from scenarios import ends_well
from settings import json_with_comments, options_of
from suite import OFF_THE_NETWORK, leave_the_network

MEMBERS = ["globset", "grep", "grep-cli", "grep-matcher", "grep-printer", "grep-regex", "grep-searcher", "ignore"]
PROGRAM = "ripgrep"
# What is edited in the editor, and what keeps the terminal's build busy: all others depend on it.
EDITED = "ripgrep/crates/core/main.rs"
BELOW = "globset/src/lib.rs"
SAVES = 5


def main() -> int:
    """Prints the table."""
    if len(sys.argv) != 2:
        print(f"usage: {sys.argv[0]} FOLDER", file=sys.stderr)
        return 2
    workspace = Path(sys.argv[1]).absolute() / "workspace"
    if OFF_THE_NETWORK not in os.environ and not workspace.exists():
        lay_out(workspace)
    leave_the_network()
    one, two = (measure(workspace, kind) for kind in ("shared", "separate"))
    print("| | one directory | two |\n| --- | ---: | ---: |")
    for name in one:
        print(f"| {name} | {one[name]} | {two[name]} |")
    return 0


def lay_out(workspace: Path) -> None:
    """Copies the packages out of cargo's registry into a workspace, as their repository has them."""
    scratch = workspace.with_name("scratch")
    (scratch / "src").mkdir(parents=True)
    (scratch / "src/lib.rs").touch()
    wanted = "".join(f'{name} = "*"\n' for name in [*MEMBERS, PROGRAM])
    (scratch / "Cargo.toml").write_text(f'[package]\nname = "scratch"\n\n[dependencies]\n{wanted}')
    fetch = ["cargo", "fetch"]
    subprocess.run(fetch, cwd=scratch, check=True)
    # Of the program alone cargo does not tell where it is: nothing depends on what has no library.
    metadata = ["cargo", "metadata", "--format-version=1"]
    packages = json.loads(subprocess.run(metadata, cwd=scratch, stdout=subprocess.PIPE, check=True).stdout)["packages"]
    found = {package["name"]: Path(package["manifest_path"]).parent for package in packages}
    registry = found[MEMBERS[0]].parent
    found[PROGRAM] = max(registry.glob(f"{PROGRAM}-[0-9]*"))
    for name in [*MEMBERS, PROGRAM]:
        # Each has a lock file of its own, which a member of a workspace has not.
        shutil.copytree(found[name], workspace / name, ignore=shutil.ignore_patterns("Cargo.lock", ".cargo*"))
    # Some need a nightly compiler.
    for bench in workspace.glob("*/benches/*.rs"):
        bench.write_text("fn main() {}\n")
    members = json.dumps([*MEMBERS, PROGRAM])
    patches = "".join(f'{name} = {{ path = "{name}" }}\n' for name in MEMBERS)
    manifest = f'[workspace]\nresolver = "3"\nmembers = {members}\n\n[patch.crates-io]\n{patches}'
    (workspace / "Cargo.toml").write_text(manifest)
    subprocess.run(fetch, cwd=workspace, check=True)


def measure(workspace: Path, kind: str) -> dict[str, str]:
    """The figures of one kind of `build.editor-build-dir`."""
    figures = {}
    for before in ("build", "check --all-targets"):
        project = Project()
        try:
            shutil.rmtree(project.workspace)
            shutil.copytree(workspace, project.workspace)
            project.configure(f'build.editor-build-dir = "{kind}"')
            began = time.monotonic()
            ends_well(project.x(*before.split()))
            figures[f"`./x {before}` in an empty directory"] = seconds(time.monotonic() - began)
            began = time.monotonic()
            client = editor(project)
            figures[f"the editor's first check after `./x {before}`, from its start"] = seconds(time.monotonic() - began)
            if before == "build":
                figures |= saves(project, client)
                figures["disk"] = f"{disk(project) / 1e6:.0f} MB"
            client.quit()
        finally:
            project.close()
    print(f"{kind}: {figures}", file=sys.stderr)
    return figures


def saves(project: Project, client: Client) -> dict[str, str]:
    """From save to diagnostics, with nothing in the terminal and with a build."""
    idle = statistics.median(save(project, client, number) for number in range(SAVES))
    below = project.workspace / BELOW
    below.write_text(below.read_text() + "\n// Changed.\n")
    began = time.monotonic()
    build = project.x("build")
    project.until("the build runs", lambda: project.session("build", "granted"))
    beside = save(project, client, SAVES)
    was_done = build.poll() is not None
    ends_well(build)
    took = time.monotonic() - began
    return {
        f"save to diagnostics, idle terminal (median of {SAVES})": seconds(idle),
        "save to diagnostics, `./x build` running": seconds(beside) + (" (after it)" if was_done else " (beside it)"),
        "that build": seconds(took),
    }


def save(project: Project, client: Client, number: int) -> float:
    """Writes what deserves a warning into a file, saves it, and waits until it is shown; each time in another line."""
    text = (project.workspace / EDITED).read_text()
    line = text.count("\n")
    began = time.monotonic()
    client.change(EDITED, f"{text}fn nobody_calls_{number}() {{}}\n")
    client.save(EDITED)

    def is_shown() -> bool:
        shown = client.published.get(client.uri(EDITED), [])
        return any(one["source"] == "rustc" and one["range"]["start"]["line"] == line for one in shown)

    client.until("the warning is shown", is_shown)
    took = time.monotonic() - began
    client.until("no check runs", lambda: client.begun == client.ended)
    return took


def editor(project: Project) -> Client:
    """Starts rust-analyzer, and waits until its first check has ended."""
    options = options_of(json_with_comments(project.printed("setup", "editor", "vscode", "--print")))
    options["cargo"]["sysrootSrc"] = str(LIBRARY)
    options["cachePriming"] = {"enable": False}
    log = project.home / "rust-analyzer.log"
    client = Client([str(RUST_ANALYZER)], project.workspace, project.environment, options, log)
    client.open(EDITED)
    client.until("the workspace is loaded", lambda: client.quiescent)
    client.until("no check runs", lambda: client.begun == client.ended > 0)
    return client


def disk(project: Project) -> int:
    """The bytes of all build directories."""
    folders = ["du", "--summarize", "--bytes", "--total", *map(str, project.home.glob("build*"))]
    total = subprocess.run(folders, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()[-1]
    return int(total.split()[0])


def seconds(number: float) -> str:
    """A time as the table has it."""
    return f"{number:.2f} s" if number < 10 else f"{number:.0f} s"


if __name__ == "__main__":
    sys.exit(main())
