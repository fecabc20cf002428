"""The gate: who may submit, in which order, and what is shared by whom."""

from __future__ import annotations

import gc
import math

import pytest

from krea_aleph._gate import Gate, Share, Ticket, gate_of
from krea_aleph.models import Job

from .transcript import configured

RUNNING = Job("j", "processing")


@pytest.fixture
def gate() -> Gate:
    """A gate of which nothing is known."""
    return Gate(configured())


def waiting(gate: Gate, share: Share) -> Ticket:
    """Return a ticket that waits."""
    ticket = Ticket(share)
    gate.enter(ticket)
    return ticket


def rung(ticket: Ticket) -> bool:
    """Tell whether a ticket's bell has rung since it was asked last."""
    before = ticket.bell._heard
    return ticket.bell.heard() > before


def test_the_first_to_come_is_the_first_to_go(gate: Gate) -> None:
    """The second one is rung for when the first one's job is accepted."""
    share = Share(None)
    first, second = waiting(gate, share), waiting(gate, share)
    assert gate.passes(second, 0.0) == math.inf
    assert gate.passes(first, 0.0) is None
    assert gate.passes(second, 0.0) == math.inf
    rung(second)
    gate.accept(first, RUNNING, 0.0)
    assert rung(second)
    assert gate.passes(second, 0.0) is None


def test_a_batch_at_its_own_cap_holds_up_no_other(gate: Gate) -> None:
    """Batches of one account share the gate, and each has a cap of its own."""
    capped, free = Share(1), Share(None)
    first, second, third = waiting(gate, capped), waiting(gate, capped), waiting(gate, free)
    assert gate.passes(first, 0.0) is None
    gate.accept(first, RUNNING, 0.0)
    assert gate.passes(second, 0.0) == math.inf
    assert gate.passes(third, 0.0) is None
    gate.accept(third, RUNNING, 0.0)
    gate.see(first, Job("j", "completed"), 1.0)
    assert gate.passes(second, 1.0) is None
    assert (capped.count, free.count) == (1, 1)


def test_whoever_leaves_takes_nothing_with_him(gate: Gate) -> None:
    """From wherever a ticket leaves, the others go on as if it had not been there."""
    share = Share(None)
    for phase in ("outside", "waiting", "posting", "in flight"):
        ticket = Ticket(share)
        if phase != "outside":
            gate.enter(ticket)
        if phase in {"posting", "in flight"}:
            assert gate.passes(ticket, 0.0) is None
        if phase == "in flight":
            gate.accept(ticket, RUNNING, 0.0)
        assert ticket.phase == phase
        gate.leave(ticket, 0.0)
        assert (ticket.phase, share.count) == ("outside", 0)
    assert gate.room(0.0) >= 1


def test_a_job_of_before_has_a_slot(gate: Gate) -> None:
    """What an earlier run has submitted counts while it runs."""
    share = Share(1)
    gate.accept(Ticket(share), RUNNING, 0.0)
    assert share.count == 1
    assert gate.passes(waiting(gate, share), 0.0) == math.inf


def test_a_slot_is_freed_when_its_job_ends(gate: Gate) -> None:
    """A job takes a slot until it has ended, whenever it began; then the next one is rung for."""
    share = Share(None)
    before, now = Ticket(share), waiting(gate, share)
    free = gate.room(0.0) + 1  # one of them waits
    gate.accept(before, RUNNING, 0.0)
    assert gate.passes(now, 0.0) is None
    assert gate.room(0.0) < free
    gate.accept(now, RUNNING, 0.0)
    following = waiting(gate, share)
    for ticket in (before, now):
        rung(following)
        gate.leave(ticket, 1.0)
        assert rung(following)
    gate.leave(following, 1.0)
    assert (gate.room(1.0), share.count) == (2 + free, 0)


def test_what_is_refused_is_outside_again(gate: Gate) -> None:
    """A submit that is refused holds no share, and the next one in the row is rung for."""
    share = Share(None)
    first, second = waiting(gate, share), waiting(gate, share)
    assert gate.passes(first, 0.0) is None
    rung(second)
    gate.refuse(first, 0.0, None)
    assert (first.phase, share.count) == ("outside", 0)
    assert rung(second)


def test_one_tries_while_there_is_no_credit(gate: Gate) -> None:
    """After a minute, then two, at most ten; the first that is accepted ends it."""
    share, now, pauses = Share(None), 0.0, []
    tickets = [waiting(gate, share) for _ in range(3)]
    assert gate.passes(tickets[0], now) is None
    for number in range(6):
        gate.leave(tickets[0], now)
        assert gate.no_credit(now) == (number == 0)
        gate.enter(tickets[0])
        tickets = [*tickets[1:], tickets[0]]
        pauses.append(gate.closed_for(now))
        assert gate.passes(tickets[0], now) == pytest.approx(pauses[-1])
        now += pauses[-1]
        assert gate.passes(tickets[0], now) is None
        assert gate.passes(tickets[1], now) == math.inf
    assert pauses == [60, 120, 240, 480, 600, 600]
    gate.accept(tickets[0], RUNNING, now)
    assert gate.passes(tickets[1], now) is None
    assert gate.no_credit(now)


def test_who_shares_a_gate() -> None:
    """Those of one account of one server, for as long as somebody uses it."""
    one = gate_of(configured(account="a"))
    assert gate_of(configured(account="a")) is one
    assert gate_of(configured(account="b")) is not one
    assert gate_of(configured(account="a", base_url="https://other.example")) is not one
    one.enter(Ticket(Share(None)))
    del one
    gc.collect()
    assert gate_of(configured(account="a")).room(0.0) == 1
