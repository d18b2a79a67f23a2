"""Unpacks rust-installer archives (`.tar.xz`) into one folder that nobody else looks at yet.

An archive holds one folder, and that a folder for each component with its files and their list, `manifest.in`. The files of
all components of all archives make one tree.

No archive is trusted to stay in the tree, whatever its sum says: no name may be absolute or hold `..`, each link must lead to a
place in the tree, and none is made before all files are written, so that nothing is written through one.
"""

import contextlib
import lzma
import os
import tarfile
from concurrent.futures import ThreadPoolExecutor

from failure import Failure

PIECE_BYTES = 4 << 20
UNPACKED_BYTES_MAX = 8 << 30
MEMBERS_MAX = 500_000
NOT_IN_NAMES = frozenset("\0\\:" if os.name == "nt" else "\0")


def unpack(paths: list[str], tree: str) -> None:
    """Unpacks all archives side by side into `tree`, an empty folder that is ours alone."""
    # At a failure, or Ctrl-C, all are closed before those who still read are waited for: their next read fails.
    with ThreadPoolExecutor(len(paths)) as pool, contextlib.ExitStack() as opened:
        archives = [opened.enter_context(lzma.open(path)) for path in paths]
        links = [link for found in pool.map(unpack_one, archives, paths, [tree] * len(paths)) for link in found]
    for place, target in links:
        os.symlink(target, f"{tree}/{place}")


def unpack_one(archive: lzma.LZMAFile, path: str, tree: str) -> list[tuple[str, str]]:
    """Unpacks all of one archive but its links; gives these, each as its place and what it says."""
    folders, links, place, unpacked = {""}, [], "", 0
    try:
        # tarfile reads the headers only: for tens of thousands of files the rest of it takes longer than xz does.
        with tarfile.open(fileobj=archive, mode="r:") as headers:
            for count, member in enumerate(headers):
                unpacked += member.size
                if member.size < 0 or unpacked > UNPACKED_BYTES_MAX or count > MEMBERS_MAX:
                    raise ValueError(f"given up after {count} members and {unpacked} bytes: it is too large")
                place = "/".join(parts_of(member.name)[2:])  # it is named archive/component/place
                folder = place if member.isdir() else os.path.dirname(place)
                if folder not in folders:
                    os.makedirs(f"{tree}/{folder}", exist_ok=True)
                    folders.add(folder)
                if member.issym():
                    links.append((place, inside(place, member.linkname)))
                elif member.type not in (tarfile.DIRTYPE, tarfile.REGTYPE, tarfile.AREGTYPE):
                    raise ValueError(f"{place} is no file, folder or symbolic link, but of type {member.type!r}")
                elif not member.isdir() and place not in ("", "manifest.in"):
                    pieces = (archive.read(min(PIECE_BYTES, member.size - at)) for at in range(0, member.size, PIECE_BYTES))
                    mode = 0o755 if member.mode & 0o111 else 0o644
                    with open(os.open(f"{tree}/{place}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                        file.writelines(pieces)
        if archive.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):  # tarfile ends at whatever is no header
            raise EOFError
    except (ValueError, EOFError, OverflowError, MemoryError, lzma.LZMAError, tarfile.TarError) as error:
        flaw = "it is cut short" if isinstance(error, EOFError) else f"it is not sound: {error}"
        advice = "its sum is as pinned, so it was made like that: see src/stage0 and build.dist-server"
        raise Failure(f"unpacking {path}: {flaw}; {advice}") from None
    except OSError as error:
        error.filename = f"{tree}/{place}"
        raise
    return links


def parts_of(name: str) -> list[str]:
    """The parts of a name that leads nowhere but down."""
    parts = name.split("/")
    if not {"", ".", ".."}.isdisjoint(parts) or NOT_IN_NAMES.intersection(name):
        raise ValueError(f"the name {name!r} leads out of it")
    return parts


def inside(place: str, target: str) -> str:
    """What the link at `place` says, when it stays in the tree: `..` only at its start, counted from a real folder."""
    down = target
    for _ in range(place.count("/")):
        down = down.removeprefix("../")
    parts_of(down)
    return target
