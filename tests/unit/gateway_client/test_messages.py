"""The schema of a call: what it lets in, and that it survives storage."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from gateway_client.messages import (
    ChatRequest,
    EmbeddingRequest,
    FinishReason,
    Image,
    Message,
    Reply,
    Text,
    Tool,
    ToolCall,
    Usage,
)
from tests.support.model_calls import ask


class Answer(BaseModel):
    label: str


def test_dicts_do_as_well() -> None:
    given_: Any = [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "hi"},
                {"type": "image", "data": "AA==", "media_type": "image/png"},
            ],
        }
    ]
    request = ChatRequest("m", given_, 5)
    assert request.messages == (Message("user", (Text("hi"), Image("AA==", "image/png"))),)
    assert request.messages[0].text == "hi"


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": ()},
        {"messages": (Message("system", "be brief"),)},
        {"messages": (Message("tool", "result"),)},
        {"messages": [{"role": "king", "content": "x"}]},
        {"messages": [{"role": "user", "content": "x", "weight": 3}]},
        {"messages": [{"role": "user", "content": "half a pair \ud800"}]},
        {"max_tokens": 0},
        {"max_tokens": -1},
        {"temperature": 3.0},
        {"tools": ({"name": "has space", "description": "", "parameters": {}},)},
        {"tool_choice": "weather"},
        {"shcema": Answer},
    ],
)
def test_what_no_provider_could_answer(fields: dict[str, Any]) -> None:
    sound: dict[str, Any] = {"model": "m", "messages": (Message("user", "hi"),), "max_tokens": 5}
    with pytest.raises((ValidationError, TypeError)):
        ChatRequest(**sound | fields)


def test_the_document_is_equal_for_equal_requests_and_only_for_those() -> None:
    assert ask("a").document() == ask("a").document()
    tool = Tool("t", "d", {"type": "object"})
    others = [
        ask("b"), ask("a", max_tokens=99), ask("a", temperature=0.1), ask("a", seed=1), ask("a", tools=(tool,)),
        ask("a", schema=Answer), ask("a", schema={"type": "object"}), ask("a", stop=("x",)), ask("a", model="other"),
    ]  # fmt: skip
    documents = [str(request.document()) for request in [ask("a"), *others]]
    assert len(set(documents)) == len(documents)
    assert ask("a", schema=Answer).document() == ask("a", schema=Answer.model_json_schema()).document()


counts = st.integers(0, 10**9)
usages = st.builds(Usage, counts, counts, counts, counts, counts)
texts = st.text(st.characters(exclude_categories=("Cs",)))
replies = st.builds(
    Reply,
    text=texts,
    finish=st.none() | st.sampled_from(FinishReason),
    usage=st.none() | usages,
    model_reported=st.none() | texts,
    provider=texts,
    tool_calls=st.lists(st.builds(ToolCall, texts, texts, texts), max_size=2).map(tuple),
    refusal=st.none() | texts,
    provider_request_id=st.none() | texts,
    raw=st.dictionaries(texts, st.integers() | texts | st.lists(texts)),
)


@given(replies)
def test_a_reply_survives_storage(reply: Reply) -> None:
    assert Reply.from_json(reply.to_json()) == reply


@pytest.mark.parametrize("stored", ["", "{}", "[]", '{"text": 3}'])
def test_what_is_no_stored_reply(stored: str) -> None:
    with pytest.raises(ValueError, match="validation error"):
        Reply.from_json(stored)


@given(usages)
def test_totals(usage: Usage) -> None:
    assert usage.total == usage.input + usage.cache_read + usage.cache_write + usage.output


@pytest.mark.parametrize("counts_", [(-1, 0), (0, -1), (1.5, 0), (True, 0), (None, 0)])
def test_usage_counts(counts_: tuple[Any, Any]) -> None:
    with pytest.raises(ValueError, match="counts tokens"):
        Usage(*counts_)


@pytest.mark.parametrize("fields", [{"texts": ()}, {"texts": ("",)}, {"texts": ("a",), "dimensions": 0}])
def test_embeddings_of_nothing(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        EmbeddingRequest("m", **fields)
