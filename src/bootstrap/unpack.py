"""Unpacks rust-installer archives (`.tar.xz`) into one folder that nobody else looks at yet.

An archive holds one folder, and that a folder for each component with its files and their list, `manifest.in`. The
files of all components of all archives make one tree.

No archive is trusted to stay in the tree, whatever its sum says: no name may be absolute or hold `..`, links are made
only when all files are written, so that nothing is ever written through one, and each must lead to a place in the tree.

Python's tarfile is not used: with tens of thousands of files it takes longer than xz does. Decoding runs one piece
ahead in a thread of its own (lzma lets go of the interpreter's lock), and archives are unpacked side by side.
"""

import lzma
import os
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO

from failure import Failure

BLOCK = 512
READ_BYTES = 1 << 20
PIECE_BYTES = 4 << 20
DECODER_MEMORY_MAX = 512 << 20
UNPACKED_BYTES_MAX = 8 << 30
NAME_BYTES_MAX = 1 << 16
MEMBERS_MAX = 500_000
FILE, HARD_LINK, SYMBOLIC_LINK, FOLDER, LONG_NAME, LONG_TARGET = (b"0", b"\0"), b"1", b"2", b"5", b"L", b"K"
NOT_IN_NAMES = frozenset("\0\\:" if os.name == "nt" else "\0")


def unpack(paths: list[str], tree: str) -> None:
    """Unpacks all archives into `tree`, an empty folder that is ours alone."""
    stop = threading.Event()
    with ThreadPoolExecutor(len(paths)) as pool:
        try:
            archives = list(pool.map(lambda path: Archive(path, tree, stop), paths))
        except BaseException:
            stop.set()
            raise
    # All folders are there, and hard links come first: no link that is made already can redirect another.
    for place, target in (link for archive in archives for link in archive.hard_links):
        os.link(f"{tree}/{target}", f"{tree}/{place}")
    links = [link for archive in archives for link in archive.symbolic_links]
    for place, target in links:
        os.symlink(target, f"{tree}/{place}")
    for place, _ in links:
        # Each stays inside by its name, but a chain of them may not.
        if not os.path.realpath(f"{tree}/{place}").startswith(os.path.realpath(tree) + os.sep):
            raise Failure(f"unpacking {', '.join(paths)}: the link {place} leads out of the tree")


class Archive:
    """One archive; making it unpacks all that is not a link."""

    def __init__(self, path: str, tree: str, stop: threading.Event) -> None:
        self.tree = tree
        self.folders: set[str] = set()
        self.hard_links: list[tuple[str, str]] = []
        self.symbolic_links: list[tuple[str, str]] = []
        try:
            with open(path, "rb") as file, ThreadPoolExecutor(1) as decoder:
                stream = Stream(file, decoder)
                for count, (kind, name, target, mode, size) in enumerate(stream.members()):
                    if stop.is_set() or count > MEMBERS_MAX:
                        raise ValueError(f"given up after {count} members")
                    self.place(stream, kind, place_of(name), target, 0o755 if mode & 0o111 else 0o644, size)
        except (ValueError, lzma.LZMAError) as error:
            advice = "its sum is as pinned, so it was made like that: see src/stage0 and build.dist-server"
            raise Failure(f"unpacking {path}: it is not sound: {error}; {advice}") from None

    def place(self, stream: "Stream", kind: bytes, place: str, target: str, mode: int, size: int) -> None:
        """Puts one member in its place, or remembers it when it is a link."""
        folder = place if kind == FOLDER else os.path.dirname(place)
        if folder not in self.folders:
            os.makedirs(f"{self.tree}/{folder}", exist_ok=True)
            self.folders.add(folder)
        if kind == HARD_LINK:
            self.hard_links.append((place, place_of(target)))
        elif kind == SYMBOLIC_LINK:
            lands = os.path.normpath(os.path.join(folder, target))
            if os.path.isabs(lands) or lands.split(os.sep)[0] == ".." or NOT_IN_NAMES.intersection(target):
                raise ValueError(f"the link {place} leads out of it, to {target}")
            self.symbolic_links.append((place, target))
        elif kind in FILE and place in ("", "manifest.in"):
            stream.copy(size, None)  # what tells an installer what there is, and we take all
        elif kind in FILE:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
            descriptor = os.open(f"{self.tree}/{place}", flags, mode)
            try:
                stream.copy(size, descriptor)
            except OSError as error:
                error.filename = f"{self.tree}/{place}"
                raise
            finally:
                os.close(descriptor)
        elif kind != FOLDER:
            raise ValueError(f"{place} is no file, folder or link, but of type {kind!r}")


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
        while size:
            if not self.piece:
                self.piece = memoryview(self.ahead.result())
                self.total += len(self.piece)
                if not self.piece or self.total > UNPACKED_BYTES_MAX:
                    raise ValueError(f"it is cut short, or too large, after {self.total} bytes")
                self.ahead = self.pool.submit(self.decode)
            yield (part := self.piece[:size])
            self.piece = self.piece[len(part) :]
            size -= len(part)

    def copy(self, size: int, descriptor: int | None) -> None:
        """Writes the next `size` bytes to a file, if any, and passes over what fills them up to a block."""
        for piece in self.pieces(size):
            rest = piece
            while rest and descriptor is not None:
                rest = rest[os.write(descriptor, rest) :]
        b"".join(self.pieces(-size % BLOCK))

    def members(self) -> Iterator[tuple[bytes, str, str, int, int]]:
        """Type, name, target of a link, mode and size of each member. Whoever gets a file must read it."""
        long: dict[bytes, str] = {}
        while any(header := b"".join(self.pieces(BLOCK))):
            # The sum is over the header with its own field blank.
            if sum(header) - sum(header[148:156]) + 8 * ord(" ") != octal(header[148:156]):
                raise ValueError("a header's sum is wrong")
            kind, size = header[156:157], octal(header[124:136])
            if kind in (LONG_NAME, LONG_TARGET):
                if size > NAME_BYTES_MAX:
                    raise ValueError(f"a name of {size} bytes is too long")
                long[kind] = text(b"".join(self.pieces(size + -size % BLOCK)))
                continue
            prefix = text(header[345:500]) + "/" if header[257:263] == b"ustar\0" and header[345] else ""
            name, target = prefix + text(header[:100]), text(header[157:257])
            yield kind, long.pop(LONG_NAME, name), long.pop(LONG_TARGET, target), octal(header[100:108]), size


def place_of(name: str) -> str:
    """The place in the tree of a member, which is named `archive/component/place`; empty for what is above the tree."""
    parts = name.rstrip("/").split("/")
    if not {"", ".", ".."}.isdisjoint(parts) or NOT_IN_NAMES.intersection(name):
        raise ValueError(f"the name {name!r} leads out of it")
    return "/".join(parts[2:])


def octal(field: bytes) -> int:
    """A header's number. (The binary form, for 8 GiB and more, is beyond our bounds, and no octal.)"""
    return int(field.rstrip(b"\0 ") or b"0", 8)


def text(field: bytes) -> str:
    """A header's text, which ends at the first NUL."""
    return field.partition(b"\0")[0].decode()
