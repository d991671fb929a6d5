"""The ledger's contract, over every store."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from gateway_client.errors import InvalidBudget
from gateway_client.ledger import budgets
from gateway_client.ledger.bill import read_bill, reconcile
from gateway_client.ledger.entries import Effect, Ending
from gateway_client.ledger.transactions import Transactions
from gateway_client.operating import Operator
from gateway_client.scopes import Span, Unit
from gateway_client.store import schema
from tests.support.gateway import ask, call_row, counters, released, settled, states, unknown
from tests.support.gateway_workers import dies

MONEY = ("tenant=acme", "day", "microdollars")


def limit(
    books: Transactions, amount: int, scope: str = "tenant=acme", unit: Unit = Unit.MICRODOLLARS, **more: int
):
    return books.database.write(lambda c: budgets.set_budget(c, scope, Span.DAY, unit, amount, **more))


def test_a_hold_is_taken_at_its_maximum_and_settled_at_what_was_used(books: Transactions) -> None:
    limit(books, 1000)
    wish = ask()
    assert books.admit(wish)[0].granted
    assert counters(books)[MONEY] == (100, 0, 0)
    assert books.settle("pool", wish.id, settled(cost=37))[0]
    assert counters(books)[MONEY] == (0, 37, 0)


def test_an_attempt_is_settled_once(books: Transactions) -> None:
    limit(books, 1000)
    wish = ask()
    books.admit(wish)
    assert books.settle("pool", wish.id, settled(cost=37))[0]
    for again in (settled(cost=37), unknown(), released()):
        assert not books.settle("pool", wish.id, again)[0]
    assert counters(books)[MONEY] == (0, 37, 0)


def test_what_does_not_fit_is_refused_with_everything_a_caller_needs(books: Transactions) -> None:
    limit(books, 250)
    first = ask()
    books.admit(first)
    books.settle("pool", first.id, settled(cost=60))
    books.admit(ask())
    refusal = books.admit(ask())[0].refusal
    assert refusal is not None
    assert (refusal.kind, refusal.scope, refusal.unit, refusal.window) == (
        "budget",
        "tenant=acme",
        "microdollars",
        "day",
    )
    assert (refusal.limit, refusal.used, refusal.held, refusal.needed) == (250, 60, 100, 100)
    assert refusal.resets_at is not None
    assert refusal.wait == 1.0  # a hold is in the way, not what was spent


def test_a_budget_that_is_spent_says_when_it_resets(books: Transactions) -> None:
    limit(books, 100)
    wish = ask()
    books.admit(wish)
    books.settle("pool", wish.id, settled(cost=100))
    refusal = books.admit(ask())[0].refusal
    assert refusal is not None
    assert refusal.wait is not None
    assert 0 < refusal.wait <= 86_400


def test_all_scopes_are_taken_or_none(books: Transactions) -> None:
    limit(books, 1000)
    limit(books, 1000, "tenant=acme,lane=interactive")
    limit(books, 50, "model=m")
    refusal = books.admit(ask())[0].refusal
    assert refusal is not None
    assert refusal.scope == "model=m"
    assert refusal.wait is None  # it never fits
    assert {held for held, _, _ in counters(books).values()} == {0}


def test_every_unit_and_wildcards_count(books: Transactions) -> None:
    limit(books, 2, "tenant=*", Unit.REQUESTS)
    limit(books, 45, "tenant=acme,feature=*", Unit.TOKENS)
    wish = ask()
    assert books.admit(wish)[0].granted
    assert counters(books) == {
        ("tenant=acme", "day", "requests"): (1, 0, 0),
        ("tenant=acme,feature=answer", "day", "tokens"): (30, 0, 0),
    }
    assert books.admit(ask())[0].refusal is not None
    assert books.admit(ask(tenant="globex"))[0].granted, "another tenant has a counter of its own"


def test_a_budget_for_one_tenant_goes_before_the_one_for_each(books: Transactions) -> None:
    limit(books, 10, "tenant=*")
    limit(books, 500, "tenant=acme")
    assert books.admit(ask())[0].granted
    assert books.admit(ask(tenant="globex"))[0].refusal is not None


def test_batch_leaves_the_reserve_to_interactive(books: Transactions) -> None:
    limit(books, 250, reserve=100)
    assert books.admit(ask(lane="batch"))[0].granted
    refusal = books.admit(ask(lane="batch"))[0].refusal
    assert refusal is not None
    assert refusal.limit == 150
    assert books.admit(ask())[0].granted


def test_what_goes_beyond_the_hold_is_an_overrun_and_counts(books: Transactions) -> None:
    limit(books, 250)
    wish = ask()
    books.admit(wish)
    books.settle("pool", wish.id, settled(cost=180))
    assert counters(books)[MONEY] == (0, 100, 80)
    assert books.admit(ask())[0].refusal is not None, "180 are used and 100 needed"
    kinds = books.database.read(lambda c: list(c.execute(select(schema.event.c.kind)).scalars()))
    assert kinds == ["overrun"]


def test_a_release_costs_nothing_and_unknown_costs_the_maximum_until_a_bill_comes(
    books: Transactions,
) -> None:
    limit(books, 1000)
    one, two, three = ask(), ask(), ask()
    for wish in (one, two, three):
        assert books.admit(wish)[0].granted
    books.settle("pool", one.id, released())
    books.settle("pool", two.id, unknown())
    books.settle("pool", three.id, unknown())
    assert counters(books)[MONEY] == (0, 200, 0)
    lines = [f'{{"attempt": "{two.id}", "input": 9, "output": 2, "micro_dollars": 41}}']
    done = reconcile(books.database, read_bill(lines), complete_until=4e9)
    assert (done.corrected, done.returned, done.difference, done.differing, done.unmatched) == (
        2,
        159,
        0,
        [],
        [],
    )
    assert counters(books)[MONEY] == (0, 41, 0)
    assert states(books) == {"released": 1, "corrected": 2}
    again = reconcile(books.database, read_bill(lines), complete_until=4e9)
    assert (again.corrected, again.difference) == (0, 0)
    assert counters(books)[MONEY] == (0, 41, 0)


def test_a_call_costs_what_its_attempts_do_by_now(books: Transactions) -> None:
    row, op = call_row(), Operator(books.database)
    first, second = ask(call=row.id, worker=row.worker, begins=row), ask(call=row.id, worker=row.worker)
    for wish in (first, second):
        books.admit(wish)
    assert op.calls()[0]["cost_micro"] == 0, "what is held is not spent"
    books.settle("pool", first.id, unknown())
    books.settle("pool", second.id, settled(cost=37), Ending(row.id, "done", "ok"))
    assert op.calls()[0]["cost_micro"] == 137
    op.reconcile([f'{{"attempt": "{first.id}", "input": 9, "output": 2, "micro_dollars": 41}}'])
    (call,) = op.calls()
    assert (call["cost_micro"], call["tokens"]) == (78, sum(one["tokens"] for one in call["attempts"]))


def test_a_bill_that_is_higher_than_the_maximum_is_an_overrun(books: Transactions) -> None:
    limit(books, 1000)
    wish = ask()
    books.admit(wish)
    books.settle("pool", wish.id, unknown())
    lines = [f'{{"attempt": "{wish.id}", "input": 90, "output": 2, "micro_dollars": 130}}']
    reconcile(books.database, read_bill(lines))
    assert counters(books)[MONEY] == (0, 100, 30)


def test_a_lowered_limit_admits_nothing_and_breaks_nothing(books: Transactions) -> None:
    limit(books, 1000)
    wish = ask()
    books.admit(wish)
    limit(books, 40)
    assert books.admit(ask())[0].refusal is not None
    assert books.settle("pool", wish.id, settled(cost=90))[0]
    assert books.admit(ask(microdollars=1))[0].refusal is not None
    limit(books, 200)
    assert books.admit(ask())[0].granted


def test_the_database_itself_refuses_a_counter_past_its_limit(books: Transactions) -> None:
    limit(books, 100)
    books.admit(ask())
    with pytest.raises(Exception, match=r"(?i)check|constraint") as caught:
        books.database.write(lambda c: c.execute(schema.counter.update().values(held=101)))
    assert isinstance(caught.value.__cause__, IntegrityError)


@pytest.mark.parametrize(
    "scope", ["", "tenant", "lane=batch", "tenant=a b", "feature=x,model=y", "tenant=a,tenant=b"]
)
def test_a_scope_that_is_none_is_refused(books: Transactions, scope: str) -> None:
    with pytest.raises(InvalidBudget):
        limit(books, 1, scope)


def test_a_call_may_not_cost_more_than_its_cap_with_all_its_attempts(books: Transactions) -> None:
    row = call_row()
    first = ask(call=row.id, begins=row, most=150)
    assert books.admit(first)[0].granted
    books.settle("pool", first.id, settled(cost=60))
    refusal = books.admit(ask(call=row.id, most=150))[0].refusal
    assert refusal is not None
    assert (refusal.kind, refusal.used, refusal.needed, refusal.limit) == ("cost_cap", 60, 100, 150)
    assert books.admit(ask(call=row.id, most=160))[0].granted


def test_a_run_may_not_cost_more_than_its_cap(books: Transactions) -> None:
    books.cap_run("acme", "loop-1", 150)
    first = ask(run="loop-1")
    assert books.admit(first)[0].granted
    assert books.admit(ask(run="loop-1"))[0].refusal is not None
    assert books.admit(ask(run="loop-2"))[0].granted


def test_racing_admissions_never_pass_a_limit(books: Transactions) -> None:
    books.database.write(lambda c: budgets.set_pool(c, "pool", {"max_window": 100, "headroom": 0}))
    limit(books, 1000)
    granted: list[str] = []

    def race() -> None:
        for _ in range(10):
            wish = ask()
            if books.admit(wish)[0].granted:
                granted.append(wish.id)

    threads = [threading.Thread(target=race) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(granted) == 10
    assert counters(books)[MONEY] == (1000, 0, 0)


def test_a_pools_month_is_metered_and_its_end_is_left_to_people(books: Transactions) -> None:
    books.declare({}, {"pool": 200})
    assert books.admit(ask(lane="batch"))[0].granted
    refusal = books.admit(ask(lane="batch"))[0].refusal
    assert refusal is not None
    assert (refusal.scope, refusal.window, refusal.limit) == ("pool=pool", "month", 180)
    assert books.admit(ask())[0].granted
    limit_month = ("pool=pool", Span.MONTH, Unit.MICRODOLLARS, 900)
    books.database.write(lambda c: budgets.set_budget(c, *limit_month))
    books.declare({}, {"pool": 200})
    assert books.admit(ask())[0].granted, "what an operator set stays"


# -- the queue


def test_headroom_is_never_batchs(books: Transactions) -> None:
    answers = [books.admit(ask(lane="batch"))[0] for _ in range(3)]
    assert [answer.granted for answer in answers] == [True, True, False]
    assert books.admit(ask())[0].granted


def test_a_settled_slot_goes_to_whoever_waits_interactive_first(books: Transactions) -> None:
    running = [ask() for _ in range(3)]
    for wish in running:
        assert books.admit(wish)[0].granted
    batch, person = ask(lane="batch", worker="w2"), ask(worker="w3")
    assert books.admit(batch)[0].waiting
    assert books.admit(person)[0].waiting
    _, notices = books.settle("pool", running[0].id, settled())
    assert {worker: list(found) for worker, found in notices.answers.items()} == {"w3": [person.id]}
    _, notices = books.settle("pool", running[1].id, settled())
    assert list(notices.answers) == ["w2"]


def test_a_full_queue_refuses_with_a_wait(books: Transactions) -> None:
    for _ in range(3 + 3):
        books.admit(ask())
    refusal = books.admit(ask())[0].refusal
    assert refusal is not None
    assert (refusal.kind, refusal.limit, refusal.used) == ("queue", 3, 3)
    assert refusal.wait is not None
    assert refusal.wait > 0


def test_a_rejection_keeps_the_hold_and_gives_the_slot_back(books: Transactions) -> None:
    limit(books, 1000)
    wish = ask()
    books.admit(wish)
    done, notices = books.requeue("pool", wish.id, Effect("rejected", retry_after=5.0), 0.0)
    assert done
    assert states(books) == {"waiting": 1}
    assert counters(books)[MONEY] == (100, 0, 0)
    assert 4.5 < notices.next_in["pool"] <= 5.0
    other = ask()
    assert books.admit(other)[0].waiting, "the gate is shut for everybody"
    books.withdraw("pool", wish.id)
    books.withdraw("pool", other.id)
    assert counters(books)[MONEY] == (0, 0, 0)
    assert states(books) == {"released": 1}


def test_a_rejected_call_that_is_refused_later_gives_its_hold_back(books: Transactions) -> None:
    limit(books, 1000)
    wish = ask()
    books.admit(wish)
    books.database.write(lambda c: budgets.pause(c, "tenant", "acme", "stop", 0.0))
    _, notices = books.requeue("pool", wish.id, Effect("rejected"), 0.0)
    answer = notices.answers["w1"][wish.id]
    assert answer.refusal is not None
    assert answer.refusal.kind == "paused"
    books.withdraw("pool", wish.id)
    assert counters(books)[MONEY] == (0, 0, 0)


def test_tenants_share_a_lane_by_tokens(books: Transactions) -> None:
    books.database.write(
        lambda c: budgets.set_pool(c, "pool", {"max_window": 1, "headroom": 0, "queue_batch": 500})
    )
    running = ask(lane="batch", tenant="first")
    books.admit(running)
    for number in range(60):
        big = number % 2
        books.admit(ask(lane="batch", tenant="big" if big else "small", max_output=90 if big else 20))
    served: dict[str, int] = {"big": 0, "small": 0}
    current = running.id
    for _ in range(36):
        _, notices = books.settle("pool", current, settled(tokens=30, cost=1))
        (current,) = notices.answers["w1"]
        row = books.database.read(
            lambda c, i=current: c.execute(select(schema.attempt).where(schema.attempt.c.id == i)).one()
        )
        served[row.tenant] += 30
    assert abs(served["big"] - served["small"]) <= 60, "estimates differ, what was used does not"


def test_a_pause_works_at_once_and_can_be_lifted(books: Transactions) -> None:
    other = Transactions(books.database)
    assert other.admit(ask())[0].granted
    books.database.write(lambda c: budgets.pause(c, "feature", "answer", "incident 7", 0.0))
    refusal = other.admit(ask())[0].refusal
    assert refusal is not None
    assert (refusal.kind, refusal.scope, refusal.unit) == ("paused", "feature=answer", "incident 7")
    books.database.write(lambda c: budgets.resume(c, "feature", "answer"))
    assert other.admit(ask())[0].granted


def test_breakers_open_for_interactive_and_postpone_batch(books: Transactions) -> None:
    books.database.write(lambda c: budgets.set_pool(c, "pool", {"max_window": 50}))
    for _ in range(8):
        wish = ask()
        books.admit(wish)
        books.settle("pool", wish.id, unknown())
    refusal = books.admit(ask())[0].refusal
    assert refusal is not None
    assert refusal.kind == "breaker"
    assert refusal.wait is not None
    answer, notices = books.admit(ask(lane="batch"))
    assert answer.waiting
    assert 0 < notices.next_in["pool"] <= 1.0
    assert books.admit(ask(model="other"))[0].granted or books.admit(ask(model="other"))[0].waiting


def test_limits_that_an_answer_tells_hold_for_whoever_comes_next(books: Transactions) -> None:
    wish = ask()
    books.admit(wish)
    told = Effect("answered", 0.1, None, {"requests": (9, 0, 30.0)})
    books.settle("pool", wish.id, replace(settled(), effect=told))
    answer, notices = books.admit(ask())
    assert answer.waiting
    assert 29 < notices.next_in["pool"] <= 30


# -- idempotency


def test_a_key_has_one_dispatcher_one_body_and_one_outcome(books: Transactions) -> None:
    row = call_row(key="k")
    assert books.claim(row, buy_again=False).kind == "yours"
    assert books.claim(call_row(key="k"), buy_again=True).kind == "busy"
    assert books.claim(call_row(key="k", fingerprint="g"), buy_again=True).kind == "conflict"
    assert books.claim(call_row(key="k", tenant="globex"), buy_again=False).kind == "yours"
    books.finish(Ending(row.id, "done", "ok", reply=b"paid for", expires=4e9))
    found = books.claim(call_row(key="k"), buy_again=True)
    assert (found.kind, found.reply, found.call) == ("stored", b"paid for", row.id)


def test_a_call_that_failed_for_nothing_may_be_tried_again_one_that_was_charged_only_on_demand(
    books: Transactions,
) -> None:
    row = call_row(key="k")
    books.claim(row, buy_again=False)
    books.finish(Ending(row.id, "failed", "queue"))
    assert books.claim(call_row(key="k"), buy_again=False).kind == "yours"
    wish = ask(call=row.id)
    books.admit(wish)
    books.settle("pool", wish.id, unknown())
    books.finish(Ending(row.id, "failed", "reset"))
    assert books.claim(call_row(key="k"), buy_again=False).kind == "unknown"
    found = books.claim(call_row(key="k"), buy_again=True)
    assert (found.kind, found.attempts) == ("yours", 1)


def test_a_reply_whose_time_is_over_is_gone(books: Transactions) -> None:
    row = call_row(key="k")
    books.claim(row, buy_again=False)
    books.finish(Ending(row.id, "done", "ok", reply=b"secret", expires=1.0))
    books.tidy()
    kept = books.database.read(lambda c: c.execute(select(schema.call.c.reply)).scalar_one())
    assert kept is None
    assert books.claim(call_row(key="k"), buy_again=False).kind == "yours"


# -- the dead


def test_a_dead_workers_slots_holds_and_calls_are_cleared_up(books: Transactions) -> None:
    limit(books, 1000)
    held, queued = [ask(worker="dead", begins=None) for _ in range(3)], ask(worker="dead")
    row = call_row(worker="dead", id=held[0].call)
    books.claim(row, buy_again=False)
    for wish in held:
        assert books.admit(wish)[0].granted
    assert books.admit(queued)[0].waiting
    alive = ask(worker="alive")
    assert books.admit(alive)[0].waiting
    notices = dies(books, "dead")
    assert list(notices.answers) == ["alive"]
    assert states(books) == {"unknown": 3, "held": 1}
    assert counters(books)[MONEY] == (100, 300, 0)
    call_state = books.database.read(lambda c: c.execute(select(schema.call.c.state)).scalar_one())
    assert call_state == "unknown"
    assert books.sign_off("dead").answers == {}
    assert counters(books)[MONEY] == (100, 300, 0)


def test_an_answer_that_comes_after_its_worker_was_taken_for_dead_still_corrects(books: Transactions) -> None:
    limit(books, 1000)
    wish = ask(worker="slow")
    books.admit(wish)
    dies(books, "slow")
    assert counters(books)[MONEY] == (0, 100, 0)
    assert books.settle("pool", wish.id, settled(cost=37))[0]
    assert counters(books)[MONEY] == (0, 37, 0)
    assert not books.settle("pool", wish.id, settled(cost=37))[0]
