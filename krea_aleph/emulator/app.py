"""The emulated service as an ASGI application: from a request to an answer, step by step."""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from starlette.requests import ClientDisconnect, Request

from krea_aleph.emulator import checks, downloads, moments
from krea_aleph.emulator.answers import Answer, html_page
from krea_aleph.emulator.checks import Problem
from krea_aleph.emulator.contract import JSON, SUBMIT_PREFIX
from krea_aleph.emulator.face import Face
from krea_aleph.emulator.library import FILES
from krea_aleph.emulator.presenter import Presenter
from krea_aleph.emulator.service import Call, Service
from krea_aleph.emulator.shapes import plain
from krea_aleph.emulator.timers import hold
from krea_aleph.emulator.values import DOWNLOAD, RequestRecord
from krea_aleph.emulator.wire import deliver, suffer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine

    from starlette.types import Message, Receive, Scope, Send

    from krea_aleph.emulator.accounts import Account
    from krea_aleph.emulator.contract import Contract, Operation
    from krea_aleph.emulator.faults import Faults
    from krea_aleph.emulator.jobs import SimulatedJob
    from krea_aleph.emulator.timers import Timers

RECORDED: Final = 64 * 1024
"""How many bytes of a request's body are kept in its record."""
KEPT: Final = 200_000
"""How many records are kept, so that an emulator can run for weeks."""

_log = logging.getLogger("krea_aleph.emulator")


