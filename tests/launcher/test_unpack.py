"""Unpacking of archives, those that mean harm among them."""

import lzma
import os
import shutil
import subprocess
import tarfile
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import provision
from configuration import ENVIRONMENT, Failure
from dist_server import archive

FILES = {
    "bin/tool": b"#!/bin/sh\n",
    "lib/data": bytes(700_000),
    "lib/empty": b"",
    "share/" + "long/" * 40 + "name": b"deep",
}


def member(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    """A member without content."""
    made = tarfile.TarInfo(name)
    made.type, made.linkname = kind, target
    return made


class Unpack(unittest.TestCase):
    def setUp(self) -> None:
        self.top = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.top)
        self.tree = self.top / "in" / "tree"
        self.tree.mkdir(parents=True)

    def unpack(self, *archives: bytes) -> None:
        paths = [self.top / f"{number}.tar.xz" for number in range(len(archives))]
        for path, content in zip(paths, archives, strict=True):
            path.write_bytes(content)
        provision.unpack([str(path) for path in paths], str(self.tree))

    def refuses(self, content: bytes, *texts: str) -> None:
        with self.assertRaises(Failure) as caught:
            self.unpack(content)
        code, message = caught.exception.args
        self.assertEqual(code, ENVIRONMENT)
        for text in ("unpacking", "0.tar.xz", *texts):
            self.assertIn(text, message)
        outside = {path.relative_to(self.top).as_posix() for path in self.top.rglob("*")}
        self.assertEqual({path for path in outside if not path.startswith("in/tree")}, {"0.tar.xz", "in"})

    def with_member(self, name: str, kind: bytes, target: str = "") -> bytes:
        return archive("a", "c", {"d/file": b""}, [member(name, kind, target)])

    def test_several_components_make_one_tree(self) -> None:
        self.unpack(archive("one", "c", FILES), archive("two", "d", {"bin/other": b"other"}))
        found = {path.relative_to(self.tree).as_posix(): path.read_bytes() for path in self.tree.rglob("*") if path.is_file()}
        self.assertEqual(found, FILES | {"bin/other": b"other"})

    def test_executables_are_executable_and_others_are_not(self) -> None:
        self.unpack(archive("a", "c", FILES))
        self.assertTrue(os.access(self.tree / "bin/tool", os.X_OK))
        self.assertFalse((self.tree / "lib/data").stat().st_mode & 0o111)

    def test_links_inside_are_made(self) -> None:
        links = [
            member("a/c/lib/soft", tarfile.SYMTYPE, "../bin/tool"),
            member("a/c/e/soft", tarfile.SYMTYPE, "../lib/soft"),
        ]
        self.unpack(archive("a", "c", FILES, links))
        self.assertEqual((self.tree / "lib/soft").readlink(), Path("../bin/tool"))
        self.assertTrue((self.tree / "e/soft").samefile(self.tree / "bin/tool"))

    def test_names_and_links_over_a_hundred_bytes_are_kept(self) -> None:
        place = "long/" * 30 + "name"
        links = [member(f"a/c/{place}", tarfile.SYMTYPE, "x/" * 80 + "y")]
        self.unpack(archive("a", "c", FILES, links))
        self.assertEqual(os.readlink(self.tree / place), "x/" * 80 + "y")

    def test_what_gnu_tar_packs_is_read(self) -> None:
        for path, content in FILES.items():
            (self.top / "t/c" / path).parent.mkdir(parents=True, exist_ok=True)
            (self.top / "t/c" / path).write_bytes(content)
        packed = subprocess.run(["tar", "-cJ", "t"], cwd=self.top, check=True, capture_output=True).stdout
        self.unpack(packed)
        self.assertEqual((self.tree / list(FILES)[-1]).read_bytes(), b"deep")

    def test_a_name_that_leads_out_is_refused(self) -> None:
        for name in ("../evil", "a/c/../../../evil", "/evil", "a/c//evil", "a/c/./evil", "a/../../evil"):
            with self.subTest(name):
                self.setUp()
                self.refuses(self.with_member(name, tarfile.REGTYPE), "leads out")

    def test_a_link_that_leads_out_is_refused(self) -> None:
        for target in ("/etc/passwd", "../../evil", "..", "d/../../evil"):
            with self.subTest(target):
                self.setUp()
                self.refuses(self.with_member("a/c/link", tarfile.SYMTYPE, target), "leads out")

    def test_a_chain_of_links_that_leads_out_is_refused(self) -> None:
        links = [member("a/c/d/up", tarfile.SYMTYPE, ".."), member("a/c/out", tarfile.SYMTYPE, "d/up/../evil")]
        self.refuses(archive("a", "c", {"d/file": b""}, links), "leads out")

    def test_nothing_is_written_through_a_link(self) -> None:
        links = [member("a/c/d/up", tarfile.SYMTYPE, ".."), member("a/c/out", tarfile.SYMTYPE, "d/up/..")]
        content = archive("a", "c", {"d/file": b""}, [*links, member("a/c/out/evil", tarfile.REGTYPE)])
        with self.assertRaises((Failure, FileExistsError)):
            self.unpack(content)
        self.assertEqual({path.name for path in (self.top / "in").iterdir()}, {"tree"})
        self.assertFalse((self.top / "evil").exists())

    def test_devices_and_pipes_and_hard_links_are_refused(self) -> None:
        for kind in (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.LNKTYPE):
            with self.subTest(kind):
                self.setUp()
                self.refuses(self.with_member("a/c/special", kind, "a/c/d/file"), "type")

    def test_a_truncated_archive_is_refused(self) -> None:
        content = archive("a", "c", {"lib/data": os.urandom(2_000_000)})
        self.refuses(content[: len(content) // 2], "ended before")

    def test_what_is_no_archive_is_refused(self) -> None:
        self.refuses(b"<html>not here</html>", "src/stage0")

    def test_what_is_no_tar_is_refused(self) -> None:
        self.refuses(lzma.compress(b"x" * 5000), "header")

    def test_too_much_is_refused(self) -> None:
        with mock.patch.object(provision, "BYTES_MAX", 100_000):
            self.refuses(archive("a", "c", FILES), "too large")

    def test_sizes_that_no_file_has_are_refused(self) -> None:
        for size in (-1, 1 << 40, 1 << 80):
            for kind in (tarfile.REGTYPE, tarfile.GNUTYPE_LONGNAME):
                with self.subTest(size=size, kind=kind):
                    self.setUp()
                    liar = member("a/c/liar", kind)
                    liar.size = size
                    header = liar.tobuf(tarfile.GNU_FORMAT)
                    self.refuses(lzma.compress(header + bytes(2 * tarfile.BLOCKSIZE)))


if __name__ == "__main__":
    unittest.main()
