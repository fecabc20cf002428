"""What upstream states wrongly, put right, each only while upstream still says it."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from krea_aleph.specdiff.errors import StepError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from krea_aleph.specdiff.rules import Correction


def correct_slice(
    operations: Mapping[str, Any], corrections: Iterable[Correction]
) -> dict[str, Any]:
    """Apply the corrections to a copy of the intermediate form.

    Raises:
        StepError: Upstream no longer says what a correction expects.
    """
    result = copy.deepcopy(dict(operations))
    for correction in corrections:
        *parents, last = correction.at.split("/")
        node: Any = result
        for name in parents:
            node = node.get(name) if isinstance(node, dict) else None
        found = node.get(last) if isinstance(node, dict) else None
        if type(found) is not type(correction.expect) or found != correction.expect:
            raise _stale(correction, found)
        if correction.set is None:
            del node[last]
        else:
            node[last] = correction.set
    return result


def _stale(correction: Correction, found: object) -> StepError:
    return StepError(
        "normalise",
        f"the correction of {correction.at} expects {correction.expect!r} but the contract says"
        f" {found!r}. Upstream may have fixed it: look, then change or remove it in rules.toml"
        f" ({correction.because})",
    )
