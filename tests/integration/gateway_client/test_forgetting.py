"""A tenant that is forgotten: nothing that it said or was told is left in the store, what it spent is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from gateway_client.ledger import forgetting
from gateway_client.ledger.entries import CallRow, Ending
from gateway_client.ledger.transactions import Transactions
from gateway_client.operating import Operator
from gateway_client.records import Record, hashed
from gateway_client.scopes import Span, Unit
from gateway_client.store import schema
from gateway_client.store.sqlite import SqliteDatabase
from tests.support.gateway import ask, call_row, settled

SECRET = "the board meets at the lighthouse"
USER, DOCUMENT = "eve@acme.example", "acme/minutes-of-the-board"


def told() -> str:
    return Record("r", user=hashed(USER), document_ids=[DOCUMENT], input=7).to_json()


def answered(books: Transactions, tenant: str, key: str | None) -> CallRow:
    """A call of the tenant that was answered, stored under its key, and paid."""
    row = call_row(tenant=tenant, key=key, record=told())
    wish = ask(call=row.id, worker=row.worker, tenant=tenant, begins=row)
    books.admit(wish)
    ending = Ending(row.id, "done", "ok", reply=SECRET.encode() if key else None, expires=4e9, record=told())
    books.settle("pool", wish.id, settled(cost=37), ending)
    return row


def calls(books: Transactions, tenant: str) -> list[Any]:
    return books.database.read(
        lambda c: list(c.execute(select(schema.call).where(schema.call.c.tenant == tenant)))
    )


def test_nothing_that_a_tenant_said_or_was_told_is_left(
    books: Transactions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forgetting, "AT_ONCE", 2)
    op = Operator(books.database)
    for tenant in ("acme", "acme2"):
        for number in range(5):
            answered(books, tenant, f"{tenant}-order-{number}" if number % 2 else None)
    before, spent = calls(books, "acme2"), op.spend(["tenant"], Span.DAY)
    assert op.forget_tenant("acme").calls == 5
    for row in calls(books, "acme"):
        assert (row.reply, row.idempotency_key, row.fingerprint) == (None, None, "")
        record = Record.from_json(row.record)
        assert (record.user, list(record.document_ids), record.input) == (None, [], 7)
    assert calls(books, "acme2") == before, "another's are its own"
    assert op.spend(["tenant"], Span.DAY) == spent
    assert op.forget_tenant("acme").calls == 0, "said again, there is nothing left to do"


def test_its_limits_and_pauses_go_and_no_others(books: Transactions) -> None:
    op = Operator(books.database)
    gone = ["tenant=acme", "tenant=acme,lane=batch", "tenant=acme,feature=answer"]
    kept = ["tenant=*", "tenant=acme2", "tenant=acm_", "tenant=acme2,lane=batch", "pool=pool"]
    for scope in gone + kept:
        op.set_budget(scope, Span.MONTH, Unit.TOKENS, 1)
    for tenant in ("acme", "acme2"):
        op.pause("tenant", tenant, "incident")
    op.pause("feature", "acme", "a feature of that name")
    found = op.forget_tenant("acme")
    assert (found.limits, found.pauses) == (3, 1)
    assert {use.budget.scope for use in op.budgets()} == set(kept)
    assert {(one["kind"], one["value"]) for one in op.pauses()} == {("tenant", "acme2"), ("feature", "acme")}


def test_a_call_that_is_on_its_way_ends_as_it_would(books: Transactions) -> None:
    """Its hold is given back; what it is told is there to be forgotten when it has ended."""
    op = Operator(books.database)
    op.set_budget("tenant=acme", Span.MONTH, Unit.TOKENS, 1_000_000)
    op.set_budget("tenant=*", Span.MONTH, Unit.TOKENS, 1_000_000)
    row = call_row(tenant="acme", key="k", record=told())
    wish = ask(call=row.id, worker=row.worker, tenant="acme", begins=row)
    books.admit(wish)
    assert op.forget_tenant("acme").calls == 0
    assert calls(books, "acme")[0].idempotency_key == "k", "nobody else becomes its dispatcher meanwhile"
    books.settle("pool", wish.id, settled(cost=37), Ending(row.id, "done", "ok", reply=b"r", record=told()))
    counters = books.database.read(lambda c: list(c.execute(select(schema.counter))))
    assert all(row.held == 0 for row in counters)
    assert op.forget_tenant("acme").calls == 1


def test_a_name_that_is_given_again_begins_with_nothing(books: Transactions) -> None:
    op = Operator(books.database)
    op.set_budget("tenant=acme", Span.MONTH, Unit.REQUESTS, 1)
    answered(books, "acme", "k")
    assert books.admit(ask(tenant="acme"))[0].refusal is not None, "its budget is used up"
    op.forget_tenant("acme")
    assert books.admit(ask(tenant="acme"))[0].granted
    op.set_budget("tenant=acme", Span.MONTH, Unit.REQUESTS, 1)
    assert books.admit(ask(tenant="acme"))[0].granted, "a new limit counts from its own beginning"
    assert (
        books.claim(call_row(tenant="acme", key="k", fingerprint="another"), buy_again=False).kind == "yours"
    )


def test_the_file_holds_no_reply_any_more(books: Transactions, tmp_path: Path) -> None:
    if not isinstance(books.database, SqliteDatabase):
        pytest.skip("PostgreSQL keeps what was deleted until it is vacuumed")
    answered(books, "acme", "k")
    Operator(books.database).forget_tenant("acme")
    with books.database.engine.connect() as connection:
        connection.execute(text("pragma wal_checkpoint(truncate)"))
    found = b"".join(path.read_bytes() for path in tmp_path.glob("gateway.sqlite3*") if path.is_file())
    assert SECRET.encode() not in found
    assert DOCUMENT.encode() not in found
