"""Behind an open breaker: one probe at a time, and what it comes to decides who goes next. Over every store."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from gateway_client.ledger.entries import Ask, Effect, Settlement
from gateway_client.ledger.transactions import Transactions
from gateway_client.pools.breaker import ENOUGH, FIRST_OPEN, PROBE_LEASE
from tests.support.gateway import ask, released, settled, unknown


@dataclass
class Clock:
    """The store's own: Unix seconds, which pass when they are told to."""

    now: float = 1e9


@pytest.fixture
def clock(books: Transactions, monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(books.database, "now", lambda _: found.now)
    return found


@pytest.fixture
def probe(books: Transactions, clock: Clock) -> Ask:
    """Its breaker is open, its time was over, and it was let through."""
    for _ in range(ENOUGH):
        wish = ask()
        assert books.admit(wish)[0].granted
        books.settle("pool", wish.id, unknown())
    assert refused(books) == FIRST_OPEN
    clock.now += FIRST_OPEN
    found = ask()
    assert books.admit(found)[0].granted
    return found


def refused(books: Transactions) -> float | None:
    """Seconds after which a person may ask again; fails where one was let through."""
    answer, _ = books.admit(ask())
    assert answer.refusal is not None, "it was let through"
    assert answer.refusal.kind == "breaker"
    return answer.refusal.wait


def test_there_is_one_probe_whoever_asks(books: Transactions, probe: Ask) -> None:
    assert [refused(books) for _ in range(3)] == [PROBE_LEASE] * 3
    waiting = ask(lane="batch")
    answer, notices = books.admit(waiting)
    assert answer.waiting
    assert not notices.answers
    assert books.admit(ask(model="other"))[0].granted, "another model has a breaker of its own"


def test_a_probe_that_is_answered_lets_everybody_through(books: Transactions, probe: Ask) -> None:
    books.settle("pool", probe.id, settled())
    assert [books.admit(ask())[0].granted for _ in range(3)] == [True] * 3


def test_a_probe_that_fails_doubles_the_time(books: Transactions, clock: Clock, probe: Ask) -> None:
    books.settle("pool", probe.id, unknown())
    assert refused(books) == 2 * FIRST_OPEN
    clock.now += 2 * FIRST_OPEN
    assert books.admit(ask())[0].granted
    assert refused(books) == PROBE_LEASE


def test_a_probe_that_was_never_sent_proved_nothing(books: Transactions, probe: Ask) -> None:
    books.settle("pool", probe.id, released())
    assert books.admit(ask())[0].granted
    assert refused(books) == PROBE_LEASE


def test_a_probe_that_was_rejected_for_capacity_goes_again(
    books: Transactions, clock: Clock, probe: Ask
) -> None:
    books.requeue("pool", probe.id, Effect("rejected", retry_after=5.0), 0.0)
    clock.now += 5
    _, notices = books.pump("pool")
    assert notices.answers["w1"][probe.id].granted
    assert refused(books) == PROBE_LEASE


def test_a_probe_of_whom_nothing_is_heard_is_replaced(books: Transactions, clock: Clock, probe: Ask) -> None:
    clock.now += PROBE_LEASE
    assert books.admit(ask())[0].granted
    assert refused(books) == PROBE_LEASE


@pytest.mark.parametrize("effect", ["rejected", "failed", "not_sent"])
def test_what_was_sent_before_it_opened_sends_no_second_probe(
    books: Transactions, clock: Clock, effect: str
) -> None:
    older = ask(lane="interactive")
    assert books.admit(older)[0].granted
    for _ in range(ENOUGH):
        wish = ask()
        assert books.admit(wish)[0].granted
        books.settle("pool", wish.id, unknown())
    clock.now += FIRST_OPEN
    assert books.admit(ask())[0].granted
    books.settle("pool", older.id, Settlement("released", Effect(effect)))
    assert refused(books) == PROBE_LEASE, "the probe is still out"
