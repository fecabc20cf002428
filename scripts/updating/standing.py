"""The one branch that proposals stand on: what is on it, and putting another proposal there.

A commit of ours names its own tree in its message. So it is known when somebody has changed it
or added to it, and what people have written is never overwritten.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from updating.failure import UpdateError
from updating.paths import CHANGELOG, CONTRACT, LOCK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from updating.git import Repository

TRAILER: Final = "Spec-Update-Tree"


@dataclass(frozen=True, slots=True)
class Branch:
    """The branch, here or at a remote.

    Attributes:
        repository: Where its commits are.
        name: Its name, without `refs/heads/`.
        remote: The remote's name or address; None for a branch of this repository.
        tip: Its last commit; None if it does not exist.
    """

    repository: Repository
    name: str
    remote: str | None
    tip: str | None

    @classmethod
    def find(cls, repository: Repository, name: str, remote: str | None) -> Branch:
        """Look for the branch, and fetch what is on it.

        Raises:
            UpdateError: The name cannot be a branch's, or the remote cannot be reached.
        """
        if not repository.succeeds("check-ref-format", "--branch", name):
            raise UpdateError("branch", f"{name!r:.200} cannot be the name of a branch")
        ref = f"refs/heads/{name}"
        if remote is None:
            tip = repository.text("for-each-ref", "--format=%(objectname)", ref)
            return cls(repository, name, None, tip or None)
        listed = repository.text("ls-remote", "--end-of-options", remote, ref)
        if listed:
            repository.run("fetch", "--quiet", "--no-tags", "--end-of-options", remote, ref)
        return cls(repository, name, remote, listed.partition("\t")[0] or None)

    @property
    def ref(self) -> str:
        """Its full name."""
        return f"refs/heads/{self.name}"

    def proposes(self, tree: str, base: str) -> bool:
        """Tell whether the branch proposes this already.

        On the same base the same contract gives the same files but for dates. When people have
        gone on from it, the base does not matter: they decide when to take it up.
        """
        if self.tip is None or _facts(self.repository, self.tip) != _facts(self.repository, tree):
            return False
        if self.has_work_of_people(base):
            return True
        old, new = (self.repository.file(each, CHANGELOG) for each in (self.tip, tree))
        return old == new and self.repository.text("rev-parse", f"{self.tip}^") == base

    def has_work_of_people(self, base: str) -> bool:
        """Tell whether overwriting the branch would lose what somebody wrote."""
        if self.tip is None or self.repository.succeeds(
            "merge-base", "--is-ancestor", self.tip, base
        ):
            return False
        tree = self.repository.text("rev-parse", f"{self.tip}^{{tree}}")
        pattern = f"--format=%(trailers:key={TRAILER},valueonly)"
        named = self.repository.text("log", "-1", pattern, self.tip).strip()
        below = ("merge-base", "--is-ancestor", f"{self.tip}^", base)
        return named != tree or not self.repository.succeeds(*below)

    def commit(self, tree: str, base: str, message: str) -> str:
        """Write a commit of ours, which no branch has yet."""
        whole = f"{message}\n{TRAILER}: {tree}\n"
        written = self.repository.run(
            "commit-tree",
            tree,
            "-p",
            base,
            data=whole.encode(),
            environment=self.repository.identity(),
        )
        return written.decode().strip()

    def put(self, commit: str, options: Sequence[str] = ()) -> None:
        """Let the branch be a commit, unless somebody else has moved it meanwhile.

        Args:
            commit: The new tip.
            options: Push options for the server.

        Raises:
            UpdateError: The push was refused, or the branch is checked out.
        """
        if self.remote is None:
            self.repository.run(
                "branch", "--force", "--no-track", self.name, commit, failing="branch"
            )
        else:
            self._push(f"{commit}:{self.ref}", options)

    def remove(self) -> None:
        """Take the branch back, unless somebody else has moved it meanwhile.

        Raises:
            UpdateError: The push was refused, or the branch is checked out.
        """
        if self.remote is None:
            self.repository.run("branch", "--delete", "--force", self.name, failing="branch")
        else:
            self._push(f":{self.ref}", ())

    def _push(self, change: str, options: Sequence[str]) -> None:
        lease = f"--force-with-lease={self.ref}:{self.tip or ''}"
        told = [f"--push-option={option}" for option in options]
        remote = self.remote or ""
        self.repository.run(
            "push", "--quiet", lease, *told, "--end-of-options", remote, change, failing="push"
        )


def _facts(repository: Repository, tree: str) -> Any:
    """What decides the generated files on a base: the contract and what is retired in it."""
    try:
        lock = json.loads(repository.file(tree, LOCK) or b"{}")
        marked = [sorted(lock.get(key, {})) for key in ("retired", "deprecated")]
    except (ValueError, TypeError, AttributeError):
        marked = []
    return repository.file(tree, CONTRACT), marked
