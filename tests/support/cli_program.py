"""`krea-aleph` with short pauses between looks, for jobs that take no time: a program for tests."""

import sys

from krea_aleph import PollPolicy
from krea_aleph.cli import main

if __name__ == "__main__":
    sys.exit(main(poll=PollPolicy(early=0.1)))
