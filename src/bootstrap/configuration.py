"""Reads the keys of `bootstrap.toml` that the launcher needs.

The driver reads them too, and a launcher and a driver that disagree do not meet at the same lock: the rules are those
of `tests/cases/config/README.md`, and both run the cases beside it.
"""

import os

from failure import EXIT_USAGE, Failure

Table = dict[str, object]

FLAGS = ("--config", "--build-dir", "--lock-timeout", "--set")
SCHEMES = ("https://", "http://", "file://")
INCLUDE_DEPTH_MAX = 16
FILES_MAX = 128
BARE_KEY = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


class Configuration:
    """What holds for one call of `./x`: absolute paths and checked values."""

    def __init__(self, root: str, arguments: list[str]) -> None:
        flags = read_flags(arguments)
        build = read_table(root, flags).get("build", {})
        if not isinstance(build, dict):
            raise usage("build must be a table of keys")

        def text(key: str, *choices: str) -> str:
            value = build.get(key, choices[0] if choices else None)
            if value is None:
                return ""
            if isinstance(value, str) and value and (value in choices or not choices):
                return value
            wanted = f"one of {', '.join(choices)}" if choices else "a string that is not empty"
            raise usage(f"build.{key} must be {wanted}, not {value!r}")

        def path(key: str, default: str) -> str:
            return absolute(root, text(key) or default)

        def tool(key: str) -> str:
            return path(key, "") if os.path.dirname(text(key)) else text(key)

        self.root = root
        self.build_dir = path("build-dir", "build")
        for folder in flags["--build-dir"]:
            self.build_dir = absolute(os.getcwd(), folder)
        self.lock_dir = path("lock-dir", os.path.join(self.build_dir, "session"))
        self.cache_dir = path("cache-dir", os.path.join(self.build_dir, "cache"))
        self.rustc, self.cargo = tool("rustc"), tool("cargo")
        self.stage0 = text("stage0", "auto", "download", "local")
        self.dist_server = text("dist-server")
        if not self.dist_server.startswith(SCHEMES if self.dist_server else ""):
            raise usage(f"build.dist-server must begin with one of {', '.join(SCHEMES)}, not {self.dist_server!r}")
        self.lock_mode = text("lock-mode", "read-write", "exclusive", "off")
        self.lock_timeout = seconds("build.lock-timeout", build.get("lock-timeout"))
        for value in flags["--lock-timeout"]:
            self.lock_timeout = seconds("--lock-timeout", value)


def read_flags(arguments: list[str]) -> dict[str, list[str]]:
    """The values of the flags that are configuration's; all others are the driver's to judge."""
    flags: dict[str, list[str]] = {flag: [] for flag in FLAGS}
    words = iter(arguments)
    for word in words:
        if word == "--":
            break
        flag, equals, value = word.partition("=")
        if flag == "--no-wait":
            flag, equals, value = "--lock-timeout", "=", "0"
        if flag in flags:
            flags[flag].append(value if equals else next(words, ""))
            if not flags[flag][-1]:
                raise usage(f"{flag} needs a value")
    return flags


def read_table(root: str, flags: dict[str, list[str]]) -> Table:
    """The file that is found, under `--set` and over its profile's defaults."""
    found = filter(os.path.exists, (os.path.join(folder, "bootstrap.toml") for folder in (os.getcwd(), root)))
    named, wanted_by = os.environ.get("RUST_BOOTSTRAP_CONFIG"), "RUST_BOOTSTRAP_CONFIG"
    if flags["--config"]:
        named, wanted_by = flags["--config"][-1], "--config"
    path = absolute(os.getcwd(), named) if named else next(found, None)
    table = read_file(path, wanted_by if named else "./x") if path else {}
    for setting in flags["--set"]:
        table = merge(table, read_setting(setting))
    if "profile" in table:
        folder = os.path.join(root, "src", "bootstrap", "defaults")
        names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        known = {name.removeprefix("bootstrap.").removesuffix(".toml"): name for name in names}
        # A name that must be in the list cannot lead out of the folder.
        if table["profile"] not in known:
            raise usage(f"profile {table['profile']!r} is unknown: {folder} has {', '.join(known) or 'none'}")
        table = merge(read_toml(os.path.join(folder, known[str(table["profile"])]), "profile"), table)
    return table


def read_file(path: str, wanted_by: str, including: tuple[str, ...] = (), count: list[str] | None = None) -> Table:
    """One file over all that it includes; `including` led here, and `count` holds a path for each file read."""
    count = [] if count is None else count
    count.append(path)
    real = os.path.realpath(path)
    if real in including:
        raise usage(f"include makes a cycle: {' -> '.join((*including, real))}")
    if len(including) > INCLUDE_DEPTH_MAX or len(count) > FILES_MAX:
        raise usage(f"{wanted_by} goes too far: {INCLUDE_DEPTH_MAX} files deep and {FILES_MAX} in all are read")
    own = read_toml(path, wanted_by)
    includes = own.pop("include", [])
    if not isinstance(includes, list) or not all(isinstance(item, str) for item in includes):
        raise usage(f"include in {path} must be a list of paths, not {includes!r}")
    merged: Table = {}
    for item in includes:
        included = absolute(os.path.dirname(path), item)
        merged = merge(merged, read_file(included, f"include in {path}", (*including, real), count))
    return merge(merged, own)


def read_toml(path: str, wanted_by: str) -> Table:
    """The table that one file holds."""
    import tomllib  # costs a fifth of the launcher's time, so only a tree with a configuration pays it

    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise usage(f"reading {path}, for {wanted_by}: {error.strerror}") from None
    except ValueError as error:
        raise usage(f"reading {path}, for {wanted_by}: {error}") from None


def read_setting(setting: str) -> Table:
    """`section.key=value` as a table. A value that is no TOML is a string, so that a path needs no quotes."""
    import tomllib

    key, equals, text = setting.partition("=")
    names = key.split(".")
    if not equals or names[0] == "include" or not all(name and BARE_KEY.issuperset(name) for name in names):
        raise usage(f"--set takes section.key=value, and no include, not {setting!r}")
    value: object = text
    try:
        document = tomllib.loads(f"v = {text.strip()}")
        # A text of several lines may hold more keys than anybody meant to set.
        value = document["v"] if len(document) == 1 else text
    except ValueError as error:
        if text.strip().startswith(("'", '"', "[", "{")):
            raise usage(f"--set {setting}: {error}") from None
    table: Table = {names[-1]: value}
    for name in reversed(names[:-1]):
        table = {name: table}
    return table


def merge(weak: Table, strong: Table) -> Table:
    """Both tables; where both have a key, `strong` holds, unless both have a table there, which are merged."""
    merged = weak | strong
    for key in weak.keys() & strong.keys():
        below, above = weak[key], strong[key]
        if isinstance(below, dict) and isinstance(above, dict):
            merged[key] = merge(below, above)
    return merged


def seconds(name: str, value: object) -> float | None:
    """A time to wait, finite and not negative; None is for ever."""
    if value in (None, "never"):
        return None
    try:
        # To Python `true` is a 1. A text is no number in the file, and always one on the command line.
        if (type(value) in (int, float) or name.startswith("--")) and 0 <= float(str(value)) < float("inf"):
            return float(str(value))
    except ValueError:
        pass
    raise usage(f"{name} takes seconds, 0 or more, or never, not {value!r}")


def absolute(base: str, path: str) -> str:
    """`path` as seen from `base`, with `.` and `..` folded by name; links are not followed."""
    return os.path.normpath(os.path.join(base, path))


def usage(message: str) -> Failure:
    """A user's error."""
    return Failure(message, EXIT_USAGE)
