"""`python -m krea_aleph`: the command `krea-aleph`, where its script is not on the PATH."""

import sys

from krea_aleph.cli import main

if __name__ == "__main__":
    sys.exit(main())
