"""The estimate is an upper bound: of the simulator's count, and of any tokenizer of bytes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway_client.errors import ContextTooLong
from gateway_client.messages import ChatRequest, EmbeddingRequest, Image, Message, Text, Tool, ToolCall
from gateway_client.providers.provider import provider_of
from gateway_client.simulator.anthropic_wire import AnthropicWire
from gateway_client.simulator.openai_wire import OpenAIWire
from gateway_client.tokens import check_fit, estimate, fits
from tests.support.model_calls import ANTHROPIC_MODEL, EMBEDDING_MODEL, OPENAI_MODEL, ask

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=60)
names = st.from_regex(r"[a-zA-Z0-9_-]{1,64}", fullmatch=True)
schemas: st.SearchStrategy[dict[str, Any]] = st.recursive(
    st.sampled_from([{"type": "string"}, {"type": "integer"}, {"enum": ["a", "ü"]}]),
    lambda inner: st.builds(
        lambda properties: {"type": "object", "properties": properties},
        st.dictionaries(texts, inner, max_size=3),
    ),
    max_leaves=6,
)
objects = st.builds(
    lambda p: {"type": "object", "properties": p}, st.dictionaries(texts, schemas, max_size=3)
)
images = st.builds(Image, st.just("iVBORw0KGgo="), st.just("image/png"))
calls = st.builds(ToolCall, texts, names, st.dictionaries(texts, texts, max_size=2).map(json.dumps))
messages = st.one_of(
    st.builds(Message, st.just("system"), texts),
    st.builds(
        Message, st.just("user"), texts | st.lists(st.builds(Text, texts) | images, max_size=3).map(tuple)
    ),
    st.builds(Message, st.just("assistant"), texts, st.lists(calls, max_size=2).map(tuple)),
    st.builds(lambda text, id_: Message("tool", text, tool_call_id=id_), texts, st.text("abc", min_size=1)),
)
tools = st.builds(Tool, names, texts, objects)
requests = st.builds(
    lambda said, offered, schema: ChatRequest(
        "m", (*said, Message("user", "?")), 10, tools=tuple(offered), schema=schema
    ),
    st.lists(messages, max_size=5),
    st.lists(tools, max_size=3),
    st.none() | objects,
)


@settings(max_examples=150)
@given(requests)
def test_it_is_no_less_than_what_the_simulator_counts(request: ChatRequest) -> None:
    for model, counter in ((OPENAI_MODEL, OpenAIWire()), (ANTHROPIC_MODEL, AnthropicWire())):
        built = provider_of(model).build(request, model, "", stream=False)
        asked = counter.read(built.url.path, json.loads(built.content))
        assert estimate(request, model) >= asked.prompt


@given(requests)
def test_it_is_no_less_than_the_bytes_of_all_that_is_said(request: ChatRequest) -> None:
    said = sum(len(message.text.encode()) for message in request.messages)
    called = sum(len(call.arguments.encode()) for message in request.messages for call in message.tool_calls)
    offered = sum(len((tool.name + tool.description).encode()) for tool in request.tools)
    assert estimate(request, OPENAI_MODEL) >= said + called + offered


@given(requests, messages)
def test_more_is_never_fewer(request: ChatRequest, message: Message) -> None:
    longer = replace(request, messages=(*request.messages, message))
    assert estimate(longer, OPENAI_MODEL) > estimate(request, OPENAI_MODEL)


@given(st.lists(texts.filter(bool), min_size=1, max_size=5))
def test_embeddings(given_texts: list[str]) -> None:
    request = EmbeddingRequest("m", tuple(given_texts))
    assert estimate(request, EMBEDDING_MODEL) >= sum(len(text.encode()) for text in given_texts)


def test_a_measured_model_is_estimated_closer() -> None:
    closer = replace(OPENAI_MODEL, tokens_per_byte=0.5)
    assert estimate(ask("x" * 1000), OPENAI_MODEL) - estimate(ask("x" * 1000), closer) == 500


def test_what_cannot_fit_is_refused_and_what_may_fit_is_not() -> None:
    window = OPENAI_MODEL.context_window
    assert fits(ask("word " * (window // 4)), OPENAI_MODEL)
    with pytest.raises(ContextTooLong, match=f"'sim-openai' has a window of {window}"):
        check_fit(ask("word " * window * 2), OPENAI_MODEL)
    with pytest.raises(ContextTooLong, match="100 are asked for"):
        check_fit(ask("x" * 6 * (window - 99)), OPENAI_MODEL)
    assert fits(ask("x" * 6 * (window - 101)), OPENAI_MODEL)
    assert not fits(ask("x", tools=(Tool("t", "", {"x": "y" * 6 * window}),)), OPENAI_MODEL)


def test_one_text_too_long_to_embed_is_named() -> None:
    long = "x" * 6 * (EMBEDDING_MODEL.context_window + 1)
    with pytest.raises(ContextTooLong, match="text 1 of"):
        check_fit(EmbeddingRequest("m", ("short", long)), EMBEDDING_MODEL)
    assert fits(EmbeddingRequest("m", ("x" * 20_000,) * 10), EMBEDDING_MODEL)
