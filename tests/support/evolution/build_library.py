"""Build the package that follows from a row of descriptions, as `scripts/regenerate --from` would.

A program of its own, for the Python with the pinned tools: CHECKOUT TARGET DESCRIPTION...
The checkout takes on each contract in turn; the package of the last one is left in TARGET. Nothing
is type-checked: the tests of the pipeline do that.
"""

import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT)]

from codegen.follow import follow, read_publication  # noqa: E402 - the path comes first
from codegen.pipeline import Project  # noqa: E402 - as above


def main(project: Project, target: Path, documents: list[Path]) -> None:
    """Follow the documents and leave the last package behind."""
    for document in documents:
        with tempfile.TemporaryDirectory(dir=target) as scratch:
            followed = follow(project, read_publication(document), Path(scratch))
            assert followed.built is not None, f"{document.name} changes nothing"
            project.contract.write_bytes(followed.contract)
            project.lock.write_bytes(followed.lock.dump())
            if document is documents[-1]:
                package = followed.built.package
                package.rename(target / package.name)


if __name__ == "__main__":
    checkout, folder, *files = map(Path, sys.argv[1:])
    main(Project(checkout), folder, files)
