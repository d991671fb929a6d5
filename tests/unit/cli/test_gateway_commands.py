"""`holdfast budget|pool|pause|calls|spend|reconcile` over a ledger with calls in it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from gateway_client.ledger.entries import Ending
from gateway_client.ledger.transactions import Transactions
from gateway_client.pools.declared import PoolConfig
from gateway_client.store.opening import open_database
from tests.support.command_line import HereCommand
from tests.support.gateway import ask, call_row, settled, unknown


@pytest.fixture
def spent(holdfast: HereCommand) -> str:
    """A ledger with one settled call of 50 micro-dollars and one unknown attempt; the id of the latter."""
    database = open_database(f"sqlite:///{holdfast.home / 'gateway.sqlite3'}")
    books = Transactions(database)
    books.declare({"pool": PoolConfig()})
    row = call_row()
    sure, lost = ask(call=row.id, begins=row), ask()
    for wish in (sure, lost):
        assert books.admit(wish)[0].granted
    books.settle("pool", sure.id, settled(cost=50), Ending(row.id, "done", "ok", "m"))
    books.settle("pool", lost.id, unknown())
    database.close()
    return lost.id


def told(holdfast: HereCommand, *words: str, status: int = 0) -> object:
    ended = holdfast(*words, "--json")
    assert ended.status == status, ended.stderr
    return json.loads(ended.stdout)


def test_budgets_are_set_shown_and_removed(holdfast: HereCommand) -> None:
    told(holdfast, "budget", "set", "tenant=acme,lane=batch", "500", "--window", "day", "--reserve", "50")
    (row,) = told(holdfast, "budget", "show")
    assert (row["scope"], row["limit"], row["reserve"], row["left"]) == (
        "tenant=acme,lane=batch",
        500,
        50,
        500,
    )
    told(holdfast, "budget", "remove", "tenant=acme,lane=batch", "--window", "day")
    assert told(holdfast, "budget", "show") == []
    error = told(holdfast, "budget", "set", "nonsense", "5", status=2)
    assert error["error"]["code"] == "invalid_budget"


def test_pools_are_set_and_shown(holdfast: HereCommand) -> None:
    told(holdfast, "pool", "set", "anthropic-haiku", "--window", "80", "--headroom", "4")
    rows = {row["pool"]: row for row in told(holdfast, "pool", "show")}
    assert rows["anthropic-haiku"]["window"] == 80
    assert rows["anthropic-haiku"]["declared"]["headroom"] == 4
    assert rows["openai-gpt-5"]["waiting"] == {"interactive": 0, "batch": 0}
    assert told(holdfast, "pool", "set", "x", "--window", "4", "--headroom", "9", status=2)


def test_pauses_come_and_go(holdfast: HereCommand) -> None:
    told(holdfast, "pause", "add", "tenant", "acme", "--reason", "incident")
    assert told(holdfast, "pause", "list") == [{"kind": "tenant", "value": "acme", "reason": "incident"}]
    assert told(holdfast, "pause", "remove", "tenant", "acme")["lifted"] is True
    assert told(holdfast, "pause", "list") == []


def test_calls_spend_and_a_bill(holdfast: HereCommand, spent: str, tmp_path: Path) -> None:
    (call,) = told(holdfast, "calls", "--tenant", "acme")
    assert (call["outcome"], call["cost_micro"]) == ("ok", 50)
    (row,) = told(holdfast, "spend", "--by", "tenant,model")
    assert (row["tenant"], row["cost_micro"], row["unknown_micro"], row["attempts"]) == ("acme", 150, 100, 2)
    bill = tmp_path / "bill.jsonl"
    bill.write_text(json.dumps({"attempt": spent, "input": 5, "output": 1, "micro_dollars": 7}) + "\n")
    done = told(holdfast, "reconcile", str(bill))
    assert (done["corrected"], done["returned"], done["clean"]) == (1, 93, True)
    bill.write_text('{"attempt": "nobody", "micro_dollars": 7}\n')
    assert told(holdfast, "reconcile", str(bill), status=1)["unmatched"] == ["nobody"]
    bill.write_text("what?\n")
    assert told(holdfast, "reconcile", str(bill), status=2)["error"]["code"] == "invalid_bill"


def test_people_get_tables(holdfast: HereCommand, spent: str) -> None:
    assert spent
    for words in (("budget", "show"), ("pool", "show"), ("calls",), ("spend",), ("pause", "list")):
        ended = holdfast(*words)
        assert ended.status == 0, ended.stderr
        assert ended.stdout + ended.stderr
