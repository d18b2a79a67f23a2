#!/usr/bin/env python3
"""Starts the launcher, `src/bootstrap/bootstrap.py`. Any Python can read this file, so that an old one can say so."""

import os
import sys

if __name__ == "__main__":
    if sys.version_info < (3, 11):
        sys.stderr.write("error: ./x needs Python 3.11 or newer, and this is %d.%d: install one\n" % sys.version_info[:2])
        sys.exit(4)
    root = os.path.dirname(os.path.realpath(__file__))
    sys.path.insert(0, os.path.join(root, "src", "bootstrap"))
    try:
        import bootstrap

        sys.exit(bootstrap.main(root, sys.argv[1:]))
    except KeyboardInterrupt:
        sys.stderr.write("error: interrupted\n")
        sys.exit(130)
