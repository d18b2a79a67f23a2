"""Unpacks rust-installer archives (`.tar.xz`) into one folder that nobody else looks at yet.

An archive holds one folder. In that, `components` lists the components; a component's files lie below `<component>/`, and
its `manifest.in` lists them. The files of all components of all archives make one tree.

No archive is trusted to stay in the tree, whatever its sum says: no name may be absolute or hold `..`, links are made only
when all files are written, so that nothing is ever written through one, and each must lead to a place in the tree.

Python's tarfile is not used: with tens of thousands of files it takes longer than xz does. Decoding runs one piece ahead
in a thread of its own (lzma lets go of the interpreter's lock), and archives are unpacked side by side.
"""

from __future__ import annotations

import lzma
import os
import threading
from concurrent.futures import Future, ThreadPoolExecutor

from failure import EXIT_ENVIRONMENT, Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import BinaryIO

BLOCK = 512
READ_BYTES = 1 << 20
PIECE_BYTES = 4 << 20
DECODER_MEMORY_MAX = 512 << 20
UNPACKED_BYTES_MAX = 8 << 30
LISTING_BYTES_MAX = 64 << 20
MEMBERS_MAX = 500_000
NOT_IN_NAMES = "\0\\:" if os.name == "nt" else "\0"


class Broken(ValueError):
    """The archive is not what it should be."""


def unpack(paths: Sequence[str], tree: str) -> None:
    """Unpacks all archives into `tree`, an empty folder that is ours alone."""
    stop = threading.Event()
    with ThreadPoolExecutor(len(paths)) as pool:
        try:
            archives = list(pool.map(lambda path: Archive(path, tree, stop), paths))
        except BaseException:
            stop.set()
            raise
    for archive in archives:
        archive.make_links()
    for archive in archives:
        archive.check_links()


class Archive:
    """One archive; making it unpacks all that is not a link."""

    def __init__(self, path: str, tree: str, stop: threading.Event) -> None:
        self.path, self.tree, self.stop = path, tree, stop
        self.folders: set[str] = set()
        self.files: dict[str, set[str]] = {}
        self.listings: dict[str, list[str]] = {}
        self.hard_links: list[tuple[str, str]] = []
        self.symbolic_links: list[tuple[str, str]] = []
        try:
            with open(path, "rb") as file, ThreadPoolExecutor(1) as decoder:
                self.stream = Stream(file, decoder)
                for count, member in enumerate(self.stream.members()):
                    if stop.is_set() or count > MEMBERS_MAX:
                        raise Broken(f"given up after {count} members")
                    self.add(*member)
            self.check_listings()
        except (ValueError, lzma.LZMAError) as error:
            advice = "its sum is as pinned, so it was made like that: see src/stage0 and build.dist-server"
            raise Failure(EXIT_ENVIRONMENT, f"unpacking {path}: {error}; {advice}") from None

    def add(self, kind: bytes, name: str, target: str, mode: int, size: int) -> None:
        """Puts one member in its place."""
        component, place = split(name)
        self.make_folder(place if kind == b"5" else os.path.dirname(place))
        if kind == b"5":
            return
        if kind == b"1":
            self.hard_links.append((place, split(target)[1]))
        elif kind == b"2":
            lands = os.path.normpath(f"{os.path.dirname(place)}/{target}")
            if target.startswith("/") or lands.split(os.sep)[0] == ".." or any(c in target for c in NOT_IN_NAMES):
                raise Broken(f"the link {name} leads out of it, to {target}")
            self.symbolic_links.append((place, target))
        elif kind not in (b"0", b"\0"):
            raise Broken(f"{name} is no file, folder or link, but of type {kind!r}")
        elif place in ("", "manifest.in"):
            self.listings[f"{component}/{place}"] = self.stream.take(size).decode(errors="replace").split("\n")
        else:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
            descriptor = os.open(f"{self.tree}/{place}", flags, 0o755 if mode & 0o111 else 0o644)
            try:
                self.stream.copy(size, descriptor)
            finally:
                os.close(descriptor)
            self.files.setdefault(component, set()).add(place)

    def make_folder(self, place: str) -> None:
        """Makes a folder of the tree with those above it, once."""
        if place not in self.folders:
            os.makedirs(f"{self.tree}/{place}", exist_ok=True)
            self.folders.add(place)

    def check_listings(self) -> None:
        """Compares what came with what the archive says it holds."""
        components = [line for line in self.listings.get("components/", []) if line]
        if self.listings.get("rust-installer-version/", [""])[0] != "3" or not components:
            raise Broken("it is no rust-installer archive of version 3")
        linked = {place for place, _ in self.hard_links + self.symbolic_links}
        for component in components:
            for line in self.listings.get(f"{component}/manifest.in", ["file:manifest.in"]):
                kind, _, place = line.partition(":")
                if kind == "file" and place not in self.files.get(component, ()) and place not in linked:
                    raise Broken(f"{place} of {component} is listed, and not in it")

    def make_links(self) -> None:
        """Makes the links; all their folders are there, so no link that is made already can redirect another."""
        for place, target in self.hard_links:
            os.link(f"{self.tree}/{target}", f"{self.tree}/{place}")
        for place, target in self.symbolic_links:
            os.symlink(target, f"{self.tree}/{place}")

    def check_links(self) -> None:
        """Refuses a chain of links that leads out, though each of them stays inside by its name."""
        inside = os.path.realpath(self.tree) + os.sep
        for place, _ in self.symbolic_links:
            if not os.path.realpath(f"{self.tree}/{place}").startswith(inside):
                raise Failure(EXIT_ENVIRONMENT, f"unpacking {self.path}: the link {place} leads out of it")


