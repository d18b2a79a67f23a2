"""Reads the few keys of `bootstrap.toml` that the launcher needs.

The driver reads the whole file. Both must give the same answer, or they would not meet at the same lock: the rules are
written in `tests/cases/config/README.md`, and both run the cases beside it. Nothing here is imported that a tree without
a configuration file does not need: every import is paid by every `./x`.
"""

from __future__ import annotations

import os

from failure import EXIT_USAGE, Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Table = dict[str, object]

INCLUDE_DEPTH_MAX = 16
FILES_MAX = 128
SCHEMES = ("https://", "http://", "file://")
VALUED_FLAGS = ("--config", "--build-dir", "--lock-timeout", "--set")


class Configuration:
    """What holds for this call: absolute paths and checked values."""

    def __init__(self, root: str, cwd: str, flags: Flags, table: Table) -> None:
        build = table.get("build", {})
        if not isinstance(build, dict):
            raise usage("build must be a table of keys")
        reader = Section("build", build, root)
        flagged = flags.last("--build-dir")
        if flagged == "":
            raise usage("--build-dir needs a folder")
        self.root = root
        configured = reader.path("build-dir") or os.path.join(root, "build")
        self.build_dir = absolute(cwd, flagged) if flagged else configured
        self.lock_dir = reader.path("lock-dir") or os.path.join(self.build_dir, "session")
        self.cache_dir = reader.path("cache-dir") or os.path.join(self.build_dir, "cache")
        self.rustc = reader.tool("rustc")
        self.cargo = reader.tool("cargo")
        self.stage0 = reader.choice("stage0", ("auto", "download", "local"))
        self.dist_server = reader.address("dist-server")
        self.lock_mode = reader.choice("lock-mode", ("read-write", "exclusive", "off"))
        self.lock_timeout = flags.lock_timeout(reader.seconds("lock-timeout"))


class Flags:
    """The flags that configuration owns; what it does not know is the driver's to judge."""

    def __init__(self, arguments: Iterable[str]) -> None:
        self.values: dict[str, list[str]] = {flag: [] for flag in VALUED_FLAGS}
        self.no_wait = False
        words = iter(arguments)
        for word in words:
            if word == "--":
                break
            flag, equals, value = word.partition("=")
            self.no_wait = self.no_wait or word == "--no-wait"
            if flag in self.values:
                following = value if equals else next(words, None)
                if following is None:
                    raise usage(f"{flag} needs a value")
                self.values[flag].append(following)

    def last(self, flag: str) -> str | None:
        """The value of a flag; the last one counts."""
        return self.values[flag][-1] if self.values[flag] else None

    def lock_timeout(self, configured: float | None) -> float | None:
        """Seconds to wait for a lock, or None for as long as it takes."""
        text = self.last("--lock-timeout")
        if self.no_wait or text is None:
            return 0.0 if self.no_wait else configured
        if text == "never":
            return None
        try:
            return bounded_seconds(float(text))
        except ValueError:
            raise usage(f"--lock-timeout takes seconds, 0 or more, or never, not {text!r}") from None


class Section:
    """One table of the file, read key by key with its type checked."""

    def __init__(self, name: str, table: Table, root: str) -> None:
        self.name, self.table, self.root = name, table, root

    def text(self, key: str) -> str | None:
        """A string that is not empty, or None when the key is absent."""
        value = self.table.get(key)
        if value is None or (isinstance(value, str) and value):
            return value
        raise usage(f"{self.name}.{key} must be a string that is not empty, not {value!r}")

    def path(self, key: str) -> str | None:
        """An absolute path; a relative one is the source root's, wherever it is written."""
        value = self.text(key)
        return absolute(self.root, value) if value else None

    def tool(self, key: str) -> str | None:
        """An absolute path, or a bare name that is looked up on PATH."""
        value = self.text(key)
        return self.path(key) if value and ("/" in value or os.sep in value) else value

    def address(self, key: str) -> str | None:
        """An address to download from, or None when the key is absent."""
        value = self.text(key)
        if value is None or any(value.startswith(scheme) and value != scheme for scheme in SCHEMES):
            return value
        raise usage(f"{self.name}.{key} must begin with {', '.join(SCHEMES)}, not {value!r}")

    def choice(self, key: str, choices: Sequence[str]) -> str:
        """One of `choices`, the first when the key is absent."""
        value = self.table.get(key, choices[0])
        if isinstance(value, str) and value in choices:
            return value
        raise usage(f"{self.name}.{key} must be one of {', '.join(choices)}, not {value!r}")

    def seconds(self, key: str) -> float | None:
        """A finite number of seconds, or None when the key is absent or "never"."""
        value = self.table.get(key)
        if value is None or value == "never":
            return None
        try:
            # A bool is an int to Python, but `true` is not one second.
            if isinstance(value, int | float) and not isinstance(value, bool):
                return bounded_seconds(value)
        except ValueError:
            pass
        raise usage(f"{self.name}.{key} must be a number of seconds, 0 or more, or never, not {value!r}")


