#!/usr/bin/env python3
"""Starts the launcher, `src/bootstrap/bootstrap.py`, with a Python that can run it. This file itself runs in any Python."""

import os
import sys


def newer_python():
    """The path of a Python of 3.11 or newer, or None. Tried by running it: a name may be a version manager's empty shim."""
    import subprocess

    names = ["python3.%d" % minor for minor in range(20, 10, -1)] + ["python3", "python"]
    for name in names:
        try:
            if subprocess.call([name, "-c", "import sys; sys.exit(sys.version_info < (3, 11))"]) == 0:
                return name
        except OSError:
            pass
    return None


def main():
    if sys.version_info < (3, 11):
        python = newer_python()
        if python is None:
            sys.exit("error: ./x needs Python 3.11 or newer, and this is %s: install one" % sys.version.split()[0])
        os.execvp(python, [python] + sys.argv)
    root = os.path.dirname(os.path.realpath(__file__))
    sys.path.insert(0, os.path.join(root, "src", "bootstrap"))
    import bootstrap

    return bootstrap.main(root, sys.argv[1:])


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
