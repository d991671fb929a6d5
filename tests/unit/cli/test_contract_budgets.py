"""A contract's budgets are limits of the gateway's ledger, not words."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.contract_budgets import apply_budgets
from gateway_client.operating import operator
from gateway_client.scopes import Span, Unit
from registry.contract import Contract
from registry.errors import InvalidContract


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOLDFAST_GATEWAY_URL", f"sqlite:///{tmp_path / 'gateway.sqlite3'}")


def limits() -> dict[tuple[str, str], int]:
    with operator() as op:
        return {(use.budget.scope, use.budget.unit.value): use.budget.limit for use in op.budgets()}


def changed(before: Contract, **budgets: object) -> Contract:
    after = before.changed({"budgets": budgets})
    apply_budgets("acme", before, after)
    return after


def test_limits_follow_the_contract_and_leave_others_alone() -> None:
    with operator() as op:
        op.set_budget("tenant=acme", Span.MONTH, Unit.TOKENS, 9)
        op.set_budget("tenant=other,lane=batch", Span.MONTH, Unit.TOKENS, 8)
    others = {("tenant=acme", "tokens"): 9, ("tenant=other,lane=batch", "tokens"): 8}
    first = changed(Contract(), batch={"tokens": 100, "micro_dollars": 7})
    assert limits() == others | {
        ("tenant=acme,lane=batch", "tokens"): 100,
        ("tenant=acme,lane=batch", "microdollars"): 7,
    }
    second = changed(first, batch={"tokens": 50}, interactive={"tokens": 0})
    assert limits() == others | {
        ("tenant=acme,lane=batch", "tokens"): 50,
        ("tenant=acme,lane=interactive", "tokens"): 0,
    }
    with operator() as op:  # gone already: no reason to refuse the contract
        op.remove_budget("tenant=acme,lane=batch", Span.MONTH, Unit.TOKENS)
    changed(second)
    assert limits() == others


def test_a_contract_without_budgets_touches_no_ledger(tmp_path: Path) -> None:
    apply_budgets("acme", Contract(), Contract().changed({"mrr_floor": 0.5}))
    assert not (tmp_path / "gateway.sqlite3").exists()


def test_a_lane_that_there_is_not_is_no_contract() -> None:
    with pytest.raises(InvalidContract, match=r"budgets\.nolane"):
        Contract().changed({"budgets": {"nolane": {"tokens": 5}}})
