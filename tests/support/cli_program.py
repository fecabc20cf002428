"""`krea-aleph` with short pauses, for jobs that take no time: a program for tests."""

import sys

from krea_aleph import PollPolicy, RetryPolicy
from krea_aleph.cli import main

if __name__ == "__main__":
    sys.exit(main(poll=PollPolicy(early=0.1), retry=RetryPolicy(attempts=1)))
