"""Reads the keys of `bootstrap.toml` that the launcher needs.

The driver reads them too, by the same rules (`tests/cases/config/README.md`; both run the cases there), or the two would not
meet at the same lock. What only the driver refuses, it refuses a moment later.
"""

import os

from failure import EXIT_USAGE, Failure

Table = dict[str, object]

INCLUDE_DEPTH_MAX = 16
CHOICES = {"stage0": ("auto", "download", "local"), "lock-mode": ("read-write", "exclusive", "off")}
SCHEMES = ("https://", "http://", "file://")


class Configuration:
    """What holds for one call of `./x`: absolute paths and checked values."""

    def __init__(self, root: str, arguments: list[str]) -> None:
        self.root, flags = root, read_flags(arguments)
        build = read_table(root, flags).get("build", {})
        if not isinstance(build, dict):
            raise Failure("build must be a table of keys", EXIT_USAGE)

        def text(key: str, default: str = "") -> str:
            value, choices = build.get(key, default), CHOICES.get(key)
            if not isinstance(value, str) or (key in build and not value) or (choices and value not in choices):
                wanted = f"one of {', '.join(choices)}" if choices else "a string that is not empty"
                raise Failure(f"build.{key} must be {wanted}, not {value!r}", EXIT_USAGE)
            return value

        def path(key: str, default: str = "") -> str:
            value = text(key, default)
            # The bare name of a tool, which has no default, is looked up on PATH.
            return absolute(root, value) if default or os.path.dirname(value) else value

        self.build_dir = path("build-dir", "build")
        for folder in flags["--build-dir"]:
            self.build_dir = os.path.abspath(folder)
        self.lock_dir = path("lock-dir", os.path.join(self.build_dir, "session"))
        self.cache_dir = path("cache-dir", os.path.join(self.build_dir, "cache"))
        self.rustc, self.cargo = path("rustc"), path("cargo")
        self.stage0, self.lock_mode = text("stage0", "auto"), text("lock-mode", "read-write")
        self.dist_server = text("dist-server")
        if self.dist_server and not self.dist_server.startswith(SCHEMES):
            raise Failure(f"build.dist-server must begin with one of {', '.join(SCHEMES)}, not {self.dist_server!r}", EXIT_USAGE)
        self.lock_timeout = seconds("build.lock-timeout", build.get("lock-timeout", "never"))
        for value in flags["--lock-timeout"]:
            self.lock_timeout = seconds("--lock-timeout", value)


def read_flags(arguments: list[str]) -> dict[str, list[str]]:
    """The values of the flags that are configuration's; all others are the driver's to judge."""
    flags: dict[str, list[str]] = {"--config": [], "--build-dir": [], "--lock-timeout": [], "--set": []}
    words = iter(arguments)
    for word in words:
        flag, equals, value = word.partition("=")
        if word == "--":
            break
        if word == "--no-wait":
            flags["--lock-timeout"].append("0")
        elif flag in flags:
            flags[flag].append(value if equals else next(words, ""))
            if not flags[flag][-1]:
                raise Failure(f"{flag} needs a value", EXIT_USAGE)
    return flags


def read_table(root: str, flags: dict[str, list[str]]) -> Table:
    """The file that is found, under `--set` and over its profile's defaults."""
    table: Table = {}
    if named := "".join(flags["--config"][-1:]):
        table = read_file(os.path.abspath(named), "--config")
    elif named := os.environ.get("RUST_BOOTSTRAP_CONFIG", ""):
        table = read_file(os.path.abspath(named), "RUST_BOOTSTRAP_CONFIG")
    elif found := [folder for folder in (os.getcwd(), root) if os.path.exists(os.path.join(folder, "bootstrap.toml"))]:
        table = read_file(os.path.join(found[0], "bootstrap.toml"), "./x")
    for setting in flags["--set"]:
        table = merge(table, read_setting(setting))
    if "profile" in table:
        folder = os.path.join(root, "src", "bootstrap", "defaults")
        name, known = f"bootstrap.{table['profile']}.toml", sorted(os.listdir(folder))
        # A name that must be in the list cannot lead out of the folder.
        if name not in known:
            raise Failure(f"there is no profile in {name}: known are {', '.join(known)} in {folder}", EXIT_USAGE)
        table = merge(read_file(os.path.join(folder, name), "profile"), table)
    return table


def read_file(path: str, *wanted_by: str) -> Table:
    """One file over all that it includes; `wanted_by` led here."""
    import tomllib  # costs a fifth of the launcher's time, so only a tree with a configuration pays it

    try:
        with open(path, "rb") as file:
            own = tomllib.load(file)
    except (OSError, ValueError) as error:
        raise Failure(f"reading {path}, for {wanted_by[-1]}: {getattr(error, 'strerror', error)}", EXIT_USAGE) from None
    includes = own.pop("include", [])
    if not isinstance(includes, list) or not all(isinstance(item, str) for item in includes):
        raise Failure(f"include in {path} must be a list of paths, not {includes!r}", EXIT_USAGE)
    wanted_by += (f"include in {path}",)
    if includes and len(wanted_by) > INCLUDE_DEPTH_MAX + 1:
        raise Failure(f"more than {INCLUDE_DEPTH_MAX} files deep, or in a cycle: {' -> '.join(wanted_by)}", EXIT_USAGE)
    merged: Table = {}
    for item in includes:
        merged = merge(merged, read_file(absolute(os.path.dirname(path), item), *wanted_by))
    return merge(merged, own)


def read_setting(setting: str) -> Table:
    """`section.key=value` as a table. A value that is no TOML is a string, so that a path needs no quotes."""
    import re
    import tomllib

    key, equals, value = setting.partition("=")
    *sections, name = key.split(".")
    if not equals or not re.fullmatch(r"(?!include(\.|$))[\w-]+(\.[\w-]+)*", key, re.ASCII):
        raise Failure(f"--set takes section.key=value, and no include, not {setting!r}", EXIT_USAGE)
    table: Table = {}
    try:
        table = tomllib.loads(f"{name} = {value.strip()}")
    except ValueError as error:
        if value.strip().startswith(("'", '"', "[", "{")):
            raise Failure(f"--set {setting}: {error}", EXIT_USAGE) from None
    if len(table) != 1:  # a text of several lines may hold more keys than anybody meant to set
        table = {name: value}
    for section in reversed(sections):
        table = {section: table}
    return table


def merge(weak: Table, strong: Table) -> Table:
    """Both tables; where both have a key, `strong` holds, unless both have a table there, which are merged."""
    merged = weak | strong
    for key, below in weak.items():
        above = merged[key]
        if isinstance(below, dict) and isinstance(above, dict):
            merged[key] = merge(below, above)
    return merged


def seconds(name: str, value: object) -> float | None:
    """A time to wait, finite and not negative; None is for ever."""
    if value == "never":
        return None
    try:
        if 0 <= float(str(value)) < float("inf"):  # of its text, because to float itself `true` is a 1
            return float(str(value))
    except ValueError:
        pass
    raise Failure(f"{name} takes seconds, 0 or more, or never, not {value!r}", EXIT_USAGE)


def absolute(base: str, path: str) -> str:
    """`path` as seen from `base`, with `.` and `..` folded by name; links are not followed."""
    return os.path.normpath(os.path.join(base, path))
