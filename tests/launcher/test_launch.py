"""Whole runs of `x.py` as processes, with tools that are scripts: what it makes, what it leaves, whom it waits for.

Processes meet at named pipes: a script opens one to say that it has come somewhere, and another to be let on.
"""

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import unittest
from pathlib import Path

from dist_server import DistServer, Fault, archive, sha256

SOURCE_ROOT = Path(__file__).resolve().parents[2]
# A shell has what it runs in the background ignore Ctrl-C, and children inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)
# As the real one, which answers one question at a time: asked for both, it leaves out the sysroot.
RUSTC = """\
#!/bin/sh
echo rustc "$@" >> "{log}"
case $1 in
    -vV) echo "rustc {version} (0123456789 2026-01-01)"; echo "host: fake-host" ;;
    --print=sysroot) echo "{sysroot}" ;;
esac
"""
# Says that it started, waits to be let on when it is told to, and makes a driver that prints what it is told.
CARGO = """\
#!/bin/sh
echo cargo "$@" >> "{log}"
if [ -n "$CARGO_WAITS" ]; then echo started > "{top}/started"; read answer < "{top}/go"; fi
for word; do case $word in --target-dir=*) target=${{word#*=}} ;; esac; done
mkdir -p "$target/driver"
cat > "$target/driver/bootstrap" <<'END'
#!/bin/sh
printf '%s\\n' "$*"; env | grep ^BOOTSTRAP_; exit ${{DRIVER_EXITS:-0}}
END
chmod +x "$target/driver/bootstrap"
echo "{{\\"reason\\":\\"compiler-artifact\\",\\"executable\\":\\"$target/driver/bootstrap\\"}}"
echo "cargo's own words" >&2
exit ${{CARGO_EXITS:-0}}
"""


