"""A 200 proves nothing: every way to be no answer is named."""

from __future__ import annotations

import json
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, field_validator

from gateway_client.messages import FinishReason, Tool, ToolCall
from gateway_client.outcomes import Outcome, OutcomeName, judge, strict_json
from tests.support.model_calls import LABEL_SCHEMA, ask, reply

WEATHER = Tool(
    "weather",
    "…",
    {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city"],
    },
)


class Inner(BaseModel):
    kind: Literal["Positive", "Negative"]
    note: str | None = None


class Answer(BaseModel):
    inner: Inner
    tags: list[str] = Field(max_length=2)
    score: int

    @field_validator("score")
    @classmethod
    def _even(cls, score: int) -> int:
        if score % 2:
            raise ValueError("score must be even")
        return score


GOOD = {"inner": {"kind": "Positive"}, "tags": ["a"], "score": 2}


def judged(value: Any, schema: Any = Answer) -> Outcome:
    text = value if isinstance(value, str) else json.dumps(value)
    return judge(reply(text), ask(schema=schema))


def test_an_answer() -> None:
    found = judge(reply("An anchor."), ask())
    assert (found.ok, found.name, found.correction, found.again) == (True, "ok", None, False)


@pytest.mark.parametrize(
    ("finish", "name", "again"),
    [
        (None, "no_finish_reason", True),
        (FinishReason.OTHER, "unknown_finish_reason", False),
        (FinishReason.LENGTH, "length", False),
        (FinishReason.REFUSAL, "refusal", False),
        (FinishReason.CONTENT_FILTER, "content_filter", False),
    ],
)
def test_how_it_stopped_comes_first(finish: FinishReason | None, name: str, again: bool) -> None:
    for text in ("A whole answer.", "", json.dumps(GOOD)):
        found = judge(reply(text, finish), ask(schema=Answer))
        assert (found.name, found.again, found.ok, found.correction) == (name, again, False, None)
        assert found.fails_over == again


def test_a_refusal_is_one_whatever_the_finish_reason() -> None:
    assert judge(reply("", FinishReason.STOP, refusal="No."), ask()).name is OutcomeName.REFUSAL
    assert judge(reply("", None, refusal="No."), ask()).name is OutcomeName.REFUSAL
    assert not judge(reply("", refusal="No."), ask()).fails_over


@pytest.mark.parametrize("text", ["", " ", "\n\t ", "\u3000"])
def test_empty_is_nothing_and_worth_another_try(text: str) -> None:
    found = judge(reply(text), ask())
    assert found.name is OutcomeName.EMPTY
    assert found.correction
    announced = judge(reply("Let me look.", FinishReason.TOOL_CALLS), ask())
    assert announced.name is OutcomeName.EMPTY


def test_json_is_parsed_into_what_was_asked_for() -> None:
    found = judged(GOOD)
    assert found.ok
    assert found.reply.parsed == Answer.model_validate(GOOD)
    assert judged({"label": "good", "score": 1}, LABEL_SCHEMA).reply.parsed == {"label": "good", "score": 1}
    assert judged("[1]", {"type": "array", "items": {"type": "integer"}}).reply.parsed == [1]


@pytest.mark.parametrize(
    "text",
    [
        "Sure! " + json.dumps(GOOD),
        f"```json\n{json.dumps(GOOD)}\n```",
        json.dumps(GOOD)[:-1],
        json.dumps(GOOD) + json.dumps(GOOD),
        str(GOOD),
        '{"a": NaN}',
        '{"a": Infinity}',
        '{"a": 1, "a": 2}',
        '{"a": "\\ud800"}',
        "[" * 100_000,
        "{'a': 1}",
    ],
)
def test_invalid_json(text: str) -> None:
    found = judged(text)
    assert found.name is OutcomeName.INVALID_JSON
    assert found.correction is not None
    assert "JSON" in found.correction
    assert found.reply.parsed is None


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"inner": {"kind": "positive"}}, "inner.kind"),
        ({"inner": {"kind": "Positive."}}, "inner.kind"),
        ({"inner": {"kind": None}}, "inner.kind"),
        ({"inner": None}, "inner"),
        ({"inner": {"kind": "Positive", "mood": 1}}, "inner"),
        ({"inner": {}}, "inner"),
        ({"remark": "x"}, "the answer"),
        ({"tags": None}, "tags"),
        ({"tags": ["a", "b", "c"]}, "tags"),
        ({"tags": ["a", 1]}, "tags.1"),
        ({"score": "2"}, "score"),
        ({"score": 2.5}, "score"),
        ({"score": True}, "score"),
        ({"score": 3}, "score"),
    ],
)
def test_json_that_breaks_its_schema(change: dict[str, Any], where: str) -> None:
    found = judged(GOOD | change)
    assert found.name is OutcomeName.SCHEMA_BROKEN
    assert found.reason.endswith(f"at {where}")
    assert found.correction is not None
    assert where in found.correction
    assert found.fails_over


