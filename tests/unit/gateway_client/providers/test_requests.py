"""What is sent: both wire formats from one request."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from pydantic import BaseModel

from gateway_client.errors import UnsupportedRequest
from gateway_client.messages import (
    ChatRequest,
    EmbeddingRequest,
    Image,
    Message,
    Text,
    Tool,
    ToolCall,
)
from gateway_client.model import Capability
from gateway_client.providers.anthropic import ANSWER_TOOL, ANTHROPIC
from gateway_client.providers.openai import OPENAI
from gateway_client.providers.provider import provider_of
from tests.support.model_calls import (
    ANTHROPIC_MODEL,
    EMBEDDING_MODEL,
    LABEL_SCHEMA,
    OPENAI_MODEL,
    ask,
    without,
)

WEATHER = Tool(
    "weather", "The weather of a place.", {"type": "object", "properties": {"city": {"type": "string"}}}
)
PIXEL = Image("iVBORw0KGgo=", "image/png")


class Answer(BaseModel):
    label: str
    score: int = 3


def openai(request: ChatRequest, **options: Any) -> dict[str, Any]:
    stream = options.pop("stream", False)
    model = options.pop("model", OPENAI_MODEL)
    found: dict[str, Any] = json.loads(OPENAI.build(request, model, "k", stream=stream).content)
    return found


def anthropic(request: ChatRequest, **options: Any) -> dict[str, Any]:
    stream = options.pop("stream", False)
    model = options.pop("model", ANTHROPIC_MODEL)
    found: dict[str, Any] = json.loads(ANTHROPIC.build(request, model, "k", stream=stream).content)
    return found


def conversation() -> ChatRequest:
    return ChatRequest(
        model="m",
        max_tokens=50,
        tools=(WEATHER,),
        messages=(
            Message("system", "Be brief.", cache=True),
            Message("user", (Text("Here?"), PIXEL)),
            Message("assistant", "Looking.", tool_calls=(ToolCall("c1", "weather", '{"city": "Köln"}'),)),
            Message("tool", "rain", tool_call_id="c1"),
            Message("user", "Thanks."),
        ),
    )


def test_openai_request() -> None:
    request = OPENAI.build(
        ask("hi", temperature=0.5, seed=3, user="u", stop=("END",)), OPENAI_MODEL, "key", stream=False
    )
    assert str(request.url) == f"{OPENAI_MODEL.base_url}/chat/completions"
    assert request.headers["authorization"] == "Bearer key"
    assert json.loads(request.content) == {
        "model": OPENAI_MODEL.version,
        "messages": [{"role": "user", "content": "hi"}],
        "max_tokens": 100,
        "temperature": 0.5,
        "seed": 3,
        "user": "u",
        "stop": ["END"],
    }


def test_anthropic_request() -> None:
    request = ANTHROPIC.build(
        ask("hi", temperature=0.5, user="u", stop=("END",)), ANTHROPIC_MODEL, "key", stream=False
    )
    assert str(request.url) == f"{ANTHROPIC_MODEL.base_url}/messages"
    assert request.headers["x-api-key"] == "key"
    assert request.headers["anthropic-version"] == "2023-06-01"
    assert json.loads(request.content) == {
        "model": ANTHROPIC_MODEL.version,
        "messages": [{"role": "user", "content": [{"type": "text", "text": "hi"}]}],
        "max_tokens": 100,
        "temperature": 0.5,
        "metadata": {"user_id": "u"},
        "stop_sequences": ["END"],
    }


def test_a_key_is_in_no_url_and_no_body_and_absent_where_none_is_needed() -> None:
    for provider, model in ((OPENAI, OPENAI_MODEL), (ANTHROPIC, ANTHROPIC_MODEL)):
        keyed = provider.build(ask(), model, "s3cret", stream=True)
        assert "s3cret" not in str(keyed.url)
        assert b"s3cret" not in keyed.content
        bare = provider.build(ask(), model, "", stream=True)
        assert not {"authorization", "x-api-key"} & set(bare.headers)


def test_streams_ask_for_their_usage() -> None:
    body = openai(ask(), stream=True)
    assert body["stream"] is True
    assert body["stream_options"] == {"include_usage": True}
    assert anthropic(ask(), stream=True)["stream"] is True


def test_openai_conversation() -> None:
    body = openai(conversation())
    system, user, assistant, tool, last = body["messages"]
    assert system == {"role": "system", "content": "Be brief."}
    assert user["content"][1] == {
        "type": "image_url",
        "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="},
    }
    assert assistant["tool_calls"][0]["function"] == {"name": "weather", "arguments": '{"city": "Köln"}'}
    assert tool == {"role": "tool", "content": "rain", "tool_call_id": "c1"}
    assert last["content"] == "Thanks."
    assert body["tool_choice"] == "auto"
    assert body["tools"][0]["function"]["parameters"] == WEATHER.parameters


def test_anthropic_conversation() -> None:
    body = anthropic(conversation())
    assert body["system"] == [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
    first, said, answered = body["messages"]
    source = {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="}
    assert first["content"][1] == {"type": "image", "source": source}
    assert said["content"][1] == {
        "type": "tool_use",
        "id": "c1",
        "name": "weather",
        "input": {"city": "Köln"},
    }
    # A tool's result and what the user says next are one turn: roles alternate.
    result = {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "rain"}]}
    assert answered == {"role": "user", "content": [result, {"type": "text", "text": "Thanks."}]}
    assert body["tools"][0]["input_schema"] == WEATHER.parameters


@pytest.mark.parametrize(
    ("choice", "openai_s", "anthropic_s"),
    [
        ("auto", "auto", {"type": "auto"}),
        ("none", "none", {"type": "none"}),
        ("required", "required", {"type": "any"}),
        (
            "weather",
            {"type": "function", "function": {"name": "weather"}},
            {"type": "tool", "name": "weather"},
        ),
    ],
)
def test_tool_choice(choice: str, openai_s: object, anthropic_s: object) -> None:
    request = ask(tools=(WEATHER,), tool_choice=choice)
    assert openai(request)["tool_choice"] == openai_s
    assert anthropic(request)["tool_choice"] == anthropic_s


def test_a_schema_is_closed_and_strict_for_openai() -> None:
    wanted = openai(ask(schema=Answer))["response_format"]["json_schema"]
    assert wanted["strict"] is True
    assert wanted["schema"]["additionalProperties"] is False
    assert wanted["schema"]["required"] == ["label", "score"]
    assert "default" not in wanted["schema"]["properties"]["score"]


def test_a_schema_with_free_keys_is_not_called_strict() -> None:
    free = {
        "type": "object",
        "properties": {"m": {"type": "object", "additionalProperties": {"type": "integer"}}},
    }
    assert openai(ask(schema=free))["response_format"]["json_schema"]["strict"] is False


def test_a_schema_for_anthropic_has_no_constraint_that_it_refuses() -> None:
    wanted = anthropic(ask(schema=LABEL_SCHEMA))["output_config"]["format"]
    assert wanted["type"] == "json_schema"
    assert wanted["schema"]["additionalProperties"] is False
    assert wanted["schema"]["properties"]["score"] == {"type": "integer"}


def test_without_json_output_the_answer_is_a_tool_s_input() -> None:
    body = anthropic(ask(schema=LABEL_SCHEMA), model=without(ANTHROPIC_MODEL, Capability.JSON_SCHEMA))
    assert body["tool_choice"] == {"type": "tool", "name": ANSWER_TOOL}
    assert body["tools"][0]["input_schema"]["additionalProperties"] is False


def test_the_field_of_max_tokens_is_the_model_s() -> None:
    body = openai(ask(), model=replace(OPENAI_MODEL, max_tokens_field="max_completion_tokens"))
    assert body["max_completion_tokens"] == 100
    assert "max_tokens" not in body


@pytest.mark.parametrize(
    ("lacking", "request_"),
    [
        (Capability.TOOLS, ask(tools=(WEATHER,))),
        (Capability.IMAGES, ChatRequest("m", (Message("user", (PIXEL,)),), 5)),
        (Capability.SAMPLING, ask(temperature=0.0)),
        (Capability.SEED, ask(seed=1)),
        (Capability.JSON_SCHEMA, ask(schema=Answer)),
        (Capability.CHAT, ask()),
    ],
)
def test_what_a_model_cannot_do_is_refused_before_it_is_sent(
    lacking: Capability, request_: ChatRequest
) -> None:
    for model in (OPENAI_MODEL, ANTHROPIC_MODEL):
        less = without(model, lacking, Capability.TOOLS)
        with pytest.raises(UnsupportedRequest):
            provider_of(less).build(request_, less, "", stream=False)


@pytest.mark.parametrize("role", ["system", "assistant"])
def test_an_image_is_never_dropped_in_silence(role: Any) -> None:
    request = ChatRequest("m", (Message(role, (PIXEL,)), Message("user", "?")), 5)
    for build in (openai, anthropic):
        with pytest.raises(UnsupportedRequest, match="image"):
            build(request)
    shown = ChatRequest("m", (Message("tool", (PIXEL,), tool_call_id="c"),), 5)
    assert anthropic(shown)["messages"][0]["content"][0]["content"][0]["type"] == "image"
    with pytest.raises(UnsupportedRequest, match="image"):
        openai(shown)


def test_an_empty_turn_is_none() -> None:
    request = ChatRequest("m", (Message("user", "a"), Message("assistant", ""), Message("user", "b")), 5)
    assert [turn["role"] for turn in anthropic(request)["messages"]] == ["user", "user"]


def test_a_model_that_cannot_stream_or_write_so_much() -> None:
    for model in (OPENAI_MODEL, ANTHROPIC_MODEL):
        with pytest.raises(UnsupportedRequest, match="streaming"):
            provider_of(model).build(ask(), without(model, Capability.STREAMING), "", stream=True)
        with pytest.raises(UnsupportedRequest, match="writes at most 8000"):
            provider_of(model).build(ask(max_tokens=8001), model, "", stream=False)


def test_embeddings() -> None:
    request = OPENAI.build_embedding(EmbeddingRequest("m", ("a", "b"), dimensions=8), EMBEDDING_MODEL, "k")
    assert str(request.url).endswith("/embeddings")
    body = json.loads(request.content)
    assert (body["input"], body["dimensions"], body["encoding_format"]) == (["a", "b"], 8, "base64")
    with pytest.raises(UnsupportedRequest, match="one size"):
        OPENAI.build_embedding(
            EmbeddingRequest("m", ("a",), dimensions=8), without(EMBEDDING_MODEL, Capability.DIMENSIONS), ""
        )
    with pytest.raises(UnsupportedRequest, match="does not embed"):
        OPENAI.build_embedding(EmbeddingRequest("m", ("a",)), OPENAI_MODEL, "")
    with pytest.raises(UnsupportedRequest, match="no embeddings"):
        ANTHROPIC.build_embedding(EmbeddingRequest("m", ("a",)), ANTHROPIC_MODEL, "")
