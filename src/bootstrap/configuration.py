"""Reads the keys of `bootstrap.toml` that the launcher needs, by the driver's rules (`tests/cases/config/README.md`).

If the two did not read alike, they would not meet at the same lock. What only the driver refuses, it refuses a moment later.
"""

import os

# The exit codes, which are the driver's too.
FAILED, USAGE, ENVIRONMENT, LOCK_TIMEOUT = 1, 2, 4, 75

INCLUDE_DEPTH_MAX = 16

Table = dict[str, object]


class Failure(Exception):
    """An exit code, and the message of an error that a person can do something about: it says what."""


class Configuration:
    """What holds for one call of `./x`: absolute paths and checked values."""

    def __init__(self, root: str, arguments: list[str]) -> None:
        flags, build = read_flags(arguments), Table()
        # What is wrong. A driver that is there shows the line, too: with the defaults it is found.
        self.refused = ""
        try:
            for layer in read_layers(root, flags):
                section = layer.get("build", {})
                build |= section if isinstance(section, dict) else {"build-dir": section}
        except Failure as failure:
            self.refused = failure.args[1]

        def text(key: str, default: str = "", pattern: str = ".+") -> str:
            return self.checked(f"build.{key}", build[key], pattern, default) if key in build else default

        def path(key: str, default: str = "") -> str:
            value = text(key, default)
            # The bare name of a tool, which has no default, is looked up on PATH.
            return os.path.normpath(os.path.join(root, value)) if default or os.path.dirname(value) else value

        self.root, self.build_dir = root, path("build-dir", "build")
        for folder in flags["--build-dir"]:
            self.build_dir = os.path.abspath(folder)
        self.lock_dir = path("lock-dir", os.path.join(self.build_dir, "session"))
        self.cache_dir = path("cache-dir", os.path.join(self.build_dir, "cache"))
        self.rustc, self.cargo = path("rustc"), path("cargo")
        self.stage0 = text("stage0", "auto", "auto|download|local")
        self.dist_server = text("dist-server", "", "https://.+|http://.+|file://.+")
        self.lock_mode = text("lock-mode", "read-write", "read-write|exclusive|off")
        self.lock_timeout = float("inf")
        for value in [str(build[key]) for key in build if key == "lock-timeout"] + flags["--lock-timeout"]:
            limit = self.checked("build.lock-timeout or --lock-timeout", value, r"never|(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", "never")
            self.lock_timeout = float(limit.replace("never", "inf"))

    def checked(self, name: str, value: object, pattern: str, default: str) -> str:
        """The value of a key, which must be a string that matches."""
        import re  # needed only where a key is set

        if isinstance(value, str) and re.fullmatch(pattern, value, re.ASCII | re.DOTALL):
            return value
        self.refused = f"{name} must be a string that matches {pattern}, not {value!r}"
        return default


def read_flags(arguments: list[str]) -> dict[str, list[str]]:
    """The values of the flags that are configuration's; all others are the driver's to judge."""
    flags: dict[str, list[str]] = {"--config": [], "--build-dir": [], "--lock-timeout": [], "--set": []}
    words = iter(arguments[: [*arguments, "--"].index("--")])
    for word in words:
        flag, equals, value = word.partition("=")
        if word == "--no-wait":
            flags["--lock-timeout"].append("0")
        elif flag in flags:
            flags[flag].append(value if equals else next(words, ""))
            if not flags[flag][-1]:
                raise Failure(USAGE, f"{flag} needs a value")
    return flags


def read_layers(root: str, flags: dict[str, list[str]]) -> list[Table]:
    """All that is configured, the weakest first: the profile's defaults, the file that is found, each `--set`."""
    named = (flags["--config"] or [os.environ.get("RUST_BOOTSTRAP_CONFIG", "")])[-1]
    found = [path for path in ("bootstrap.toml", os.path.join(root, "bootstrap.toml")) if os.path.exists(path)]
    layers = []
    for path in [named] if named else found[:1]:
        layers = read_file(os.path.abspath(path), "--config or RUST_BOOTSTRAP_CONFIG" if named else "./x")
    layers += [read_setting(setting) for setting in flags["--set"]]
    for profile in [layer["profile"] for layer in layers if "profile" in layer][-1:]:
        folder = os.path.join(root, "src", "bootstrap", "defaults")
        name, known = f"bootstrap.{profile}.toml", sorted(os.listdir(folder))
        # A name that must be in the list cannot lead out of the folder.
        if name not in known:
            raise Failure(USAGE, f"there is no profile in {name}: known are {', '.join(known)} in {folder}")
        layers = read_file(os.path.join(folder, name), "profile") + layers
    return layers


def read_file(path: str, *wanted_by: str) -> list[Table]:
    """A file after all that it includes; `wanted_by` led here."""
    import tomllib  # costs a fifth of the launcher's time, so only a tree with a configuration pays it

    try:
        with open(path, "rb") as file:
            table = tomllib.load(file)
    except (OSError, ValueError) as error:
        raise Failure(USAGE, f"reading {path}, for {wanted_by[-1]}: {getattr(error, 'strerror', error)}") from None
    includes = table.get("include", [])
    if not isinstance(includes, list) or not all(isinstance(item, str) for item in includes):
        raise Failure(USAGE, f"include in {path} must be a list of paths, not {includes!r}")
    wanted_by += (f"include in {path}",)
    if includes and len(wanted_by) > INCLUDE_DEPTH_MAX + 1:
        raise Failure(USAGE, f"more than {INCLUDE_DEPTH_MAX} files deep, or in a cycle: {' -> '.join(wanted_by)}")
    paths = [os.path.normpath(os.path.join(os.path.dirname(path), item)) for item in includes]
    return [layer for path in paths for layer in read_file(path, *wanted_by)] + [table]


def read_setting(setting: str) -> Table:
    """`section.key=value` as a table. A value that is no TOML is a string, so that a path needs no quotes."""
    import re
    import tomllib

    if not re.match(r"(?!include[.=])[\w-]+(\.[\w-]+)*=", setting, re.ASCII):
        raise Failure(USAGE, f"--set takes section.key=value, and no include, not {setting!r}")
    key, _, value = setting.partition("=")
    *sections, name = key.split(".")
    table = Table()
    try:
        table = tomllib.loads(f"{name} = {value.strip()}")
    except ValueError as error:
        if value.strip().startswith(("'", '"', "[", "{")):
            raise Failure(USAGE, f"--set {setting}: {error}") from None
    if len(table) != 1:  # a text of several lines may hold more keys than anybody meant to set
        table = {name: value}
    for section in reversed(sections):
        table = {section: table}
    return table