@pytest.mark.parametrize("value", [None, 7, "text", [], [GOOD], True])
def test_json_of_another_kind(value: object) -> None:
    assert judged(json.dumps(value)).name is OutcomeName.SCHEMA_BROKEN


def test_a_missing_optional_field_and_an_allowed_null_are_fine() -> None:
    assert judged(GOOD | {"inner": {"kind": "Negative", "note": None}}).ok


def test_an_open_object_stays_open() -> None:
    assert judged({"a": 1}, {"type": "object", "properties": {}, "additionalProperties": True}).ok
    assert judged({"a": 1}, {"type": "object", "additionalProperties": {"type": "integer"}}).ok
    assert not judged({"a": "x"}, {"type": "object", "additionalProperties": {"type": "integer"}}).ok


def test_a_reason_holds_nothing_of_the_answer() -> None:
    secret = "the patient's name"
    for outcome in (
        judged(secret),
        judged(GOOD | {"inner": {"kind": secret}}),
        judged(GOOD | {"score": secret}),
        judge(
            reply(tool_calls=(ToolCall("1", "weather", json.dumps({"city": 1, "days": secret})),)),
            ask(tools=(WEATHER,)),
        ),
        judge(reply(tool_calls=(ToolCall("1", secret, "{}"),)), ask(tools=(WEATHER,))),
    ):
        assert outcome.reason
        assert secret not in outcome.reason
        assert outcome.correction is not None


def test_a_correction_is_bounded() -> None:
    many = {"type": "array", "items": {"type": "integer"}}
    found = judged(json.dumps(["x" * 1000] * 500), many)
    assert found.correction is not None
    assert len(found.correction) < 3000
    assert len(found.reason) < 200


def called(
    *calls: tuple[str, str], finish: FinishReason = FinishReason.TOOL_CALLS, **options: Any
) -> Outcome:
    made = tuple(ToolCall(str(number), name, arguments) for number, (name, arguments) in enumerate(calls))
    return judge(reply("", finish, tool_calls=made), ask(tools=(WEATHER,), **options))


def test_tool_calls() -> None:
    assert called(("weather", '{"city": "Köln"}')).ok
    assert called(("weather", '{"city": "Köln"}'), finish=FinishReason.STOP).ok
    assert called(("weather", '{"city": "Köln"}'), schema=Answer).ok


@pytest.mark.parametrize(
    ("name", "arguments", "told"),
    [
        ("whether", "{}", "no tool 'whether'"),
        ("", "{}", "no tool ''"),
        ("weather", '{"city": ', "not JSON"),
        ("weather", "{}", "city"),
        ("weather", '{"city": 3}', "city"),
        ("weather", '{"city": "x", "planet": "y"}', "planet"),
        ("weather", '"Köln"', "the answer"),
    ],
)
def test_tool_calls_that_cannot_be_run(name: str, arguments: str, told: str) -> None:
    for found in (called((name, arguments)), called(("weather", '{"city": "Köln"}'), (name, arguments))):
        assert found.name is OutcomeName.INVALID_TOOL_CALL
        assert found.correction is not None
        assert told in found.correction


def test_the_correction_is_told_after_the_bad_answer() -> None:
    request = ask(schema=Answer)
    found = judge(reply("nonsense"), request)
    assert found.correction is not None
    again = request.with_correction("nonsense", found.correction)
    assert [(m.role, m.text) for m in again.messages[1:]] == [
        ("assistant", "nonsense"),
        ("user", found.correction),
    ]
    assert request.with_correction("  ", "x").messages[1:][0].role == "user"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(JSON)
def test_strict_json_reads_what_json_writes(value: object) -> None:
    written = json.dumps(value)
    if "\\ud" not in written.lower():
        assert strict_json(written) == value


@given(st.text() | JSON.map(json.dumps))
def test_no_text_whatever_breaks_the_judgement(text: str) -> None:
    found = judge(reply(text), ask(schema=Answer))
    assert found.ok == (found.name is OutcomeName.OK)
