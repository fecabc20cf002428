"""Answers onto the wire, and the ways in which that can go wrong.

A broken answer is written to the connection by hand, because a server that keeps to HTTP would
refuse to send it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import struct
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

from krea_aleph.emulator.answers import Answer
from krea_aleph.emulator.blobs import BytesBlob, Slice

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from starlette.types import Receive, Scope, Send

    from krea_aleph.emulator.values import Fault

TRANSPORT: Final = "krea_aleph.transport"
"""Where the server leaves the connection's asyncio transport in the ASGI scope."""
DEBUG_PID: Final = b"x-debug-pid"
PAUSE: Final = 0.005
"""Real seconds between the pieces of a body that is sent at a pace."""


async def deliver(answer: Answer, scope: Scope, send: Send, fault: Fault | None = None) -> None:
    """Send an answer, with whatever a fault does to its body."""
    body = _body(answer)
    if fault is not None and fault.truncate is not None:
        body = Slice(body.blob, body.start, min(body.start + fault.truncate, body.stop))
    if fault is not None and fault.cuts_body:
        _send_cut(answer, body, fault, scope[TRANSPORT])
        return
    await _send(answer, body, send, pace=fault.pace if fault is not None else None)
    if fault is not None and fault.close:
        scope[TRANSPORT].close()


async def suffer(
    fault: Fault,
    scope: Scope,
    receive: Receive,
    send: Send,
    carry_out: Callable[[], Awaitable[Answer]],
) -> int | None:
    """Let a fault happen to a call; return the status that was answered, if one was."""
    answer = await carry_out() if fault.accepts_first else None
    if fault.kill:
        _kill_caller(scope)
    if fault.stall and await _caller_leaves(receive, fault.stall):
        return None
    if fault.drop is not None or fault.kill:
        _break(scope[TRANSPORT], fault)
        await _until_disconnected(receive)
        return None
    if answer is None and not fault.answers:
        answer = await carry_out()
    answer = _disfigured(fault, answer)
    await deliver(answer, scope, send, fault)
    if fault.cuts_body:
        await _until_disconnected(receive)
    return answer.status


def _disfigured(fault: Fault, answer: Answer | None) -> Answer:
    """Return the answer that a fault brings, or the genuine one with what the fault changes."""
    if answer is None or fault.answers:
        status = fault.status or (answer.status if answer else 200)
        brought = Answer(status, part=_whole(fault.content(), fault.media_type()))
    else:
        brought = answer
    brought.headers |= {name.lower(): value for name, value in fault.headers.items()}
    return brought


def _body(answer: Answer) -> Slice:
    return answer.part or _whole(answer.content(), answer.media_type() or "")


def _whole(content: bytes, media_type: str) -> Slice:
    return Slice(BytesBlob(content, media_type), 0, len(content))


def _headers(answer: Answer, length: int) -> dict[str, str]:
    fixed = {"content-length": str(length)} if answer.status not in {204, 304} else {}
    kind = answer.media_type()
    return fixed | ({"content-type": kind} if kind else {}) | answer.headers


async def _send(answer: Answer, body: Slice, send: Send, *, pace: int | None) -> None:
    headers = [
        (name.encode("latin-1"), value.encode("latin-1"))
        for name, value in _headers(answer, len(body)).items()
    ]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    for piece in _pieces(body, pace):
        await send({"type": "http.response.body", "body": piece, "more_body": True})
        if pace:
            await asyncio.sleep(PAUSE)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def _pieces(body: Slice, pace: int | None) -> Iterator[bytes]:
    return body.pieces(pace) if pace else body.pieces()


def _send_cut(answer: Answer, body: Slice, fault: Fault, transport: Any) -> None:
    """Promise a body, send another length of it, and break the connection."""
    promised = len(body) if fault.length is None else fault.length
    sent = len(body) if fault.cut is None else fault.cut
    lines = [f"HTTP/1.1 {answer.status} {_phrase(answer.status)}"]
    lines += [f"{name}: {value}" for name, value in _headers(answer, promised).items()]
    transport.write("\r\n".join([*lines, "", ""]).encode("latin-1"))
    transport.write(body.blob.read(body.start, min(body.start + sent, body.stop)))
    if fault.reset:
        _break(transport, fault)
    else:
        transport.close()


def _break(transport: Any, fault: Fault) -> None:
    """End a connection at once; as a reset, if that is wanted."""
    if fault.reset:
        now = struct.pack("ii", 1, 0)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, now)
    transport.abort()


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def _kill_caller(scope: Scope) -> None:
    pid = int(dict(scope["headers"]).get(DEBUG_PID, b"0"))
    if pid > 1:
        os.kill(pid, signal.SIGKILL)


async def _caller_leaves(receive: Receive, seconds: float) -> bool:
    """Wait in real time; return early and true if the caller closes the connection."""
    try:
        async with asyncio.timeout(None if seconds == float("inf") else seconds):
            await _until_disconnected(receive)
    except TimeoutError:
        return False
    return True


async def _until_disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
