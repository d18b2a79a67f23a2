"""A Windows of our own: wine, in a folder."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import foreign

if TYPE_CHECKING:
    from pathlib import Path


class Wine:
    """A prefix of wine, and what runs in it."""

    def __init__(self, prefix: Path) -> None:
        """Names the folder; nothing is made yet."""
        self.prefix = prefix
        self.environment = foreign.environment() | {
            "WINEPREFIX": str(prefix),
            "WINEDEBUG": "-all",
            # No installers for what no test needs, and no entries in the menus of whoever runs this.
            "WINEDLLOVERRIDES": "mscoree,mshtml,winemenubuilder.exe=",
        }

    def prepare(self) -> None:
        """Makes the prefix, if it is not there, and puts what std needs into it."""
        if not (self.prefix / "system.reg").exists():
            subprocess.run([foreign.WINE, "wineboot", "--init"], env=self.environment, check=True)
        system = self.prefix / "drive_c/windows/system32"
        source = foreign.ROOT / "tests/platforms/bcryptprimitives.c"
        flags = ["-O2", "-Wall", "-Wextra", "-Werror", "-shared"]
        subprocess.run([foreign.MINGW, *flags, "-o", system / "bcryptprimitives.dll", source, "-ladvapi32"], check=True)

    def end(self) -> None:
        """Ends wine's server, which would linger, and with it whatever a test left running."""
        subprocess.run([foreign.WINESERVER, "--kill"], env=self.environment, check=False)


def path(file: Path) -> str:
    """What a Windows program calls a file of ours."""
    return f"Z:{file}".replace(os.sep, "\\")
