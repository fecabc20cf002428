"""From facts to answers: the contract chooses and fills in, then the quirks have their way."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from krea_aleph.emulator.answers import Answer
from krea_aleph.emulator.facts import VERBATIM, of_refusal
from krea_aleph.emulator.shapes import MISFIT, Forms, sample, shaper

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from krea_aleph.emulator.checks import Problem
    from krea_aleph.emulator.contract import Operation
    from krea_aleph.emulator.quirks import Switches

MARK: Final = "emulation"
"""The key under which every job says that it is an emulation."""

# What stands in for a status that an operation does not declare, best first.
_STAND_INS: Final = {
    400: (404, 401),
    401: (404,),
    402: (400,),
    403: (401, 404),
    409: (400, 404),
    410: (404, 400),
    413: (400,),
    422: (400,),
    429: (400,),
}
_UNDECLARED: Final = {
    401: "undeclared_401",
    403: "python_urllib_403",
    410: "undeclared_410",
    413: "undeclared_413",
    422: "undeclared_422",
}


class Presenter:
    """Makes answers that follow the contract, but for the quirks that are on."""

    def __init__(self, switches: Switches, note: Callable[[str], str]) -> None:
        self._switches = switches
        self._note = note
        self._shapers: dict[tuple[str, str, int], Callable[[Any], Any]] = {}

    def success(self, operation: Operation, facts: Any, previews: Mapping[str, str]) -> Answer:
        """Return the answer to a call that went well, before the quirks."""
        status = operation.success
        answer = Answer(status, operation=operation.id, submitted=operation.submits)
        schema = operation.schema(status)
        if schema is not None:
            answer.body = self._shaped(
                operation, status, sample(schema) if facts is None else facts
            )
        for job, known in zip(_items(answer.body), _items(facts), strict=False):
            if _is_job(job):
                job.update((known or {}).get(VERBATIM, {}))
                answer.jobs.append(job)
        self._mark(answer.jobs, schema)
        answer.previews = dict(previews)
        return answer

    def refusal(self, operation: Operation, problem: Problem) -> Answer:
        """Return the answer to a call that is refused, before the quirks."""
        status = self.status(operation, problem.status)
        facts = Forms(({**of_refusal(status, problem.words), **problem.extra}, problem.words))
        body: Any = {"error": problem.words}
        if operation.schema(status) is not None:
            body = self._shaped(operation, status, facts)
        if isinstance(body, dict):
            body = body | problem.extra
        return Answer(status, body, operation=operation.id, problem=problem.words)

    def status(self, operation: Operation, wanted: int) -> int:
        """Return the wanted status if contract or quirks allow it, else what comes closest."""
        quirk = _UNDECLARED.get(wanted, "undeclared_refusals")
        if operation.declares(wanted) or quirk in self._switches:
            return wanted
        stand_ins = _STAND_INS.get(wanted, ())
        return next((status for status in stand_ins if operation.declares(status)), wanted)

    def can_refuse(self, operation: Operation) -> bool:
        """Say whether there is an honest way to refuse a wrong request."""
        return self.status(operation, HTTPStatus.BAD_REQUEST) == HTTPStatus.BAD_REQUEST

    def _shaped(self, operation: Operation, status: int, facts: Any) -> Any:
        key = (operation.method, operation.path, status)  # ids of foreign operations may be equal
        if key not in self._shapers:
            self._shapers[key] = shaper(operation.schema(status) or {})
        shaped = self._shapers[key](facts)
        return sample(operation.schema(status) or {}) if shaped is MISFIT else shaped

    def _mark(self, jobs: list[dict[str, Any]], schema: Mapping[str, Any] | None) -> None:
        members = (schema or {}).get("properties", {})
        item = members.get("items", {}).get("items", schema) if "items" in members else schema
        if (item or {}).get("additionalProperties") is not False:
            for job in jobs:
                job[MARK] = self._note(job.get("job_id", job.get("id", "")))


def _items(body: Any) -> list[Any]:
    if isinstance(body, dict) and isinstance(body.get("items"), list):
        return list(body["items"])
    return [body]


def _is_job(value: Any) -> bool:
    return isinstance(value, dict) and "status" in value and bool({"job_id", "id"} & value.keys())
