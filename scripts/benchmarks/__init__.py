"""The parts of `scripts/bench`: a load target, a plain client to compare with, and ours."""
