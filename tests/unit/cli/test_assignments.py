"""KEY=VALUE: nested, typed by JSON, refused where it makes no sense."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.assignments import from_file, from_pairs, merged, plain_options
from cli.errors import WrongUse

NAMES = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.dictionaries(NAMES, inner),
    max_leaves=4,
)


def test_values_are_json_or_plain_text() -> None:
    pairs = [
        "k=20",
        "on=true",
        "webhook=null",
        "owner=a@b.example",
        "text=a=b",
        "empty=",
        "budgets.batch.tokens=5",
    ]
    assert from_pairs(pairs) == {
        "k": 20,
        "on": True,
        "webhook": None,
        "owner": "a@b.example",
        "text": "a=b",
        "empty": "",
        "budgets": {"batch": {"tokens": 5}},
    }


@pytest.mark.parametrize("pair", ["k", "=5", "a..b=1", ".a=1", "a.=1", ""])
def test_what_is_no_pair_is_refused(pair: str) -> None:
    with pytest.raises(WrongUse, match="is not KEY=VALUE"):
        from_pairs([pair])


def test_a_value_cannot_be_reached_into() -> None:
    with pytest.raises(WrongUse, match="reaches inside"):
        from_pairs(["budgets=5", "budgets.batch=1"])


@settings(max_examples=50)
@given(st.dictionaries(NAMES, VALUES, max_size=4))
def test_every_value_survives_as_a_pair(values: dict[str, object]) -> None:
    assert from_pairs(f"{name}={json.dumps(value)}" for name, value in values.items()) == values


@settings(max_examples=50)
@given(st.dictionaries(NAMES, VALUES, max_size=4), st.dictionaries(NAMES, VALUES, max_size=4))
def test_merging_keeps_what_is_over_and_what_is_not_touched(
    below: dict[str, object], over: dict[str, object]
) -> None:
    before = json.dumps([below, over])
    result = merged(below, over)
    assert set(result) == set(below) | set(over)
    assert nested(result, over)
    assert all(result[name] == below[name] for name in set(below) - set(over))
    assert merged(result, over) == result
    assert json.dumps([below, over]) == before


def nested(result: object, value: object) -> bool:
    if not isinstance(value, dict):
        return result == value
    return isinstance(result, dict) and all(
        name in result and nested(result[name], value[name]) for name in value
    )


def test_a_shown_contract_can_be_given_back(tmp_path: Path) -> None:
    path = tmp_path / "contract.json"
    path.write_text(json.dumps({"tenant": "acme", "version": 3, "hash": "ab", "k": 5}))
    assert from_file(path) == {"k": 5}


@pytest.mark.parametrize("text", ["[1]", "{", "\xff"])
def test_a_file_that_holds_no_object_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "contract.json"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(WrongUse, match=r"contract\.json"):
        from_file(path)
    with pytest.raises(WrongUse, match=r"missing\.json"):
        from_file(tmp_path / "missing.json")


def test_source_options_stay_text() -> None:
    assert plain_options(["table=pages", "quiescence=0.5", "key=a=b"]) == {
        "table": "pages",
        "quiescence": "0.5",
        "key": "a=b",
    }
    with pytest.raises(WrongUse, match="given twice"):
        plain_options(["a=1", "a=2"])
    with pytest.raises(WrongUse, match="is not K=V"):
        plain_options(["a"])