class Stream:
    """The tar stream in an `.xz` file, decoded one piece ahead. The format is that of POSIX pax and of GNU tar's manual."""

    def __init__(self, file: BinaryIO, pool: ThreadPoolExecutor) -> None:
        self.file, self.pool = file, pool
        self.decoder = lzma.LZMADecompressor(memlimit=DECODER_MEMORY_MAX)
        self.piece = memoryview(b"")
        self.total = 0
        self.ahead: Future[bytes] = pool.submit(self.decode)

    def decode(self) -> bytes:
        """The next piece, empty at the end; runs in the decoding thread."""
        while not self.decoder.eof:
            data = self.file.read(READ_BYTES) if self.decoder.needs_input else b""
            if self.decoder.needs_input and not data:
                break
            if piece := self.decoder.decompress(data, PIECE_BYTES):
                return piece
        return b""

    def pieces(self, size: int) -> Iterator[memoryview]:
        """The next `size` bytes, as they come."""
        while size:
            if not self.piece:
                self.piece = memoryview(self.ahead.result())
                self.total += len(self.piece)
                if not self.piece or self.total > UNPACKED_BYTES_MAX:
                    raise Broken(f"cut short, or too large, after {self.total} bytes")
                self.ahead = self.pool.submit(self.decode)
            yield (part := self.piece[:size])
            self.piece = self.piece[len(part) :]
            size -= len(part)

    def take(self, size: int) -> bytes:
        """The next `size` bytes at once, with what fills them up to a block passed over."""
        if size > LISTING_BYTES_MAX:
            raise Broken(f"a listing of {size} bytes is too large")
        return b"".join(self.pieces(size + -size % BLOCK))[:size]

    def copy(self, size: int, descriptor: int) -> None:
        """Writes the next `size` bytes to a file, and passes over what fills them up to a block."""
        for piece in self.pieces(size):
            rest = piece
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        b"".join(self.pieces(-size % BLOCK))

    def members(self) -> Iterator[tuple[bytes, str, str, int, int]]:
        """Type, name, target of a link, mode and size of each member. Whoever gets a file must read it."""
        extended: dict[str, str] = {}
        while any(header := self.take(BLOCK)):
            # The sum is over the header with its own field blank.
            if sum(header) - sum(header[148:156]) + 8 * ord(" ") != octal(header[148:156]):
                raise Broken("a header's sum is wrong: it is no tar archive")
            kind, size = header[156:157], octal(header[124:136])
            if kind in (b"L", b"K"):
                extended["path" if kind == b"L" else "linkpath"] = text(self.take(size))
            elif kind in (b"x", b"g"):
                extended |= pax_records(self.take(size)) if kind == b"x" else {}
            else:
                prefix = text(header[345:500]) + "/" if header[257:263] == b"ustar\0" and header[345] else ""
                name = extended.get("path", prefix + text(header[:100]))
                target = extended.get("linkpath", text(header[157:257]))
                yield kind, name, target, octal(header[100:108]), int(extended.get("size", size))
                extended = {}


def split(name: str) -> tuple[str, str]:
    """The component and the place in the tree that a member's name stands for."""
    parts = name.rstrip("/").split("/")
    if any(part in ("", ".", "..") for part in parts) or any(c in name for c in NOT_IN_NAMES):
        raise Broken(f"the name {name!r} leads out of it")
    return "/".join(parts[1:2]), "/".join(parts[2:])


def octal(field: bytes) -> int:
    """A header's number. The binary form, for sizes of 8 GiB and more, is over our bounds and refused here."""
    return int(field.rstrip(b"\0 ") or b"0", 8)


def text(field: bytes) -> str:
    """A header's text, which ends at the first NUL."""
    return field.partition(b"\0")[0].decode()


def pax_records(content: bytes) -> dict[str, str]:
    """The `length key=value` records of a pax header; the length counts the whole record."""
    records = {}
    while content:
        length = int(content.partition(b" ")[0])
        key, _, value = content[:length].partition(b" ")[2].rstrip(b"\n").partition(b"=")
        records[key.decode()] = value.decode()
        content = content[max(1, length) :]
    return records
