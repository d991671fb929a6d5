"""`holdfast budget|pool|pause|calls|spend|reconcile` over a ledger with calls in it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import update

from gateway_client.errors import InvalidCall
from gateway_client.ledger.entries import Ending
from gateway_client.ledger.transactions import Transactions
from gateway_client.options import EmbedOptions
from gateway_client.pools.breaker import Breaker
from gateway_client.pools.declared import PoolConfig
from gateway_client.pools.state import dumps, fresh
from gateway_client.store import schema
from gateway_client.store.opening import open_database
from gateway_client.store.sqlite import SqliteDatabase
from tests.support.command_line import HereCommand
from tests.support.gateway import ask, call_row, settled, unknown

NOW = 1_800_000_000.0


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
    assert told(holdfast, "pool", "set", "openai-gpt-5", "--window", "4", "--headroom", "9", status=2)


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


def test_calls_list_their_attempts_as_a_bill_names_them(holdfast: HereCommand, spent: str) -> None:
    (call,) = told(holdfast, "calls")
    (attempt,) = call["attempts"]
    assert (attempt["state"], attempt["model"], attempt["tokens"], attempt["cost_micro"]) == (
        "settled",
        "m",
        15,
        50,
    )
    assert told(holdfast, "calls", "--attempt", attempt["id"]) == [call]
    assert told(holdfast, "calls", "--attempt", spent) == [], "that attempt's call was never begun"
    assert told(holdfast, "calls", "--attempt", "") == [], "most attempts have no id of the provider's"
    shown = holdfast("calls", "--attempts").stdout
    assert attempt["id"] in shown
    assert "settled" in shown
    assert attempt["id"] in holdfast("calls", "--attempt", attempt["id"]).stdout
    assert attempt["id"] not in holdfast("calls").stdout


def test_attempts_are_whole_and_in_order_however_many_calls(holdfast: HereCommand) -> None:
    database = open_database(f"sqlite:///{holdfast.home / 'gateway.sqlite3'}")
    books = Transactions(database)
    books.declare({"pool": PoolConfig(max_window=2000)})
    made: dict[str, list[str]] = {}
    for n in range(3):
        row = call_row()
        for number in range(1, n + 1):
            wish = ask(call=row.id, number=number, begins=row if number == 1 else None)
            assert books.admit(wish)[0].granted
            books.settle("pool", wish.id, settled())
            made.setdefault(row.id, []).append(wish.id)
    database.close()
    found = {call["id"]: [one["id"] for one in call["attempts"]] for call in told(holdfast, "calls")}
    assert found == made


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("what?", "is not JSON (at character 1: Expecting value)"),
        ('{"attempt": "a", ', "is not JSON (at character "),
        ("[1]", "is no JSON object"),
        ("{}", "lacks attempt and micro_dollars"),
        ('{"attempt": "a", "input": 3}', "lacks micro_dollars"),
        ('{"micro_dollars": 3}', "lacks attempt"),
        ('{"attempt": 7, "micro_dollars": 3}', "has 7 as attempt: the id of an attempt is expected"),
        (
            '{"attempt": "a", "micro_dollars": 0.5}',
            "has 0.5 as micro_dollars: whole micro-dollars, 0 or more",
        ),
        ('{"attempt": "a", "micro_dollars": -1}', "has -1 as micro_dollars"),
        ('{"attempt": "a", "micro_dollars": 1, "input": "9"}', "has '9' as input: a whole number of tokens"),
    ],
)
def test_a_bill_that_cannot_be_read_says_where_and_what_is_expected(
    holdfast: HereCommand, tmp_path: Path, line: str, said: str
) -> None:
    bill = tmp_path / "bill.jsonl"
    bill.write_text(f'{{"attempt": "x", "micro_dollars": 7}}\n\n{line}\n')
    error = told(holdfast, "reconcile", str(bill), status=2)["error"]
    assert error["code"] == "invalid_bill"
    assert f"line 3 of the bill {said}" in error["message"]
    assert '"micro_dollars": 45' in error["message"], "no example"
    for raw in ("KeyError", "ValueError", "JSONDecodeError"):
        assert raw not in error["message"]


def test_a_bill_that_is_no_text_is_refused(holdfast: HereCommand, tmp_path: Path) -> None:
    bill = tmp_path / "bill.jsonl"
    bill.write_bytes(b'{"attempt": "\xff"}')
    error = told(holdfast, "reconcile", str(bill), status=2)["error"]
    assert (error["code"], "no UTF-8 text" in error["message"]) == ("wrong_use", True)


@pytest.mark.parametrize(
    ("breaker", "state", "wait", "shown"),
    [
        (Breaker(), "closed", 0.0, "closed"),
        (Breaker(opened_at=NOW - 4, open_for=16.0), "open", 12.0, "p/m open for 12.0 s"),
        (
            Breaker(opened_at=NOW - 17, open_for=16.0),
            "half_open",
            0.0,
            "p/m half-open: the next call is a probe",
        ),
        (
            Breaker(opened_at=NOW - 17, open_for=16.0, probe_at=NOW - 1),
            "half_open",
            29.0,
            "p/m half-open: a probe",
        ),
        (
            Breaker(opened_at=NOW - 99, open_for=16.0, probe_at=NOW - 60),
            "half_open",
            0.0,
            "the next call is a",
        ),
    ],
)
def test_a_breaker_is_shown_as_it_is_now(
    holdfast: HereCommand,
    monkeypatch: pytest.MonkeyPatch,
    breaker: Breaker,
    state: str,
    wait: float,
    shown: str,
) -> None:
    database = open_database(f"sqlite:///{holdfast.home / 'gateway.sqlite3'}")
    Transactions(database).declare({"pool": PoolConfig()})
    stored = dumps(replace(fresh(PoolConfig()), breakers={"p/m": breaker}))
    database.write(lambda c: c.execute(update(schema.pool).values(state=stored)))
    monkeypatch.setattr(SqliteDatabase, "now", lambda *_: NOW)
    (row,) = (row for row in told(holdfast, "pool", "show") if row["pool"] == "pool")
    assert row["breakers"] == {"p/m": {"state": state, "wait": wait}}
    database.close()
    assert shown in holdfast("pool", "show", "pool").stdout


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ([], "texts: empty, at least 1 is needed"),
        (["whole", ""], "texts.1: empty, at least 1 is needed"),
        ("one text", "texts must be a list of strings, not str"),
        (None, "texts must be a list of strings, not NoneType"),
    ],
)
def test_texts_that_cannot_be_embedded_are_refused_in_plain_words(texts: object, said: str) -> None:
    with pytest.raises(InvalidCall) as refused:
        EmbedOptions(tenant="acme", model="m", texts=texts).request()  # type: ignore[arg-type]
    assert said in str(refused.value)
    for raw in ("Tuple", "validation", "pydantic"):
        assert raw not in str(refused.value)


@pytest.mark.parametrize("fault", ["nonsense", "html; share=2"])
def test_a_fault_that_there_is_not_is_one_line(holdfast: HereCommand, fault: str) -> None:
    ended = holdfast("simulate-provider", "--fault", fault, "--json")
    assert (ended.status, ended.error["code"]) == (2, "wrong_use")
    message = ended.error["message"]
    assert "rules.0." in message
    assert "\n" not in message
    assert "pydantic" not in message


def test_a_backup_says_that_the_ledger_is_not_in_it(
    holdfast: HereCommand, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    without = holdfast("backup", str(tmp_path / "one"), "--json")
    assert (without.status, without.stderr) == (0, "")
    request.getfixturevalue("spent")
    ended = holdfast("backup", str(tmp_path / "two"), "--json")
    assert (ended.status, ended.document["registry"]) == (0, "copied")
    assert "the ledger of model calls, with its budgets and pauses, is NOT in this backup" in ended.stderr
