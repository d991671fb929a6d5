"""Rows of calls and attempts in the ledger, over every store: whoever comes first, last or not at all."""

from __future__ import annotations

import json
from typing import Any

import pytest
from sqlalchemy import select

from gateway_client.ledger import budgets
from gateway_client.ledger.entries import Ask, CallRow, Effect, Ending
from gateway_client.ledger.transactions import Transactions
from gateway_client.operating import Operator
from gateway_client.records import Record
from gateway_client.store import schema
from tests.support.gateway import ask, call_row, settled, states, unknown
from tests.support.gateway_audit import rows
from tests.support.gateway_workers import dies

REJECTED = Effect("rejected", retry_after=5.0)


def begun(**changes: Any) -> tuple[CallRow, Ask]:
    row = call_row(record=Record("r").to_json(), **changes)
    return row, ask(call=row.id, worker=row.worker, begins=row)


def calls(books: Transactions) -> list[Any]:
    return books.database.read(lambda c: list(c.execute(select(schema.call).order_by(schema.call.c.id))))


def failed(row: CallRow, **more: Any) -> Ending:
    record = Record("r", attempts=1).to_json()
    return Ending(row.id, "failed", "cancelled", record=record, begins=row, worker=row.worker, **more)


def test_a_call_that_ends_before_its_admission_is_written_has_its_row(books: Transactions) -> None:
    row, wish = begun()
    books.finish(failed(row))
    books.admit(wish)
    books.withdraw("pool", wish.id)
    (found,) = calls(books)
    assert (found.id, found.state, found.outcome) == (row.id, "failed", "cancelled")
    assert json.loads(found.record)["attempts"] == 1
    assert set(states(books)) <= {"released"}


def test_a_call_that_ended_is_not_begun_or_ended_again(books: Transactions) -> None:
    row, wish = begun()
    books.admit(wish)
    books.settle("pool", wish.id, settled(cost=37), Ending(row.id, "done", "ok", reply=b"r", expires=4e9))
    books.finish(failed(row))
    (found,) = calls(books)
    assert (found.state, found.outcome, found.reply) == ("done", "ok", b"r")


@pytest.mark.parametrize("budget", [False, True])
def test_what_was_sent_and_rejected_keeps_its_row_when_it_leaves(books: Transactions, budget: bool) -> None:
    if budget:
        books.database.write(
            lambda c: budgets.set_budget(c, "tenant=acme", budgets.Span.DAY, budgets.Unit.REQUESTS, 10)
        )
    _, wish = begun()
    books.admit(wish)
    assert books.requeue("pool", wish.id, REJECTED, 0.0)[0]
    waiting = ask()
    books.admit(waiting)
    for one in (wish, waiting):
        books.withdraw("pool", one.id)
    (attempt,) = rows(books.database, schema.attempt)
    assert (attempt.id, attempt.state, attempt.sends, attempt.output) == (wish.id, "released", 1, 0)
    held = books.database.read(lambda c: list(c.execute(select(schema.counter.c.held))))
    assert all(row.held == 0 for row in held)


@pytest.mark.parametrize("refused", [False, True])
def test_the_dead_leave_numbers_of_what_they_sent(books: Transactions, refused: bool) -> None:
    row, wish = begun()
    books.admit(wish)
    if refused:
        books.database.write(lambda c: budgets.pause(c, "tenant", "acme", "stop", 0.0))
    books.requeue("pool", wish.id, Effect("rejected") if refused else REJECTED, 0.0)
    dies(books)
    (found,) = calls(books)
    told = json.loads(found.record)
    assert (found.state, found.outcome, found.ended is not None) == ("failed", "worker died", True)
    assert (told["attempts"], told["sends"], told["request_id"]) == (1, 1, "r")
    (attempt,) = rows(books.database, schema.attempt)
    assert (attempt.state, attempt.sends, attempt.output, attempt.cost_micro) == ("released", 1, 0, 0)
    assert found.id == row.id


def test_the_dead_are_charged_in_their_calls_rows_too(books: Transactions) -> None:
    row, first = begun()
    books.admit(first)
    books.settle("pool", first.id, unknown())
    second = ask(call=row.id, number=2)
    books.admit(second)
    dies(books)
    (found,) = Operator(books.database).calls()
    assert (found["state"], found["cost_micro"], found["tokens"]) == ("unknown", 200, 60)
    assert found["record"]["attempts"] == 2


def test_a_claim_that_is_given_up_keeps_what_is_known(books: Transactions) -> None:
    row, _ = begun(key="k")
    books.claim(row, buy_again=False)
    books.finish(failed(row))
    books.claim(call_row(key="k"), buy_again=False)
    books.finish(Ending(row.id, "failed", "cancelled"))
    (found,) = calls(books)
    assert json.loads(found.record)["attempts"] == 1


def test_who_was_taken_for_dead_may_answer_its_call_and_not_fail_it(books: Transactions) -> None:
    row, _ = begun(key="k", worker="slow")
    books.claim(row, buy_again=False)
    wish = ask(call=row.id, worker="slow")
    books.admit(wish)
    dies(books, "slow")
    taken = books.claim(call_row(key="k", worker="w2"), buy_again=True)
    assert (taken.kind, taken.call, taken.attempts, taken.sends) == ("yours", row.id, 1, 1)
    books.finish(Ending(row.id, "failed", "reset", worker="slow"))
    assert books.claim(call_row(key="k", worker="w3"), buy_again=True).kind == "busy", "one dispatcher"
    done = Ending(row.id, "done", "ok", reply=b"late", expires=4e9, worker="slow")
    books.settle("pool", wish.id, settled(), done)
    assert books.claim(call_row(key="k", worker="w3"), buy_again=True).reply == b"late"
    books.finish(Ending(row.id, "failed", "reset", worker="w2"))
    assert books.claim(call_row(key="k", worker="w3"), buy_again=False).kind == "stored"


def test_a_key_that_is_taken_over_shows_nothing_of_the_last_end(books: Transactions) -> None:
    row, _ = begun(key="k")
    books.claim(row, buy_again=False)
    books.finish(failed(row))
    books.claim(call_row(key="k", worker="w2"), buy_again=False)
    (found,) = calls(books)
    assert (found.state, found.worker, found.outcome, found.ended) == ("running", "w2", "", None)