class Files:
    """Reads a file with all that it includes, within bounds."""

    def __init__(self) -> None:
        self.count = 0

    def read(self, path: str, wanted_by: str, including: tuple[str, ...] = ()) -> Table:
        """The merged table of `path` and its includes; `including` are the files that led here."""
        identity = os.path.realpath(path)
        if identity in including:
            raise usage(f"include makes a cycle: {' -> '.join((*including, identity))}")
        self.count += 1
        if len(including) > INCLUDE_DEPTH_MAX or self.count > FILES_MAX:
            bounds = f"{INCLUDE_DEPTH_MAX} files deep, {FILES_MAX} in all"
            raise usage(f"reading {path}, wanted by {wanted_by}: include goes too far (at most {bounds})")
        own = parse(path, wanted_by)
        includes = own.pop("include", [])
        if not isinstance(includes, list) or not all(isinstance(item, str) for item in includes):
            raise usage(f"include in {path} must be a list of paths, not {includes!r}")
        merged: Table = {}
        for item in includes:
            included = absolute(os.path.dirname(path), item)
            merged = merge(merged, self.read(included, f"include in {path}", (*including, identity)))
        return merge(merged, own)


def load(root: str, arguments: Sequence[str], environment: Mapping[str, str], cwd: str) -> Configuration:
    """Reads flags and files and gives what holds; raises `Failure` for what a person must mend."""
    flags = Flags(arguments)
    found = find_file(root, flags.last("--config"), environment.get("RUST_BOOTSTRAP_CONFIG"), cwd)
    table = Files().read(*found) if found else {}
    for setting in flags.values["--set"]:
        table = merge(table, parse_setting(setting))
    profile = table.get("profile")
    if profile is not None:
        table = merge(read_profile(root, profile), table)
    return Configuration(root, cwd, flags, table)


def find_file(root: str, flag: str | None, variable: str | None, cwd: str) -> tuple[str, str] | None:
    """The file to read and what names it; a file that is only looked for may be absent."""
    if flag is not None:
        return absolute(cwd, flag), "--config"
    if variable:
        return absolute(cwd, variable), "RUST_BOOTSTRAP_CONFIG"
    for folder in (cwd, root):
        path = os.path.join(folder, "bootstrap.toml")
        if os.path.exists(path):
            return path, folder
    return None


def read_profile(root: str, profile: object) -> Table:
    """The defaults that a profile stands for. A name that is not in the folder's list cannot lead out of the folder."""
    folder = os.path.join(root, "src", "bootstrap", "defaults")
    try:
        names = [name.split(".") for name in sorted(os.listdir(folder))]
    except FileNotFoundError:
        names = []
    known = [name[1] for name in names if len(name) == 3 and name[0] == "bootstrap" and name[2] == "toml"]
    if profile not in known:
        raise usage(f"profile {profile!r} is unknown; there are: {', '.join(known) or 'none'} (in {folder})")
    return parse(os.path.join(folder, f"bootstrap.{profile}.toml"), "profile")


def parse(path: str, wanted_by: str) -> Table:
    """One file's table, as written."""
    import tomllib

    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except (OSError, ValueError) as error:  # tomllib's and UTF-8's errors are ValueErrors
        reason = error.strerror if isinstance(error, OSError) else error
        raise usage(f"reading {path}, wanted by {wanted_by}: {reason}") from None


def parse_setting(setting: str) -> Table:
    """`section.key=value` as a table. A value that is no TOML is a string, so that paths need no quotes."""
    import tomllib

    key, equals, text = setting.partition("=")
    names = key.split(".")
    bare = all(name and all(c.isascii() and (c.isalnum() or c in "-_") for c in name) for name in names)
    if not equals or not bare or names[0] == "include":
        raise usage(f"--set takes section.key=value, and no include, not {setting!r}")
    value: object = text
    try:
        document = tomllib.loads(f"v = {text.strip()}")
        # A text with a line end in it may be a longer document, which nobody meant to write.
        value = document["v"] if document.keys() == {"v"} else text
    except ValueError as error:
        if text.strip()[:1] in tuple("\"'[{"):
            raise usage(f"--set {setting}: {error}") from None
    for name in reversed(names):
        value = {name: value}
    assert isinstance(value, dict)
    return value


def merge(weak: Table, strong: Table) -> Table:
    """Both tables, key by key; where they differ and are not both tables, `strong` holds."""
    merged = dict(weak)
    for key, value in strong.items():
        below = merged.get(key)
        merged[key] = merge(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return merged


def absolute(base: str, path: str) -> str:
    """`path` from `base`, with `.` and `..` folded by name; links are not followed."""
    return os.path.normpath(os.path.join(base, path))


def bounded_seconds(value: float) -> float:
    """`value` when it is finite and not negative; raises `ValueError` otherwise."""
    if 0 <= value < float("inf"):
        return value
    raise ValueError(value)


def usage(message: str) -> Failure:
    """A user's error in flags or configuration."""
    return Failure(EXIT_USAGE, message)
