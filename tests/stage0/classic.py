"""A small model of the classic order, for comparison: delete what is stale, unpack in place, write a stamp.

It is what `bootstrap.py` of rust-lang/rust does (see `docs/adopting.md`), less what does not matter to the race: the
archives are the test's, and the driver is "built" by the toolchain's cargo straight to where it is started from. Called
as `classic.py ROOT SERVER`, it does what a `./x` does.
"""

import hashlib
import shutil
import subprocess
import sys
import tarfile
import urllib.request
from pathlib import Path


def main(root: Path, server: str) -> int:
    """Brings stage0 up to date and builds the driver, in the classic order; gives the driver's exit code."""
    text = (root / "src" / "stage0").read_text()
    sums = {key: value for key, _, value in (line.partition("=") for line in text.splitlines()) if "/" in key}
    base = {key: value for key, value in sums.items() if Path(key).name.startswith(("cargo-", "rust-std-", "rustc-"))}
    # There the archives lie in a folder that is named after their date; here all have one.
    stage0, cache = root / "build" / "stage0", root / "build" / "cache" / hashlib.sha256(text.encode()).hexdigest()
    stamp = stage0 / ".stamp"
    if not stamp.exists() or stamp.read_text() != text:
        if stage0.exists():
            shutil.rmtree(stage0)
        cache.mkdir(parents=True, exist_ok=True)
        for key, pinned in base.items():
            archive = cache / Path(key).name
            if not archive.exists():
                with urllib.request.urlopen(f"{server}/{key}") as answer:
                    content = answer.read()
                if hashlib.sha256(content).hexdigest() != pinned:
                    sys.exit(f"{key} has another sum")
                part = archive.with_suffix(".tmp")
                part.write_bytes(content)
                shutil.move(part, archive)
            unpack(archive, stage0)
        stamp.write_text(text)
    target = root / "build" / "bootstrap"
    subprocess.run(
        [stage0 / "bin" / "cargo", "build", "--package=bootstrap", f"--target-dir={target}"],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return subprocess.run([target / "driver" / "bootstrap"], check=False).returncode


def unpack(archive: Path, tree: Path) -> None:
    """Unpacks an archive into the tree, file by file, over what is there."""
    with tarfile.open(archive) as tar:
        for member in tar:
            place = tree.joinpath(*Path(member.name).parts[2:])
            if place != tree and place.name != "manifest.in" and (content := tar.extractfile(member)):
                place.parent.mkdir(parents=True, exist_ok=True)
                with place.open("wb") as file:
                    shutil.copyfileobj(content, file)
                place.chmod(member.mode)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
