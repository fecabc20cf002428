"""The version: what it must look like, and the one place where it stands."""

from __future__ import annotations

import re
from typing import Final

from releasing.failure import ReleaseError

PLACE: Final = "krea_aleph/_version.py"

_FORM: Final = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
_LINE: Final = re.compile(r'^__version__ = "([^"]*)"$', re.MULTILINE)


def parts(version: str) -> tuple[int, ...]:
    """Return the numbers of a version, which compare as versions do.

    Raises:
        ReleaseError: It is none that is released here: X.Y.Z.
    """
    found = _FORM.fullmatch(version)
    if found is None:
        raise ReleaseError(f"{version!r:.80} is no version to release, such as 0.2.0")
    return tuple(map(int, found.groups()))


def read(module: str) -> str:
    """Return the version that a module's text states.

    Raises:
        ReleaseError: It states none, or several.
    """
    found = _LINE.findall(module)
    if len(found) != 1:
        raise ReleaseError(f'{PLACE} needs one line such as `__version__ = "0.2.0"`')
    return str(found[0])


def written(module: str, version: str) -> str:
    """Return a module's text with another version."""
    return module.replace(f'"{read(module)}"', f'"{version}"')
