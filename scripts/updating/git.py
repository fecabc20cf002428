"""Git, as far as an update needs it: no hooks, no questions, and errors in one sentence."""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from updating.failure import UpdateError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_QUIET: Final = {"GIT_TERMINAL_PROMPT": "0", "GIT_ADVICE": "0", "LC_ALL": "C"}
# What is committed here was made by a program of ours: no hook has to look at it or change it.
_COMMAND: Final = ("git", "-c", "core.hooksPath=/dev/null", "-c", "advice.detachedHead=false")
_NAME: Final = {"GIT_AUTHOR_NAME": "spec update", "GIT_COMMITTER_NAME": "spec update"}
_EMAIL: Final = {
    "GIT_AUTHOR_EMAIL": "spec-update@localhost",
    "GIT_COMMITTER_EMAIL": "spec-update@localhost",
}
# A run from inside a hook of git's would be told to work on that repository's index.
_LOCATIONS: Final = frozenset({"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"})
_SECRET: Final = re.compile(r"://[^/@\s]+@")  # who pushes, and with what, in an address
_RELEASE: Final = re.compile(r"v(\d+)\.(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository, by a folder in it."""

    root: Path

    def run(
        self,
        *arguments: str,
        data: bytes | None = None,
        environment: Mapping[str, str] | None = None,
        failing: str = "git",
    ) -> bytes:
        """Run a git command and return what it prints.

        Args:
            arguments: The command without `git`.
            data: What it reads.
            environment: What to add to the environment.
            failing: The name of the failure, a key of `EXIT_CODES`.

        Raises:
            UpdateError: Git is missing or refused; the message has its words.
        """
        done = self._start(*arguments, data=data, environment=environment or {})
        if done.returncode:
            said = " ".join(done.stderr.decode(errors="replace").split())
            told = f"`git {' '.join(arguments)}` failed: {said:.1000}"
            raise UpdateError(failing, _SECRET.sub("://***@", told))
        return done.stdout

    def text(self, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
        """Run a git command and return what it prints, as one text without the last line end."""
        return self.run(*arguments, environment=environment).decode(errors="replace").rstrip("\n")

    def succeeds(self, *arguments: str) -> bool:
        """Tell whether a git command exits with 0."""
        return not self._start(*arguments, data=None, environment={}).returncode

    def commit_of(self, revision: str) -> str:
        """Return the id of the commit that a revision means.

        Raises:
            UpdateError: There is no such commit.
        """
        wanted = f"{revision}^{{commit}}"
        try:
            return self.text("rev-parse", "--verify", "--quiet", "--end-of-options", wanted)
        except UpdateError as error:
            raise UpdateError("git", f"{revision} is no commit here: fetch it first") from error

    def file(self, commit: str, path: str) -> bytes | None:
        """Return a file as it is in a commit or tree; None if it is not there."""
        done = self._start("cat-file", "blob", f"{commit}:{path}", data=None, environment={})
        return None if done.returncode else done.stdout

    def last_release(self, commit: str) -> str | None:
        """Return the tag vX.Y.Z with the highest version among those that a commit follows."""
        tags = self.text("tag", "--merged", commit, "--list", "v*").split()
        numbers = {tag: found for tag in tags if (found := _RELEASE.fullmatch(tag))}
        return max(numbers, key=lambda tag: tuple(map(int, numbers[tag].groups())), default=None)

    def identity(self) -> dict[str, str]:
        """Return who commits, as environment variables: only what is not configured."""
        name = {} if self.succeeds("config", "user.name") else _NAME
        email = {} if self.succeeds("config", "user.email") else _EMAIL
        return {key: said for key, said in {**name, **email}.items() if key not in os.environ}

    def _start(
        self, *arguments: str, data: bytes | None, environment: Mapping[str, str]
    ) -> subprocess.CompletedProcess[bytes]:
        outside = {name: said for name, said in os.environ.items() if name not in _LOCATIONS}
        try:
            return subprocess.run(
                [*_COMMAND, *arguments],
                cwd=self.root,
                env={**outside, **_QUIET, **environment},
                input=data if data is not None else b"",
                capture_output=True,
                check=False,
            )
        except OSError as error:
            raise UpdateError("git", f"git cannot be started: {error}") from error