class App:
    """Answers every request; `records` tells what came."""

    def __init__(
        self, contract: Contract, service: Service, faults: Faults, timers: Timers
    ) -> None:
        self.service = service
        self.faults = faults
        self._timers = timers
        self.records: deque[RequestRecord] = deque(maxlen=KEPT)
        self.recorded = 0
        self.base_url = ""
        self.speak(contract)
        self._face = Face(self)
        self._handlers: dict[str, Callable[[Call], Awaitable[Any]]] = {
            name: getattr(service, name)
            for name in (
                *("get_job", "list_jobs", "delete_job"),
                *("upload_asset", "list_assets", "get_asset", "delete_asset"),
            )
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        request = Request(scope, receive)
        if self._face.owns(request):
            await deliver(await self._face.answer(request), scope, send)
            return
        with hold(self.service.clock()):
            operation = self.contract.find(request.method, request.url.path)
            record = self._record(request, operation)
            request = Request(scope, _recording(receive, record))

            async def carry_out() -> Answer:
                return await self._answer(request, operation)

            try:
                record.status = await self._respond(record, request, send, carry_out)
            except ClientDisconnect:
                _log.info("%s %s: the caller left", record.method, quote(record.path))
                return
            _log.info(*_line(record))

    def speak(self, contract: Contract) -> None:
        """Answer by another contract from now on."""
        self.contract = contract
        self._presenter = Presenter(self.service.switches, self.service.note)

    def present(self, job: SimulatedJob, at: float) -> dict[str, Any]:
        """Return a job as a webhook tells it, at the moment of a change."""
        facts = self.service.facts(job, at, self.base_url)
        operation = self.contract.find("get", f"/jobs/{job.id}")
        if operation is None:
            told: dict[str, Any] = plain(facts)
            return told
        answer = self._presenter.success(operation, facts, {})
        self.service.switches.apply(answer)
        body: dict[str, Any] = answer.body
        return body

    async def _respond(
        self,
        record: RequestRecord,
        request: Request,
        send: Send,
        carry_out: Callable[[], Awaitable[Answer]],
    ) -> int | None:
        fault = self.faults.next_for(record.operation)
        if fault is not None:
            record.fault = fault
            if fault.late:
                await request.body()  # it is kept, since the caller will have left by then
                self._timers.at(self.service.clock().time() + fault.late, _forgetting(carry_out))
            return await suffer(fault, request.scope, request.receive, send, carry_out)
        answer = await carry_out()
        await deliver(answer, request.scope, send)
        return answer.status

    async def _answer(self, request: Request, operation: Operation | None) -> Answer:
        """Return the whole answer to a request, quirks included."""
        if request.url.path.startswith(FILES):
            blob = self.service.library.find(request.url.path)
            answer = downloads.answer(request, blob, self.service.switches)
        elif operation is None:
            answer = self._unrouted(request)
        else:
            answer = await self._operate(request, operation)
        self.service.switches.apply(answer)
        answer.headers.setdefault("date", moments.http_date(self.service.now()))
        return answer

    async def _operate(self, request: Request, operation: Operation) -> Answer:
        try:
            answer = await self._perform(request, operation)
        except Problem as problem:
            answer = self._presenter.refusal(operation, problem)
        answer.headers |= self._deprecation(operation, failed=answer.failed)
        return answer

    async def _perform(self, request: Request, operation: Operation) -> Answer:
        self._refuse_urllib(request)
        self._refuse_retired(operation.submits)
        if "auth_first" in self.service.switches:
            self._account(request, operation)
        lenient = not self._presenter.can_refuse(operation)
        values = checks.parameters(operation, request, lenient=lenient)
        body = None
        if JSON in operation.bodies:
            body = await checks.json_body(operation, request, self.service.now())
        account = self._account(request, operation)
        now = await self.service.advance(account)
        call = Call(operation, request, account, values, body, now, self.base_url)
        facts = await self._handler(operation)(call)
        return self._presenter.success(operation, facts, self._previews(facts, now))

    def _handler(self, operation: Operation) -> Callable[[Call], Awaitable[Any]]:
        if operation.submits:
            return self.service.submit
        return self._handlers.get(operation.id, _made_up)

    def _account(self, request: Request, operation: Operation) -> Account:
        """Return whose key was sent."""
        accounts = self.service.accounts
        kind, _, key = request.headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer" and key.strip() in accounts:
            return accounts[key.strip()]
        if operation.secured:
            raise Problem(401, "Unauthorized")
        return next(iter(accounts.values()))

    def _previews(self, facts: Any, now: float) -> dict[str, str]:
        if "previews_while_running" not in self.service.switches or not isinstance(facts, dict):
            return {}
        ids = [job.get("job_id", "") for job in facts.get("items", [facts])]
        found = {job_id: self.service.preview(job_id, now, self.base_url) for job_id in ids}
        return {job_id: url for job_id, url in found.items() if url is not None}

    def _unrouted(self, request: Request) -> Answer:
        """Answer what the contract does not know."""
        path = request.url.path
        if methods := [op.method.upper() for op in self.contract.at(path)]:
            words = f"Method {request.method} is not allowed here"
            allow = {"allow": ", ".join(sorted(set(methods)))}
            return Answer(405, {"error": words}, problem=words, headers=allow)
        try:
            self._refuse_retired(request.method == "POST" and path.startswith(SUBMIT_PREFIX))
        except Problem as problem:
            return Answer(410, {"error": problem.words, **problem.extra}, problem=problem.words)
        if "html_404" in self.service.switches:
            return html_page()
        return Answer(404, {"error": "Not found"}, problem="Not found")

    def _refuse_urllib(self, request: Request) -> None:
        agent = request.headers.get("user-agent", "")
        if "python_urllib_403" in self.service.switches and agent.startswith("Python-urllib"):
            raise Problem(403, "error code: 1010")

    def _refuse_retired(self, submits: bool) -> None:  # noqa: FBT001 - the one question it asks
        settings = self.service.settings
        if not submits or settings.sunset is None or self.service.now() < settings.sunset:
            return
        more = {"replacement": settings.replacement} if settings.replacement else {}
        raise Problem(
            410,
            "model_unavailable",
            reason="deprecated",
            message="This model is no longer available.",
            sunset_date=moments.stamp(settings.sunset)[:10],
            **more,
        )

    def _deprecation(self, operation: Operation, *, failed: bool) -> dict[str, str]:
        sunset = self.service.settings.sunset if operation.submits else None
        if failed or (sunset is None and not operation.deprecated):
            return {}
        page = f'<{self.base_url}/deprecations>; rel="deprecation"; type="text/html"'
        dated = {} if sunset is None else {"sunset": moments.http_date(sunset)}
        return {"deprecation": "true", **dated, "link": page}

    def _record(self, request: Request, operation: Operation | None) -> RequestRecord:
        path = request.url.path
        name = DOWNLOAD if path.startswith(FILES) else ""
        record = RequestRecord(
            method=request.method,
            path=path,
            query=request.url.query,
            operation=operation.id if operation is not None else name,
            headers=dict(request.headers),
            client="" if request.client is None else f"{request.client.host}:{request.client.port}",
            at=self.service.now(),
        )
        self.records.append(record)
        self.recorded += 1
        return record


async def _made_up(_: Call) -> None:
    """Know nothing: the answer is made up from the contract."""


def _forgetting(
    carry_out: Callable[[], Awaitable[Answer]],
) -> Callable[[], Coroutine[Any, Any, None]]:
    """Carry a call out with nobody left to answer."""

    async def carried_out() -> None:
        await carry_out()

    return carried_out


def _recording(receive: Receive, record: RequestRecord) -> Receive:
    """Keep what is read of a body."""

    async def recording() -> Message:
        message = await receive()
        room = RECORDED - len(record.body)
        if room > 0 and message["type"] == "http.request":
            record.body += message.get("body", b"")[:room]
        return message

    return recording


def _line(record: RequestRecord) -> tuple[str, str, str, object, str]:
    fault = " (a scripted fault)" if record.fault is not None else ""
    return ("%s %s -> %s%s", record.method, quote(record.path), record.status or "no answer", fault)
