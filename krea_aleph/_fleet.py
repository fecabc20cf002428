"""Waiting together: who waits on a client and finds nobody looking looks for everybody."""

from __future__ import annotations

import math
from typing import Final

from krea_aleph._crowd import INSTANT
from krea_aleph._hooks import STORE_LOOK, ask_store
from krea_aleph._looks import look
from krea_aleph._steps import now, sleep

# By how many seconds a look may be late before somebody else makes it.
_STALLED: Final = 10.0

TYPE_CHECKING = False
if TYPE_CHECKING:
    from krea_aleph._crowd import Crowd, Wait
    from krea_aleph._steps import Steps


def news(crowd: Crowd) -> Steps[list[Wait]]:
    """Return the waits that there is something new of; let time pass until there are some."""
    board = crowd.config.board
    while True:
        crowd.bell.heard()
        if crowd.has_news:
            break
        role = board.role(crowd)
        if role == "leader":
            try:
                yield from _lead(crowd)
            finally:
                board.step_down(crowd)
        else:
            yield from _rest(crowd, deputy=role == "deputy")
    board.appoint()  # whoever was woken to look, and has other things to do, passes it on
    return crowd.take_news()


def _rest(crowd: Crowd, *, deputy: bool) -> Steps[None]:
    """Rest until there is something to do; the deputy also looks whether looks are made at all."""
    board = crowd.config.board
    try:
        moment = yield from now()
        seconds = crowd.patience(moment)
        if deputy:
            seconds = min(seconds, crowd.next_due() + _STALLED - moment)
        yield from sleep(max(seconds, 0.0), crowd.bell)
        moment = yield from now()
        crowd.expire(moment)
        if deputy and moment - crowd.next_due() >= _STALLED - INSTANT:
            board.take_over(crowd)
    finally:
        board.get_up(crowd)


def _lead(crowd: Crowd) -> Steps[None]:
    """Look for everybody until there is something for this party, or another has taken over."""
    config = crowd.config
    board = config.board
    heard = -math.inf
    while board.leads(crowd) and not crowd.has_news:
        crowd.bell.heard()
        everybody = (wait for party in board.parties for wait in list(party.waits.values()))
        waits = [wait for wait in everybody if not wait.over]
        moment = yield from now()
        ears = [wait.ear for wait in waits if wait.ear.listens]
        if ears and config.store is not None and moment >= heard + STORE_LOOK:
            heard = moment
            yield from ask_store(config, ears)
        due = [wait for wait in waits if _is_due(wait, moment)]
        if due:
            yield from look(config, waits, due)
            continue
        until = min(min(wait.due, wait.ear.opens()) for wait in waits)
        if ears and config.store is not None:
            until = min(until, heard + STORE_LOOK)
        board.pause_ends = until
        yield from sleep(max(until - moment, 0.0), crowd.bell)
        board.pause_ends = -math.inf


def _is_due(wait: Wait, moment: float) -> bool:
    """Whether a look is to be made now: its time has come, or a delivery has."""
    wait.told = wait.ear.hears(moment)
    return wait.told or wait.due - moment < INSTANT