@unittest.skipIf(sys.platform == "win32", "the tools are shell scripts")
class Launch(unittest.TestCase):
    # What starts `x.py`, and in which process group; nothing for our own.
    PYTHON: tuple[str, ...] = (sys.executable, "-I", "-S")
    GROUP: int | None = None

    def setUp(self) -> None:
        self.top = Path(tempfile.mkdtemp()).resolve()
        self.addCleanup(shutil.rmtree, self.top)
        self.root, self.log, self.bin = self.top / "root", self.top / "log", self.top / "bin"
        launcher = self.root / "src" / "bootstrap"
        for folder in (launcher / "src", self.root / "src" / "buildlock" / "src", self.bin):
            folder.mkdir(parents=True)
        shutil.copy(SOURCE_ROOT / "x.py", self.root)
        for module in (SOURCE_ROOT / "src/bootstrap").glob("*.py"):
            shutil.copy(module, launcher)
        (launcher / "src" / "main.rs").write_text("fn main() {}\n")
        for name in ("Cargo.toml", "Cargo.lock", "src/bootstrap/Cargo.toml", "src/buildlock/Cargo.toml"):
            (self.root / name).write_text("")
        self.environment = {"PATH": f"{self.bin}:/usr/bin:/bin", "HOME": str(self.top), "no_proxy": "*"}
        self.tool("rustc", RUSTC, version="1.95.0")
        self.tool("cargo", CARGO)
        self.pin({})

    def tool(self, name: str, text: str, version: str = "") -> None:
        path = self.bin / name
        path.write_text(text.format(log=self.log, top=self.top, version=version, sysroot=self.top))
        path.chmod(0o755)

    def pin(self, sums: dict[str, str], server: str = "http://127.0.0.1:9") -> None:
        lines = [f"dist-server={server}", "channel=stable", "version=1.95.0", "date=2026-04-16", "rust-version=1.95"]
        (self.root / "src" / "stage0").write_text("\n".join(lines + [f"{key}={total}" for key, total in sums.items()]))

    def served(self) -> dict[str, bytes]:
        """Archives of a stage0 whose tools are the scripts, pinned; by path on the server."""
        machine = {"arm64": "aarch64"}.get(os.uname().machine, os.uname().machine)
        host = f"{machine}-{'apple-darwin' if sys.platform == 'darwin' else 'unknown-linux-gnu'}"
        files = {
            "rustc": {"bin/rustc": (self.bin / "rustc").read_bytes()},
            "cargo": {"bin/cargo": (self.bin / "cargo").read_bytes()},
        }
        files["rust-std"] = {f"lib/{number}": os.urandom(100_000) for number in range(5)}
        made = {}
        for component, content in files.items():
            name = f"{component}-1.95.0-{host}"
            made[f"/dist/2026-04-16/{name}.tar.xz"] = archive(name, component, content)
        self.pin({path[1:]: sha256(content) for path, content in made.items()})
        return made

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        command = [*self.PYTHON, str(self.root / "x.py"), *arguments]
        return subprocess.Popen(
            command,
            cwd=self.root,
            env=self.environment | environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=self.GROUP,
        )

    def end(self, process: subprocess.Popen[str], code: int) -> tuple[str, str]:
        out, err = process.communicate(timeout=120)
        tree = "\n".join(str(path.relative_to(self.top)) for path in self.top.rglob("*"))
        self.assertEqual(process.returncode, code, f"{process.args!r}\n{out}\n{err}\n{tree}")
        self.assertNotIn("Traceback", err)
        return out, err

    def run_x(self, *arguments: str, code: int = 0, **environment: str) -> tuple[str, str]:
        return self.end(self.start(*arguments, **environment), code)

    def calls(self, tool: str) -> int:
        return sum(line.startswith(f"{tool} ") for line in self.log.read_text().splitlines()) if self.log.exists() else 0

    def start_held(self) -> subprocess.Popen[str]:
        """A run that is in the middle of building the driver until `let_on` is called."""
        for name in ("started", "go"):
            if not (self.top / name).exists():
                os.mkfifo(self.top / name)
        process = self.start("build", CARGO_WAITS="yes")
        self.await_start()
        return process

    def await_start(self) -> None:
        """Returns when a cargo has said that it started; fails where none does in a minute."""
        with open(os.open(self.top / "started", os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as pipe:
            self.assertTrue(select.select([pipe], [], [], 60)[0], "no cargo has started")
            self.assertEqual(pipe.read(), b"started\n")

    def let_on(self) -> None:
        (self.top / "go").write_text("go\n")

    def first_line_of_errors(self, process: subprocess.Popen[str]) -> str:
        assert process.stderr
        return process.stderr.readline()

    def leftovers(self) -> list[Path]:
        return list((self.root / "build/cache/staging").glob("*")) + list((self.root / "build").rglob("*.holder.json"))


class FromPath(Launch):
    def test_the_driver_is_built_once_and_told_what_it_needs(self) -> None:
        out, err = self.run_x("check", "--", "-a b")
        self.assertEqual(out.splitlines()[0], "check -- -a b")
        told = dict(line.split("=", 1) for line in out.splitlines()[1:])
        fingerprint = told.pop("BOOTSTRAP_FINGERPRINT")
        self.assertTrue((self.root / "build/cache/driver" / fingerprint / "bootstrap").is_file())
        self.assertEqual(
            told,
            {
                "BOOTSTRAP_ROOT": str(self.root),
                "BOOTSTRAP_BUILD_DIR": str(self.root / "build"),
                "BOOTSTRAP_STAGE0": "local",
                "BOOTSTRAP_CARGO": str(self.bin / "cargo"),
                "BOOTSTRAP_RUSTC": str(self.bin / "rustc"),
                "BOOTSTRAP_RUSTC_VERSION": "rustc 1.95.0 (0123456789 2026-01-01)",
                "BOOTSTRAP_HOST": "fake-host",
                "BOOTSTRAP_PYTHON": sys.executable,
                "BOOTSTRAP_REFUSED": "",
            },
        )
        self.assertIn("cargo's own words", err)
        self.assertEqual((self.root / "build/session").stat().st_mode & 0o777, 0o700)
        self.assertEqual(self.leftovers(), [])

    def test_with_nothing_to_do_no_tool_is_started_and_nothing_is_written(self) -> None:
        self.run_x("check")
        before = {path: path.stat().st_mtime_ns for path in (self.root / "build").rglob("*")}
        calls = self.log.read_text()
        _, err = self.run_x("check")
        self.assertEqual(err, "")
        self.assertEqual(self.log.read_text(), calls)
        self.assertEqual({path: path.stat().st_mtime_ns for path in (self.root / "build").rglob("*")}, before)

    def test_a_changed_source_makes_another_driver_and_the_old_one_stays(self) -> None:
        self.run_x("check")
        (self.root / "src/bootstrap/src/main.rs").write_text("fn main() { }\n")
        self.run_x("check")
        self.assertEqual(self.calls("cargo"), 2)
        self.assertEqual(len(list((self.root / "build/cache/driver").iterdir())), 2)

    def test_what_no_driver_is_made_of_makes_none(self) -> None:
        self.run_x("check")
        (self.root / "src/bootstrap/src/.#main.rs").symlink_to("nowhere")
        (self.root / "src/bootstrap/src/main.rs~").write_text("")
        (self.root / "README.md").write_text("")
        self.run_x("check")
        self.assertEqual(self.calls("cargo"), 1)

    def test_a_changed_rustc_is_asked_again_and_makes_another_driver(self) -> None:
        self.run_x("check")
        self.tool("rustc", RUSTC, version="1.96.0")
        out, _ = self.run_x("check")
        self.assertIn("BOOTSTRAP_RUSTC_VERSION=rustc 1.96.0", out)
        self.assertEqual((self.calls("rustc"), self.calls("cargo")), (4, 2))

    def test_what_rustup_goes_by_makes_rustc_be_asked_again(self) -> None:
        self.run_x("check")
        (self.root / "rust-toolchain.toml").write_text("")
        self.run_x("check")
        (self.top / ".rustup").mkdir()
        (self.top / ".rustup" / "settings.toml").write_text("")
        self.run_x("check")
        self.run_x("check", RUSTUP_TOOLCHAIN="nightly")
        self.assertEqual((self.calls("rustc"), self.calls("cargo")), (8, 1))

    def test_the_drivers_exit_code_is_ours(self) -> None:
        self.run_x("check", code=7, DRIVER_EXITS="7")

    def test_a_relaunch_is_counted_on(self) -> None:
        out, _ = self.run_x("check", BOOTSTRAP_RELAUNCHES="2")
        self.assertIn("BOOTSTRAP_RELAUNCHES=2\n", out)

    def test_a_failed_build_of_the_driver_says_what_to_do_and_is_tried_again(self) -> None:
        out, err = self.run_x("check", code=1, CARGO_EXITS="101")
        self.assertEqual(out, "")
        self.assertIn("error: building the driver failed: mend what cargo says above", err)
        self.assertEqual(self.leftovers(), [])
        self.run_x("check")

    def test_sources_that_change_during_the_build_are_built_again(self) -> None:
        held = self.start_held()
        (self.root / "src/bootstrap/src/main.rs").write_text("fn main() { /* saved meanwhile */ }\n")
        self.let_on()
        self.await_start()
        self.let_on()
        out, _ = self.end(held, 0)
        fingerprints = [path.name for path in (self.root / "build/cache/driver").iterdir()]
        self.assertIn(f"BOOTSTRAP_FINGERPRINT={fingerprints[0]}\n", out)
        self.assertEqual((len(fingerprints), self.calls("cargo")), (1, 2))

    def test_a_configuration_error_is_exit_code_2(self) -> None:
        _, err = self.run_x("check", "--set", "build.stage0=never", code=2)
        self.assertEqual(err, "error: build.stage0 must be a string that matches auto|download|local, not 'never'\n")

    def test_a_driver_that_is_there_is_left_to_say_what_is_wrong_with_the_configuration(self) -> None:
        self.run_x("check")
        (self.root / "broken.toml").write_text("build = \n")
        for arguments in (["--set", "build.stage0=never"], ["--config", str(self.root / "broken.toml")]):
            out, err = self.run_x("check", *arguments)
            self.assertRegex(out, r"(?m)^BOOTSTRAP_REFUSED=.+")
            self.assertEqual(err, "")

    def test_no_toolchain_is_exit_code_4(self) -> None:
        (self.bin / "rustc").unlink()
        _, err = self.run_x("check", "--set", "build.stage0=local", code=4, PATH=str(self.bin))
        self.assertIn("rustc is not there, or does not run: install Rust", err)

    def test_rustups_proxy_is_seen_through(self) -> None:
        real = self.top / "toolchain" / "bin"
        real.mkdir(parents=True)
        for name in ("rustc", "cargo"):
            shutil.copy(self.bin / name, real)
        self.tool("rustc", RUSTC.replace("{sysroot}", "{top}/toolchain"), version="1.95.0")
        self.tool("rustup", "")
        out, _ = self.run_x("check")
        self.assertIn(f"BOOTSTRAP_RUSTC={real / 'rustc'}\n", out)
        self.assertIn(f"BOOTSTRAP_CARGO={real / 'cargo'}\n", out)
        (real / "rustc").touch()
        self.run_x("check")
        self.assertEqual((self.calls("rustc"), self.calls("cargo")), (4, 1))

    def test_configured_tools_are_taken_whatever_their_version(self) -> None:
        self.tool("old-rustc", RUSTC, version="1.70.0")
        out, _ = self.run_x("check", "--set", f"build.rustc={self.bin / 'old-rustc'}", "--set", "build.cargo=cargo")
        self.assertIn(f"BOOTSTRAP_RUSTC={self.bin / 'old-rustc'}\n", out)

    @unittest.skipIf(sys.platform == "win32" or os.geteuid() == 0, "nothing is unwritable to root")
    def test_an_unwritable_cache_is_exit_code_4(self) -> None:
        (self.root / "build").mkdir(mode=0o500)
        _, err = self.run_x("check", code=4)
        self.assertIn("yours to write", err)

    def test_a_cache_that_cannot_be_made_is_exit_code_4(self) -> None:
        (self.root / "build").mkdir()
        (self.root / "build" / "cache").write_text("a file")
        _, err = self.run_x("check", code=4)
        self.assertIn("build.cache-dir are yours to write", err)


class TheCacheLock(Launch):
    def test_two_first_runs_build_one_driver_and_the_second_says_whom_it_waits_for(self) -> None:
        first = self.start_held()
        second = self.start("tidy")
        line = self.first_line_of_errors(second)
        pattern = rf"^waiting for ./x build \(pid {first.pid}, since [\d:]+\), which is preparing the driver; Ctrl-C gives up$"
        self.assertRegex(line, pattern)
        self.let_on()
        self.end(first, 0)
        out, err = self.end(second, 0)
        self.assertEqual((out.splitlines()[0], err, self.calls("cargo")), ("tidy", "", 1))

    def test_without_the_lock_both_build(self) -> None:
        first = self.start_held()
        _, err = self.run_x("tidy", "--set", "build.lock-mode=off")
        self.assertIn('warning: build.lock-mode is "off"', err)
        self.let_on()
        self.end(first, 0)
        self.assertEqual(self.calls("cargo"), 2)

    def test_who_needs_nothing_does_not_wait(self) -> None:
        self.run_x("check")
        (self.root / "README.md").touch()
        main = self.root / "src/bootstrap/src/main.rs"
        before = main.read_text()
        main.write_text("fn main() { }\n")
        held = self.start_held()
        main.write_text(before)
        self.run_x("check", "--no-wait")
        main.write_text("fn main() { }\n")
        self.let_on()
        self.end(held, 0)

    def test_a_timeout_and_no_wait_are_exit_code_75(self) -> None:
        held = self.start_held()
        for arguments in (("--lock-timeout", "0.3"), ("--no-wait",), ("--set", "build.lock-timeout=0")):
            with self.subTest(arguments):
                _, err = self.run_x("check", *arguments, code=75)
                self.assertIn(f"for ./x build (pid {held.pid}, since ", err)
                self.assertIn("which is preparing the driver; raise --lock-timeout or build.lock-timeout", err)
        self.let_on()
        self.end(held, 0)

    def test_ctrl_c_while_waiting_is_exit_code_130_and_leaves_no_trace(self) -> None:
        held = self.start_held()
        waiting = self.start("check")
        self.first_line_of_errors(waiting)
        waiting.send_signal(signal.SIGINT)
        _, err = self.end(waiting, 130)
        self.assertEqual(err, "error: interrupted\n")
        self.assertEqual(json.loads((self.root / "build/session/cache.holder.json").read_text())["pid"], held.pid)
        self.let_on()
        self.end(held, 0)

    def test_killing_the_holder_wakes_the_next(self) -> None:
        held = self.start_held()
        waiting = self.start("check")
        self.first_line_of_errors(waiting)
        held.kill()
        self.let_on()  # its cargo goes on without it
        held.communicate()
        self.end(waiting, 0)
        self.assertEqual(self.calls("cargo"), 2)
        self.assertEqual(self.leftovers(), [])

    def test_who_waited_for_a_lock_whose_folder_was_removed_takes_the_new_one(self) -> None:
        held = self.start_held()
        waiting = self.start("check")
        self.first_line_of_errors(waiting)
        shutil.rmtree(self.root / "build/session")
        self.let_on()
        self.end(held, 0)
        self.end(waiting, 0)
        self.assertTrue((self.root / "build/session/cache.lock").exists())

    def test_a_shared_cache_is_locked_by_whoever_shares_it(self) -> None:
        shared = ("--set", f"build.cache-dir={self.top / 'shared'}")
        for name in ("started", "go"):
            os.mkfifo(self.top / name)
        first = self.start("build", *shared, "--build-dir", str(self.top / "one"), CARGO_WAITS="yes")
        self.await_start()
        second = self.start("check", *shared, "--build-dir", str(self.top / "two"))
        self.assertIn(f"(pid {first.pid}, ", self.first_line_of_errors(second))
        self.let_on()
        self.end(first, 0)
        self.end(second, 0)
        self.assertEqual(self.calls("cargo"), 1)


class Stage0(Launch):
    def setUp(self) -> None:
        super().setUp()
        self.files = self.served()
        for name in ("rustc", "cargo"):
            (self.bin / name).unlink()
        server = DistServer(self.files)
        self.server = server.__enter__()
        self.addCleanup(server.__exit__, None, None, None)
        self.environment["RUSTUP_DIST_SERVER"] = self.server.url
        self.environment["PATH"] = f"{self.bin}:/usr/bin:/bin"
        self.download = ("--set", "build.stage0=download")

    def places(self) -> list[Path]:
        return list((self.root / "build/cache/stage0").iterdir())

    def snapshot(self, place: Path) -> dict[str, tuple[int, str]]:
        files = (path for path in place.rglob("*") if path.is_file())
        return {str(path.relative_to(place)): (path.stat().st_mode, sha256(path.read_bytes())) for path in files}

    def test_it_is_downloaded_once_and_told_by_its_key(self) -> None:
        for _ in range(2):
            out, _ = self.run_x("check", *self.download)
        (place,) = self.places()
        self.assertIn(f"BOOTSTRAP_STAGE0={place.name}\n", out)
        self.assertIn(f"BOOTSTRAP_CARGO={place / 'bin/cargo'}\n", out)
        self.assertEqual(sorted(path for path, _ in self.server.requests), sorted(self.files))
        self.assertEqual(self.leftovers(), [])

    def test_auto_prefers_a_rustc_that_is_new_enough_and_downloads_when_it_is_too_old(self) -> None:
        self.tool("rustc", RUSTC, version="1.94.1")
        out, _ = self.run_x("check")
        self.assertIn(f"BOOTSTRAP_STAGE0={self.places()[0].name}\n", out)
        self.tool("rustc", RUSTC, version="1.100.0-nightly")
        self.tool("cargo", CARGO)
        out, _ = self.run_x("check")
        self.assertIn("BOOTSTRAP_STAGE0=local\n", out)

    def test_the_configured_server_is_preferred(self) -> None:
        self.run_x(
            "check",
            *self.download,
            "--set",
            f"build.dist-server={self.server.url}/",
            RUSTUP_DIST_SERVER="http://127.0.0.1:9",
        )

    def test_another_pin_is_another_place_and_the_old_one_stays(self) -> None:
        self.run_x("check", *self.download)
        self.server.files |= self.served_again()
        self.run_x("check", *self.download)
        self.assertEqual(len(self.places()), 2)

    def served_again(self) -> dict[str, bytes]:
        self.tool("rustc", RUSTC, version="1.95.1")
        self.tool("cargo", CARGO)
        try:
            return self.served()
        finally:
            for name in ("rustc", "cargo"):
                (self.bin / name).unlink()

    def test_a_tampered_archive_in_the_cache_is_fetched_again(self) -> None:
        self.run_x("check", *self.download)
        (place,) = self.places()
        whole = self.snapshot(place)
        shutil.rmtree(place)
        tampered = next((self.root / "build/cache/downloads").glob("rust-std-*"))
        tampered.write_bytes(b"x" + tampered.read_bytes()[1:])
        _, err = self.run_x("check", *self.download)
        self.assertIn("has changed since it was downloaded", err)
        self.assertEqual(self.snapshot(place), whole)
        self.assertEqual(len(self.server.requests), 5)

    def test_ctrl_c_while_downloading_is_exit_code_130(self) -> None:
        answer = threading.Event()
        self.server.faults = [Fault(until=answer, status=500)]
        run = self.start("check", *self.download)
        self.assertTrue(self.server.asked.wait(60))
        run.send_signal(signal.SIGINT)
        _, err = self.end(run, 130)
        answer.set()
        self.assertIn("error: interrupted\n", err)
        self.assertEqual(self.leftovers(), [])
        self.run_x("check", *self.download)

    def test_a_wrong_sum_is_exit_code_4(self) -> None:
        self.server.faults = [Fault(body=b"nonsense")]
        _, err = self.run_x("check", *self.download, code=4)
        self.assertIn("is pinned; check build.dist-server", err)
        self.assertFalse((self.root / "build/cache/stage0").exists())

    def test_archives_without_a_rustc_are_exit_code_4(self) -> None:
        path = next(path for path in self.files if "/rustc-" in path)
        self.server.files[path] = archive("a", "rustc", {"bin/other": b""})
        self.pin({path[1:]: sha256(content) for path, content in self.server.files.items()})
        _, err = self.run_x("check", *self.download, code=4)
        self.assertIn("hold no rustc", err)
        self.assertEqual(self.leftovers(), [])

    def test_an_unpinned_host_is_exit_code_4(self) -> None:
        self.pin({})
        _, err = self.run_x("check", *self.download, code=4)
        self.assertIn("src/stage0 pins none for ", err)

    def test_twenty_first_runs_download_once(self) -> None:
        runs = [self.start("check", *self.download) for _ in range(20)]
        for run in runs:
            self.end(run, 0)
        self.assertEqual(sorted(path for path, _ in self.server.requests), sorted(self.files))
        self.assertEqual(self.calls("cargo"), 1)

    def test_a_run_that_is_killed_anywhere_leaves_nothing_that_the_next_trusts(self) -> None:
        self.run_x("check", *self.download, "--build-dir", str(self.top / "whole"))
        whole = self.snapshot(next((self.top / "whole/cache/stage0").iterdir()))
        for function, call in (
            ("tarfile.TarFile.makefile", 2),
            ("tarfile.TarFile.makefile", 5),
            ("os.sync", 1),
            ("os.renames", 1),
            ("provision.fetch", 2),
            ("shutil.copy2", 1),
            ("os.sync", 2),
            ("os.renames", 2),
        ):
            with self.subTest(f"{function} {call}"):
                shutil.rmtree(self.root / "build", ignore_errors=True)
                self.kill_at(function, call)
                self.run_x("check", *self.download)
                (place,) = self.places()
                self.assertEqual(self.snapshot(place), whole)
                self.assertEqual(self.leftovers(), [])

    def kill_at(self, function: str, call: int) -> None:
        """Runs the launcher until it is about to call a function for the n-th time, and kills it there."""
        owner, name = function.rsplit(".", 1)
        script = f"""
            import sys, threading
            sys.path.insert(0, {str(self.root / "src/bootstrap")!r})
            import os, shutil, tarfile, bootstrap, provision
            real, left = {owner}.{name}, {call}
            def stopping(*arguments):
                global left
                left -= 1
                if left == 0:
                    print("here", flush=True)
                    threading.Event().wait()
                return real(*arguments)
            {owner}.{name} = stopping
            sys.exit(bootstrap.main({str(self.root)!r}, ["check", *{self.download!r}]))
        """
        command = [sys.executable, "-I", "-S", "-c", textwrap.dedent(script)]
        process = subprocess.Popen(
            command, cwd=self.root, env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert process.stdout
        self.assertEqual(process.stdout.readline(), b"here\n")
        process.kill()
        process.communicate()


if __name__ == "__main__":
    unittest.main()
