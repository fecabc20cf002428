"""The parts of `scripts/demo`: a clip to start from, and a picture of what came out."""
