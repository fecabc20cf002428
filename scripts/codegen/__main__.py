"""Run the pipeline in the environment of its pinned tools; `scripts/regenerate` starts this."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT)]

from codegen.cli import main  # noqa: E402 - the checkout has to be on the path first

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], ROOT))
