"""Unpacks rust-installer archives (`.tar.xz`) into one folder that nobody else looks at yet.

An archive holds one folder, and that a folder for each component with its files and their list, `manifest.in`. The
files of all components of all archives make one tree.

No archive is trusted to stay in the tree, whatever its sum says: no name may be absolute or hold `..`, each link must
lead to a place in the tree, and none is made before all files are written, so that nothing is written through one.

Of Python's tarfile only the format of a header is used: with tens of thousands of files the rest takes longer than xz
does. Decoding runs one piece ahead in a thread of its own (lzma lets go of the interpreter's lock), and archives are
unpacked side by side.
"""

import lzma
import os
import tarfile
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO

from failure import Failure

READ_BYTES = 1 << 20
PIECE_BYTES = 4 << 20
DECODER_MEMORY_MAX = 512 << 20
UNPACKED_BYTES_MAX = 8 << 30
NAME_BYTES_MAX = 1 << 16
MEMBERS_MAX = 500_000
NOT_IN_NAMES = frozenset("\0\\:" if os.name == "nt" else "\0")

Link = tuple[str, str]


def unpack(paths: list[str], tree: str) -> None:
    """Unpacks all archives into `tree`, an empty folder that is ours alone."""
    pool = ThreadPoolExecutor(2 * len(paths))  # each has a thread that writes, and one that decodes
    try:
        archives = [pool.submit(unpack_one, path, tree, pool) for path in paths]
        links = [link for archive in archives for link in archive.result()]
    finally:
        pool.shutdown(cancel_futures=True)  # after a failure no other archive gets another piece
    for place, target in links:
        os.symlink(target, f"{tree}/{place}")


def unpack_one(path: str, tree: str, pool: ThreadPoolExecutor) -> list[Link]:
    """Unpacks all of one archive but its links; gives these, each as its place and what it says."""
    folders, links = {""}, list[Link]()
    try:
        with open(path, "rb") as file:
            stream = Stream(file, pool)
            for count, member in enumerate(stream.members()):
                if count > MEMBERS_MAX:
                    raise ValueError(f"given up after {count} members")
                place = place_of(member.name)
                folder = place if member.isdir() else os.path.dirname(place)
                if folder not in folders:
                    os.makedirs(f"{tree}/{folder}", exist_ok=True)
                    folders.add(folder)
                if member.issym():
                    links.append((place, inside(place, member.linkname)))
                elif member.type in (tarfile.REGTYPE, tarfile.AREGTYPE):
                    content = stream.content(member.size)
                    if place in ("", "manifest.in"):
                        b"".join(content)  # what tells an installer what there is, and we take all
                    else:
                        write(content, f"{tree}/{place}", 0o755 if member.mode & 0o111 else 0o644)
                elif not member.isdir():
                    raise ValueError(f"{place} is no file, folder or symbolic link, but of type {member.type!r}")
    except (ValueError, lzma.LZMAError, tarfile.TarError) as error:
        advice = "its sum is as pinned, so it was made like that: see src/stage0 and build.dist-server"
        raise Failure(f"unpacking {path}: it is not sound: {error}; {advice}") from None
    return links


class Stream:
    """The tar stream in an `.xz` file, one piece ahead: ustar with GNU's long names, as rust-installer writes it."""

    def __init__(self, file: BinaryIO, pool: ThreadPoolExecutor) -> None:
        self.file, self.pool = file, pool
        self.decoder = lzma.LZMADecompressor(memlimit=DECODER_MEMORY_MAX)
        self.piece, self.total = memoryview(b""), 0
        self.ahead: Future[bytes] = pool.submit(self.decode)

    def decode(self) -> bytes:
        """The next piece, empty at the end; runs in the decoding thread."""
        piece, data = b"", b"-"
        while not piece and data and not self.decoder.eof:
            if self.decoder.needs_input:
                data = self.file.read(READ_BYTES)
            piece = self.decoder.decompress(data if self.decoder.needs_input else b"", PIECE_BYTES)
        return piece

    def pieces(self, size: int) -> Iterator[memoryview]:
        """The next `size` bytes, as they come."""
        while size > 0:
            if not self.piece:
                self.piece = memoryview(self.ahead.result())
                self.total += len(self.piece)
                if not self.piece or self.total > UNPACKED_BYTES_MAX:
                    raise ValueError(f"it is cut short, or too large, after {self.total} bytes")
                self.ahead = self.pool.submit(self.decode)
            yield (part := self.piece[:size])
            self.piece = self.piece[len(part) :]
            size -= len(part)

    def content(self, size: int) -> Iterator[memoryview]:
        """A member's content of `size` bytes. What fills it up to a block is passed over."""
        yield from self.pieces(size)
        b"".join(self.pieces(-size % tarfile.BLOCKSIZE))

    def members(self) -> Iterator[tarfile.TarInfo]:
        """The header of each member; whoever gets a file's must take its content."""
        long: dict[bytes, str] = {}
        while any(header := b"".join(self.pieces(tarfile.BLOCKSIZE))):
            member = tarfile.TarInfo.frombuf(header, "utf-8", "strict")
            if member.type in (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK):
                if member.size > NAME_BYTES_MAX:
                    raise ValueError(f"a name of {member.size} bytes is too long")
                long[member.type] = b"".join(self.content(member.size)).partition(b"\0")[0].decode()
                continue
            member.name = long.pop(tarfile.GNUTYPE_LONGNAME, member.name)
            member.linkname = long.pop(tarfile.GNUTYPE_LONGLINK, member.linkname)
            yield member


def write(content: Iterator[memoryview], path: str, mode: int) -> None:
    """Makes a file."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), mode)
    try:
        for piece in content:
            rest = piece
            while rest:
                rest = rest[os.write(descriptor, rest) :]
    except OSError as error:
        error.filename = path
        raise
    finally:
        os.close(descriptor)


def place_of(name: str) -> str:
    """The place in the tree of a member, which is named `archive/component/place`; empty for what is above the tree."""
    parts = name.rstrip("/").split("/")
    if not {"", ".", ".."}.isdisjoint(parts) or NOT_IN_NAMES.intersection(name):
        raise ValueError(f"the name {name!r} leads out of it")
    return "/".join(parts[2:])


def inside(place: str, target: str) -> str:
    """What the link at `place` says, when it stays in the tree: `..` only at its start, counted from a real folder."""
    parts = target.split("/")
    up = next((number for number, part in enumerate(parts) if part != ".."), len(parts))
    if up > place.count("/") or not {"", ".."}.isdisjoint(parts[up:]) or NOT_IN_NAMES.intersection(target):
        raise ValueError(f"the link {place} leads out of it, to {target}")
    return target
