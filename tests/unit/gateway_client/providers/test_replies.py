"""What comes back in one piece, and what it took."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_client.errors import MalformedResponse, ProviderError
from gateway_client.messages import FinishReason, ToolCall, Usage
from gateway_client.providers import anthropic_usage, openai_usage
from gateway_client.providers.anthropic import ANTHROPIC
from gateway_client.providers.openai import OPENAI
from tests.support.model_calls import answered, wire


def openai(**change: Any) -> Any:
    return OPENAI.parse(answered(json.dumps(json.loads(wire("openai_chat.json")) | change).encode()))


def choice(message: dict[str, Any], finish: object = "stop") -> list[dict[str, Any]]:
    return [{"index": 0, "message": message, "finish_reason": finish}]


def test_openai_s_answer() -> None:
    reply = OPENAI.parse(answered(wire("openai_chat.json"), x_request_id="req_1"))
    assert reply.text == "An anchor holds fast."
    assert reply.finish is FinishReason.STOP
    # The cached 1,800 are within the 1,900, the reasoning 100 within the 110.
    assert reply.usage == Usage(input=100, output=110, cache_read=1800, reasoning=100)
    assert reply.usage.total == 2010
    assert (reply.model_reported, reply.provider_request_id) == ("gpt-4.1-2025-04-14", "req_1")
    assert reply.raw == json.loads(wire("openai_chat.json"))


def test_openai_s_tool_call() -> None:
    reply = OPENAI.parse(answered(wire("openai_tools.json")))
    assert reply.tool_calls == (
        ToolCall("call_abc123", "get_current_weather", '{\n"location": "Boston, MA"\n}'),
    )
    assert (reply.text, reply.finish, reply.usage) == ("", FinishReason.TOOL_CALLS, Usage(82, 17))


def test_anthropic_s_answer() -> None:
    reply = ANTHROPIC.parse(answered(wire("anthropic_message.json"), request_id="req_2"))
    assert reply.text == "An anchor holds fast."
    # Cached tokens are counted beside the input, and never twice.
    assert reply.usage == Usage(input=21, output=393, cache_read=1800, cache_write=188)
    assert reply.usage.prompt == 2009
    assert (reply.model_reported, reply.provider_request_id) == ("claude-haiku-4-5-20251001", "req_2")


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("stop", FinishReason.STOP),
        ("length", FinishReason.LENGTH),
        ("content_filter", FinishReason.CONTENT_FILTER),
        ("something new", FinishReason.OTHER),
        (None, None),
        ("", None),
    ],
)
def test_openai_s_finish_reasons(said: object, meant: FinishReason | None) -> None:
    assert openai(choices=choice({"content": "x"}, said)).finish is meant


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("end_turn", FinishReason.STOP),
        ("stop_sequence", FinishReason.STOP),
        ("max_tokens", FinishReason.LENGTH),
        ("model_context_window_exceeded", FinishReason.LENGTH),
        ("refusal", FinishReason.REFUSAL),
        ("tool_use", FinishReason.TOOL_CALLS),
        ("pause_turn", FinishReason.OTHER),
        (None, None),
    ],
)
def test_anthropic_s_stop_reasons(said: str | None, meant: FinishReason | None) -> None:
    body = json.loads(wire("anthropic_message.json")) | {"stop_reason": said}
    reply = ANTHROPIC.parse(answered(json.dumps(body).encode()))
    assert reply.finish is meant
    assert (reply.refusal is not None) == (meant is FinishReason.REFUSAL)


def test_a_refusal_and_content_in_parts() -> None:
    assert openai(choices=choice({"content": None, "refusal": "No."})).refusal == "No."
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert openai(choices=choice({"content": parts})).text == "ab"


@pytest.mark.parametrize(
    "body",
    [
        b"", b"  \n", b"<html><body>Bad gateway</body></html>", b"[]", b"null", b'"text"', b"{", b"\xff\xfe", b"{}",
        b'{"choices": []}', b'{"choices": [null]}', b'{"content": "text"}', b"[" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_answer(body: bytes) -> None:
    for provider in (OPENAI, ANTHROPIC):
        with pytest.raises(MalformedResponse):
            provider.parse(answered(body))


def test_an_error_that_comes_with_a_200() -> None:
    with pytest.raises(ProviderError) as caught:
        OPENAI.parse(answered(b'{"error": {"message": "busy", "code": 429}}'))
    assert caught.value.kind == "rate_limited"
    with pytest.raises(ProviderError) as caught:
        ANTHROPIC.parse(answered(b'{"type": "error", "error": {"type": "overloaded_error", "message": "x"}}'))
    assert caught.value.kind == "overloaded"


@pytest.mark.parametrize(
    "usage",
    [
        {},
        {"prompt_tokens": None, "completion_tokens": 1},
        {"prompt_tokens": 1.5, "completion_tokens": 1},
        {"prompt_tokens": True, "completion_tokens": 1},
        {"prompt_tokens": -1, "completion_tokens": 1},
        {"prompt_tokens": 10, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 11}},
        {"prompt_tokens": 10, "completion_tokens": 1, "completion_tokens_details": {"reasoning_tokens": 2}},
        {"prompt_tokens": 10, "completion_tokens": "1"},
        {"prompt_tokens": 10},
        {"prompt_tokens": 10, "total_tokens": 10},
        {"prompt_tokens": 0, "completion_tokens": 0},
        {"prompt_tokens": 10**19, "completion_tokens": 1},
        {"prompt_tokens": 10, "completion_tokens": 10**9 + 1},
    ],
)
def test_openai_s_usage_that_is_none_is_told_as_none(usage: dict[str, Any]) -> None:
    assert openai_usage.usage_of(usage) is None


@pytest.mark.parametrize(
    ("usage", "meant"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 2, "prompt_cache_hit_tokens": 4}, Usage(6, 2, 4)),
        ({"prompt_tokens": 10, "completion_tokens": 2, "prompt_tokens_details": None}, Usage(10, 2)),
        (
            {"prompt_tokens": 9, "completion_tokens": 2,
             "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 5}},
            Usage(0, 2, 4, 5),
        ),
        # Servers that leave reasoning out of the completion give themselves away by their total.
        (
            {"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 18,
             "completion_tokens_details": {"reasoning_tokens": 7}},
            Usage(9, 9, reasoning=7),
        ),
        (
            {"prompt_tokens": 9, "completion_tokens": 8, "total_tokens": 17,
             "completion_tokens_details": {"reasoning_tokens": 7}},
            Usage(9, 8, reasoning=7),
        ),
    ],
)  # fmt: skip
def test_openai_s_usage(usage: dict[str, Any], meant: Usage) -> None:
    assert openai_usage.usage_of(usage) == meant


@pytest.mark.parametrize("usage", [{"prompt_tokens": 10, "total_tokens": 10}, {"prompt_tokens": 10}])
def test_an_embedding_has_no_completion_to_count(usage: dict[str, Any]) -> None:
    assert openai_usage.usage_of(usage, of_answer=False) == Usage(10, 0)


@pytest.mark.parametrize(
    "usage",
    [
        {},
        {"input_tokens": 3},
        {"input_tokens": -3, "output_tokens": 1},
        {"input_tokens": "3", "output_tokens": 1},
    ],
)
def test_anthropic_s_usage_that_is_none_is_told_as_none(usage: dict[str, Any]) -> None:
    assert anthropic_usage.usage_of(usage) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=20), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "prompt_tokens": JSON, "completion_tokens": JSON, "input_tokens": JSON, "output_tokens": JSON,
            "prompt_tokens_details": JSON | st.fixed_dictionaries({"cached_tokens": JSON}),
            "completion_tokens_details": JSON | st.fixed_dictionaries({"reasoning_tokens": JSON}),
            "cache_read_input_tokens": JSON, "cache_creation_input_tokens": JSON, "total_tokens": JSON,
        },
    )
)  # fmt: skip
def test_no_usage_whatever_breaks_the_reading(usage: dict[str, Any]) -> None:
    for read in (openai_usage.usage_of, anthropic_usage.usage_of):
        found = read(usage)
        assert found is None or min(found.input, found.output, found.cache_read, found.cache_write) >= 0


@given(
    st.dictionaries(
        st.sampled_from(["choices", "content", "model", "usage", "stop_reason", "error", "type"]), JSON
    )
)
def test_no_body_whatever_breaks_the_reading(body: dict[str, Any]) -> None:
    for provider in (OPENAI, ANTHROPIC):
        try:
            reply = provider.parse(answered(json.dumps(body).encode()))
        except ProviderError:
            continue
        assert isinstance(reply.text, str)


def embedding(data: list[dict[str, Any]]) -> Any:
    body = {"object": "list", "data": data, "model": "m-1", "usage": {"prompt_tokens": 8, "total_tokens": 8}}
    return OPENAI.parse_embedding(answered(json.dumps(body).encode()))


def test_embeddings_come_in_the_order_of_their_index() -> None:
    packed = base64.b64encode(struct.pack("<2f", 0.5, -1.0)).decode()
    reply = embedding([{"index": 1, "embedding": packed}, {"index": 0, "embedding": [1, 2.5]}])
    assert reply.vectors == ((1.0, 2.5), (0.5, -1.0))
    assert (reply.usage, reply.model_reported) == (Usage(8, 0), "m-1")


@pytest.mark.parametrize(
    "data",
    [
        [],
        [{"index": 0, "embedding": [1.0]}, {"index": 0, "embedding": [1.0]}],
        [{"index": 1, "embedding": [1.0]}],
        [{"embedding": [1.0]}],
        [{"index": "0", "embedding": [1.0]}],
        [{"index": 0}],
        [{"index": 0, "embedding": "not base64!"}],
        [{"index": 0, "embedding": "AAA="}],
        [{"index": 0, "embedding": [1.0, None]}],
        [{"index": 0, "embedding": [float("nan")]}],
        [{"index": 0, "embedding": [1.0]}, {"index": 1, "embedding": [1.0, 2.0]}],
        [None],
    ],
)
def test_embeddings_that_are_none(data: list[Any]) -> None:
    with pytest.raises(MalformedResponse):
        embedding(data)
