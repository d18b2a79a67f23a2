"""A file system in memory whose `flock` is refused, or granted to everybody: what some network file systems do.

`flockless.py ANSWER FOLDER COMMAND…` mounts it over FOLDER, runs the command, and ends with its exit code. ANSWER is
the name of an error of errno(3), or `granted`. It needs the right to mount, so run it in a mount namespace.

It speaks the kernel's own protocol (fuse(4), linux/fuse.h), and of that only what a lock folder needs.
"""

from __future__ import annotations

import ctypes
import errno
import os
import stat
import struct
import subprocess
import sys
from dataclasses import dataclass, field

REQUEST = struct.Struct("=IIQQIIII")
REPLY = struct.Struct("=IiQ")
ATTRIBUTES = struct.Struct("=6Q10I")
ENTRY = struct.Struct("=4Q2I")
INIT_OUT = struct.Struct("=4I2H2I2HI7I")
SETATTR_IN = struct.Struct("=2I6Q4I")
READ_IN = struct.Struct("=2QI")
WRITE_IN = struct.Struct("=2Q2IQ2I")
DIRENT = struct.Struct("=2Q2I")

FLOCK_LOCKS = 1 << 10
SIZE_IS_SET = 1 << 3
REQUEST_BYTES_MAX = 1 << 20
ROOT = 1


@dataclass
class Node:
    """A file or a folder."""

    mode: int
    content: bytearray = field(default_factory=bytearray)
    names: dict[bytes, int] = field(default_factory=dict)
    links: int = 1


