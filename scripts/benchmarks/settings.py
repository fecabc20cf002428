"""How much work a scenario is; the same for every client."""

from typing import Final

PAIRS: Final = 300  # a submit and a get each, one after the other
JOBS: Final = 2000  # in flight at once
LOOKS: Final = 3  # a job is seen finished at its third look
PAUSE: Final = 16.0  # seconds between two looks at a job

# In how many bursts the jobs of `bursts` start, spread over one pause. 500 at once is what the
# plain loop still manages: with 667 its pool needs minutes of CPU, with 2,000 some 80 ms a request.
BURSTS: Final = 4
