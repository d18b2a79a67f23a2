"""Downloads from a server that misbehaves."""

import contextlib
import io
import os
import tempfile
import unittest
from pathlib import Path
from unittest import mock

import provision
from configuration import ENVIRONMENT, Failure
from dist_server import DistServer, Fault, sha256

CONTENT = bytes(range(256)) * 4096


class Download(unittest.TestCase):
    def setUp(self) -> None:
        self.stderr = io.StringIO()
        stack = contextlib.ExitStack()
        self.addCleanup(stack.close)
        self.server = stack.enter_context(DistServer({"/f": CONTENT}))
        self.path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "downloads" / "f"
        stack.enter_context(mock.patch.object(provision, "BACKOFF_SECONDS", 0))
        stack.enter_context(mock.patch.dict(os.environ, {"no_proxy": "*"}))
        stack.enter_context(contextlib.redirect_stderr(self.stderr))

    def ensure(self, total: str = sha256(CONTENT), url: str = "") -> None:
        path = provision.download(url or f"{self.server.url}/f", str(self.path.parent), total)
        self.assertEqual(path, str(self.path))

    def fails(self, *texts: str) -> None:
        with self.assertRaises(Failure) as caught:
            self.ensure()
        code, message = caught.exception.args
        self.assertEqual(code, ENVIRONMENT)
        for text in texts:
            self.assertIn(text, message)

    def is_there_after(self, *ranges: str | None) -> None:
        self.assertEqual(self.path.read_bytes(), CONTENT)
        self.assertEqual([wanted for _, wanted in self.server.requests], list(ranges))

    def test_a_file_that_is_there_is_not_downloaded_again(self) -> None:
        self.ensure()
        self.ensure()
        self.is_there_after(None)

    def test_a_file_that_was_tampered_with_is_downloaded_again(self) -> None:
        self.ensure()
        self.path.write_bytes(b"x" + CONTENT[1:])
        self.ensure()
        self.is_there_after(None, f"bytes={len(CONTENT)}-", None)
        self.assertIn("has changed since it was downloaded", self.stderr.getvalue())

    def test_a_connection_that_drops_is_resumed(self) -> None:
        self.server.faults = [Fault(drop_after=300_000), Fault(drop_after=300_000)]
        self.ensure()
        self.is_there_after(None, "bytes=300000-", "bytes=600000-")

    def test_a_server_without_ranges_starts_over(self) -> None:
        self.server.faults = [Fault(drop_after=1000), Fault(ranges=False)]
        self.ensure()
        self.is_there_after(None, "bytes=1000-")

    def test_what_a_killed_run_began_is_resumed(self) -> None:
        self.path.parent.mkdir()
        self.path.write_bytes(CONTENT[:7])
        self.ensure()
        self.is_there_after("bytes=7-")

    def test_what_a_killed_run_completed_is_not_asked_for(self) -> None:
        self.path.parent.mkdir()
        self.path.write_bytes(CONTENT)
        self.ensure()
        self.is_there_after()

    def test_a_beginning_of_another_file_is_thrown_away(self) -> None:
        self.path.parent.mkdir()
        self.path.write_bytes(b"other")
        self.ensure()
        self.is_there_after("bytes=5-", None)

    def test_a_beginning_that_is_too_long_is_thrown_away(self) -> None:
        self.path.parent.mkdir()
        self.path.write_bytes(CONTENT + b"more")
        self.ensure()
        self.is_there_after(f"bytes={len(CONTENT) + 4}-", None)

    def test_a_server_in_trouble_is_tried_again(self) -> None:
        self.server.faults = [Fault(status=500), Fault(status=503)]
        self.ensure()
        self.is_there_after(None, None, None)

    def test_attempts_are_bounded(self) -> None:
        self.server.faults = [Fault(status=500)] * 20
        self.fails("500", "gave up after 6 attempts")
        self.assertEqual(len(self.server.requests), provision.ATTEMPTS)

    def test_a_server_that_hangs_up_is_tried_again_from_where_it_was(self) -> None:
        self.server.faults = [Fault(drop_after=10)] * 20
        self.fails("the connection was closed after 60 of 1048576 bytes")
        self.server.faults = []
        self.ensure()
        self.assertEqual(self.server.requests[-1], ("/f", "bytes=60-"))

    def test_a_missing_file_is_an_error_at_once(self) -> None:
        self.server.files = {}
        self.fails("404", "build.dist-server")
        self.assertEqual(len(self.server.requests), 1)

    def test_a_wrong_sum_is_an_error_at_once_and_leaves_nothing(self) -> None:
        self.server.faults = [Fault(body=b"something else")]
        self.fails(sha256(b"something else"), sha256(CONTENT), "is pinned")
        self.assertEqual(len(self.server.requests), 1)
        self.assertEqual(self.path.stat().st_size, 0)

    def test_a_length_that_is_too_long_is_found_out_by_the_sum(self) -> None:
        self.server.faults = [Fault(length=len(CONTENT) + 5)]
        self.ensure()
        self.is_there_after(None)

    def test_a_length_that_is_too_short_is_an_error_at_once(self) -> None:
        self.server.faults = [Fault(length=len(CONTENT) - 5)]
        self.fails("is pinned")

    def test_a_slow_server_is_waited_for(self) -> None:
        self.server.faults = [Fault(slow=True)]
        self.ensure()
        self.is_there_after(None)

    def test_nobody_listens(self) -> None:
        with self.assertRaises(Failure) as caught:
            self.ensure(url="http://127.0.0.1:9/f")
        self.assertIn("gave up", str(caught.exception))

    def test_a_file_url_is_read(self) -> None:
        source = self.path.parent.with_name("f")
        source.write_bytes(CONTENT)
        self.ensure(url=source.as_uri())
        self.is_there_after()

    def test_a_missing_file_url_is_an_error_at_once(self) -> None:
        with self.assertRaises(Failure) as caught:
            self.ensure(url=self.path.as_uri())
        self.assertIn("build.dist-server", str(caught.exception))

    def test_a_full_disk_is_no_matter_of_the_network(self) -> None:
        full = OSError(28, "No space left on device")
        with mock.patch.object(provision, "fetch", side_effect=full), self.assertRaises(OSError) as caught:
            self.ensure()
        self.assertIs(caught.exception, full)


if __name__ == "__main__":
    unittest.main()
