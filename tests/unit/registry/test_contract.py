"""A contract's values, their bounds, and its hash."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.contract import Contract
from registry.errors import InvalidContract

BUDGETS = {"interactive": {"tokens": 5, "micro_dollars": None}, "batch": {"micro_dollars": 7, "tokens": None}}


@given(st.randoms())
def test_the_hash_does_not_know_the_order_of_keys(random: Any) -> None:
    values = {**Contract().model_dump(), "budgets": BUDGETS}
    names, lanes = list(values), list(BUDGETS)
    random.shuffle(names)
    random.shuffle(lanes)
    shuffled = {name: values[name] for name in names}
    shuffled["budgets"] = {lane: dict(reversed(BUDGETS[lane].items())) for lane in lanes}
    assert Contract.model_validate(shuffled).hash == Contract.model_validate(values).hash


def test_the_hash_knows_every_value() -> None:
    contract = Contract()
    others: dict[str, Any] = {
        "on_floor_unmet": "refuse", "fusion": "rrf", "roll_back_on_canary_failure": True,
        "budgets": BUDGETS, "redaction": "mask",
        "alert_webhook": "https://example.org", "owner": "o@example.org",
    }  # fmt: skip
    hashes = {contract.hash}
    for name in Contract.model_fields:
        value = others.get(name)
        if value is None:
            value = getattr(contract, name) / 2 if isinstance(getattr(contract, name), float) else 13
        hashes.add(contract.changed({name: value}).hash)
    assert len(hashes) == len(Contract.model_fields) + 1


def test_a_whole_number_is_the_same_value() -> None:
    assert Contract(recall_floor=1).hash == Contract(recall_floor=1.0).hash


@pytest.mark.parametrize(
    "values",
    [
        {"k": 0}, {"k": 101}, {"k": 1.5}, {"k": "many"}, {"recall_floor": 1.01}, {"mrr_floor": -0.1},
        {"result_floor_cosine": -1.5}, {"on_floor_unmet": "shrug"}, {"freshness_seconds": 0},
        {"freshness_seconds": math.inf}, {"p95_ms": math.nan}, {"dense_weight": math.inf},
        {"retained_generations": 0}, {"fusion": "sum"}, {"candidates": 9}, {"owner": None},
        {"budgets": {"batch": {"tokens": -1}}}, {"budgets": {"batch": {"dollars": 1}}},
        {"reccall_floor": 0.5},
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(values: dict[str, Any]) -> None:
    (name,) = values
    with pytest.raises(InvalidContract, match=name):
        Contract().changed(values)


def test_every_fault_is_named_at_once() -> None:
    with pytest.raises(InvalidContract) as refused:
        Contract().changed({"k": 0, "mrr_floor": 2, "unheard_of": 1})
    assert all(name in str(refused.value) for name in ("k:", "mrr_floor:", "unheard_of:"))


def test_changing_leaves_the_rest_and_the_original_alone() -> None:
    before = Contract(k=3)
    after = before.changed({"mrr_floor": 0.2})
    assert (after.k, after.mrr_floor, before.mrr_floor) == (3, 0.2, 0.4)


def test_every_value_says_what_it_is() -> None:
    assert [name for name, field in Contract.model_fields.items() if not field.description] == []
