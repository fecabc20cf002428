"""How much work a scenario is; the same for every client."""

from typing import Final

PAIRS: Final = 300  # a submit and a get each, one after the other
JOBS: Final = 2000  # in flight at once
LOOKS: Final = 3  # a job is seen finished at its third look
PAUSE: Final = 16.0  # seconds between two looks at a job
BURSTS: Final = 2  # in how many bursts the jobs of `bursts` start, spread over one pause
