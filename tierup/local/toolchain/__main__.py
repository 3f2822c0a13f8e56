"""Entry point of `python -m tierup.local.toolchain`, the toolchain installer."""

import sys

from tierup.local.toolchain.cli import main

if __name__ == "__main__":
    sys.exit(main())