class FileSystem:
    """Answers requests: each method is one of the protocol's, and gives the body of its reply."""

    def __init__(self, lock_errno: int) -> None:
        """An empty file system; `lock_errno` is the answer to those who lock, 0 for yes."""
        self.lock_errno = lock_errno
        self.nodes = {ROOT: Node(stat.S_IFDIR | 0o700)}
        self.operations = {
            1: self.lookup,
            3: self.getattr,
            4: self.setattr,
            9: self.mkdir,
            10: self.unlink,
            11: self.unlink,
            12: self.rename,
            14: self.open,
            15: self.read,
            16: self.write,
            18: self.nothing,
            20: self.nothing,
            25: self.nothing,
            26: self.init,
            27: self.open,
            28: self.readdir,
            29: self.nothing,
            32: self.lock,
            33: self.lock,
            35: self.create,
            45: self.rename2,
        }
        # Whoever forgets expects no reply.
        self.unanswered = {2, 36, 42}

    def init(self, _node: int, body: bytes) -> bytes:
        """Agrees on the protocol, and on asking us for each `flock`."""
        major, minor, readahead, _flags = struct.unpack_from("=4I", body)
        return INIT_OUT.pack(major, min(minor, 31), readahead, FLOCK_LOCKS, 0, 0, 4096, 1, 0, 0, *[0] * 8)

    def lock(self, _node: int, _body: bytes) -> bytes:
        """What this file system is for."""
        if self.lock_errno:
            raise OSError(self.lock_errno, "")
        return b""

    def lookup(self, node: int, body: bytes) -> bytes:
        """A name in a folder."""
        try:
            return self.entry(self.nodes[node].names[body.rstrip(b"\0")])
        except KeyError:
            raise FileNotFoundError(errno.ENOENT, "") from None

    def getattr(self, node: int, _body: bytes) -> bytes:
        """What stat(2) tells."""
        return struct.pack("=QII", 0, 0, 0) + self.attributes(node)

    def setattr(self, node: int, body: bytes) -> bytes:
        """Of what can be set, only the size."""
        valid, _, _, size, *_ = SETATTR_IN.unpack_from(body)
        if valid & SIZE_IS_SET:
            content = self.nodes[node].content
            del content[size:]
            content.extend(bytes(size - len(content)))
        return self.getattr(node, b"")

    def mkdir(self, node: int, body: bytes) -> bytes:
        """A new folder."""
        (mode,) = struct.unpack_from("=I", body)
        return self.entry(self.add(node, body[8:], stat.S_IFDIR | mode))

    def create(self, node: int, body: bytes) -> bytes:
        """A new file, opened."""
        _flags, mode = struct.unpack_from("=2I", body)
        return self.entry(self.add(node, body[16:], mode)) + self.open(node, b"")

    def open(self, _node: int, _body: bytes) -> bytes:
        """No state is kept for open files."""
        return bytes(16)

    def read(self, node: int, body: bytes) -> bytes:
        """A part of a file."""
        _, offset, size = READ_IN.unpack_from(body)
        return bytes(self.nodes[node].content[offset : offset + size])

    def write(self, node: int, body: bytes) -> bytes:
        """A part of a file."""
        _, offset, size, *_ = WRITE_IN.unpack_from(body)
        self.nodes[node].content[offset : offset + size] = body[WRITE_IN.size : WRITE_IN.size + size]
        return struct.pack("=2I", size, 0)

    def readdir(self, node: int, body: bytes) -> bytes:
        """The names in a folder, from the one that was asked for."""
        _, offset, size = READ_IN.unpack_from(body)
        listing = b""
        for at, (name, child) in enumerate(self.nodes[node].names.items(), 1):
            entry = DIRENT.pack(child, at, len(name), self.nodes[child].mode >> 12) + name
            entry += bytes(-len(entry) % 8)
            if at > offset and len(listing) + len(entry) <= size:
                listing += entry
        return listing

    def unlink(self, node: int, body: bytes) -> bytes:
        """A name less."""
        child = self.nodes[node].names.pop(body.rstrip(b"\0"))
        self.nodes[child].links -= 1
        return b""

    def rename(self, node: int, body: bytes, header: int = 8) -> bytes:
        """Another name, which may replace an old one."""
        (folder,) = struct.unpack_from("=Q", body)
        old, new, _ = body[header:].split(b"\0", 2)
        self.nodes[folder].names[new] = self.nodes[node].names.pop(old)
        return b""

    def rename2(self, node: int, body: bytes) -> bytes:
        """The same with flags, which nobody sets here."""
        return self.rename(node, body, header=16)

    def nothing(self, _node: int, _body: bytes) -> bytes:
        """Done."""
        return b""

    def add(self, folder: int, name: bytes, mode: int) -> int:
        """A new node under a name."""
        number = max(self.nodes) + 1
        self.nodes[number] = Node(mode)
        self.nodes[folder].names[name.split(b"\0")[0]] = number
        return number

    def entry(self, node: int) -> bytes:
        """A node as the answer to a name. Nothing of it may be cached."""
        return ENTRY.pack(node, 0, 0, 0, 0, 0) + self.attributes(node)

    def attributes(self, number: int) -> bytes:
        """A node's attributes."""
        node = self.nodes[number]
        size = len(node.content)
        times = [0] * 6
        return ATTRIBUTES.pack(number, size, 1, *times[:3], *times[3:], node.mode, node.links, *OWNER, 0, 4096, 0)

    def serve(self, device: int) -> None:
        """Answers until the file system is unmounted."""
        while True:
            try:
                request = os.read(device, REQUEST_BYTES_MAX)
            except OSError as error:
                if error.errno == errno.ENODEV:
                    return
                raise
            _, operation, unique, node, *_ = REQUEST.unpack_from(request)
            if operation in self.unanswered:
                continue
            failure, reply = 0, b""
            try:
                reply = self.operations.get(operation, self.unknown)(node, request[REQUEST.size :])
            except OSError as error:
                failure = error.errno or errno.EIO
            os.write(device, REPLY.pack(REPLY.size + len(reply), -failure, unique) + reply)

    def unknown(self, _node: int, _body: bytes) -> bytes:
        """The kernel has its own way for what we do not know."""
        raise OSError(errno.ENOSYS, "")


OWNER = (os.geteuid(), os.getegid())


def main(answer: str, folder: str, *command: str) -> int:
    """Mounts, runs, and gives the exit code."""
    lock_errno = 0 if answer == "granted" else getattr(errno, answer)
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id={OWNER[0]},group_id={OWNER[1]}"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"flockless", os.fsencode(folder), b"fuse", 0, options.encode()) != 0:
        sys.exit(f"cannot mount: {os.strerror(ctypes.get_errno())}")
    server = os.fork()
    if server == 0:
        FileSystem(lock_errno).serve(device)
        os._exit(0)
    os.close(device)
    code = subprocess.run(command, check=False).returncode
    libc.umount2(os.fsencode(folder), 2)
    os.waitpid(server, 0)
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
