"""The installer as a command: `python -m tierup.local.toolchain`."""

import sys

from tierup.local.toolchain.cli import main

if __name__ == "__main__":
    sys.exit(main())
