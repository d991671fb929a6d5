"""Streamed answers: any cut of the bytes gives the same answer, any truncation raises."""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_client.errors import GatewayError, MalformedResponse, ProviderError, Rejected, Truncated
from gateway_client.messages import FinishReason, Reply, StreamEvent, ToolCall, Usage
from gateway_client.providers.anthropic import ANSWER_TOOL, ANTHROPIC
from gateway_client.providers.openai import OPENAI
from gateway_client.providers.provider import StreamParser
from tests.support.model_calls import wire

SSE = {"content-type": "text/event-stream; charset=utf-8"}
FIXTURES = {
    "openai_stream.sse": OPENAI,
    "openai_stream_tools.sse": OPENAI,
    "anthropic_stream.sse": ANTHROPIC,
    "anthropic_stream_tools.sse": ANTHROPIC,
}
TEXT = "Ein Anker hält — fest ⚓🌊"


def parser(name: str) -> StreamParser:
    return FIXTURES[name].stream_parser(SSE)


def read(name: str, pieces: list[bytes]) -> tuple[list[StreamEvent], Reply]:
    reading = parser(name)
    return [event for piece in pieces for event in reading.feed(piece)], reading.close()


def cut_at(data: bytes, places: list[int]) -> list[bytes]:
    ends = [0, *sorted(places), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(ends)]


def test_openai_whole() -> None:
    events, reply = read("openai_stream.sse", [wire("openai_stream.sse")])
    assert "".join(event.text for event in events) == reply.text == TEXT
    assert reply.finish is FinishReason.STOP
    assert reply.usage == Usage(input=7, output=10, cache_read=12, reasoning=4)
    assert reply.model_reported == "gpt-4.1-2025-04-14"
    assert reply.raw["object"] == "chat.completion"
    assert reply.raw["choices"][0]["message"]["content"] == TEXT


def test_anthropic_whole() -> None:
    events, reply = read("anthropic_stream.sse", [wire("anthropic_stream.sse")])
    assert "".join(event.text for event in events) == reply.text == TEXT
    assert reply.finish is FinishReason.STOP
    assert reply.usage == Usage(input=25, output=15, cache_read=40, cache_write=3)
    assert reply.model_reported == "claude-haiku-4-5-20251001"
    assert reply.raw["content"] == [{"type": "text", "text": TEXT}]


def test_openai_tool_calls() -> None:
    events, reply = read("openai_stream_tools.sse", [wire("openai_stream_tools.sse")])
    assert reply.tool_calls == (
        ToolCall("call_1", "weather", '{"city": "Köln"}'),
        ToolCall("call_2", "tide", "{}"),
    )
    assert reply.finish is FinishReason.TOOL_CALLS
    pieces = [event.tool_call for event in events if event.tool_call]
    assert "".join(call.arguments for index, call in pieces if index == 0) == '{"city": "Köln"}'


def test_anthropic_tool_calls() -> None:
    _, reply = read("anthropic_stream_tools.sse", [wire("anthropic_stream_tools.sse")])
    assert reply.text == "Okay, let me look."
    assert [(call.name, json.loads(call.arguments)) for call in reply.tool_calls] == [
        ("weather", {"city": "Köln"})
    ]
    assert reply.finish is FinishReason.TOOL_CALLS
    assert reply.usage == Usage(472, 89)


@pytest.mark.parametrize("name", FIXTURES)
@given(data=st.data())
def test_any_cut_gives_the_same_answer(name: str, data: st.DataObject) -> None:
    stream = wire(name)
    places = data.draw(st.lists(st.integers(0, len(stream)), max_size=12))
    assert read(name, cut_at(stream, places)) == read(name, [stream])


@pytest.mark.parametrize("end", [b"\r\n", b"\r"])
@pytest.mark.parametrize("name", FIXTURES)
def test_any_line_end_gives_the_same_answer(name: str, end: bytes) -> None:
    stream = wire(name)
    assert read(name, [stream.replace(b"\n", end)]) == read(name, [stream])


@pytest.mark.parametrize("name", FIXTURES)
def test_every_truncation_raises(name: str) -> None:
    stream = wire(name)
    # OpenAI's end mark is known from any other line: what should follow it may be missing.
    whole = len(stream.rstrip() if name.startswith("openai") else stream)
    for length in range(len(stream) + 1):
        reading = parser(name)
        reading.feed(stream[:length])
        with contextlib.nullcontext() if length >= whole else pytest.raises(Truncated):
            reading.close()


@pytest.mark.parametrize("name", FIXTURES)
def test_any_missing_event_is_seen_or_harmless(name: str) -> None:
    """An event that gets lost on the way never gives another answer that looks whole, but for lost text: there is
    nothing in either format by which that could be seen."""
    whole = read(name, [wire(name)])[1]
    events = wire(name).split(b"\n\n")[:-1]
    for lost in range(len(events)):
        rest = [event + b"\n\n" for number, event in enumerate(events) if number != lost]
        try:
            reply = read(name, rest)[1]
        except GatewayError:
            continue
        assert reply.finish is whole.finish
        assert len(reply.text) <= len(whole.text)


@pytest.mark.parametrize("name", FIXTURES)
def test_what_follows_the_end_is_no_part_of_the_answer(name: str) -> None:
    expected = read(name, [wire(name)])
    assert read(name, [wire(name) + b"data: garbage\n\n"]) == expected
    assert read(name, [wire(name), b"\xff\xff"]) == expected


@pytest.mark.parametrize("name", FIXTURES)
def test_comments_and_unknown_fields_of_a_chunk_are_nothing(name: str) -> None:
    stream = wire(name)
    chatty = b": keep-alive\n\n" + stream.replace(b"\n\n", b"\n\n: still here\n\n")
    assert read(name, [chatty]) == read(name, [stream])


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/json", "text/plain"])
@pytest.mark.parametrize("provider", [OPENAI, ANTHROPIC])
def test_another_content_type_is_no_stream(provider: object, kind: str) -> None:
    with pytest.raises(MalformedResponse, match="stream of events"):
        provider.stream_parser({"content-type": kind})  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["openai_stream.sse", "anthropic_stream.sse"])
@pytest.mark.parametrize("garbage", [b"data: {oops\n\n", b"data: [1]\n\n", b"data: null\n\n", b"<html>\n\n"])
def test_malformed_events(name: str, garbage: bytes) -> None:
    reading = parser(name)
    reading.feed(wire(name)[:900])
    with pytest.raises(MalformedResponse):
        reading.feed(b"\n\n" + garbage)


def test_an_error_event_is_the_error() -> None:
    reading = ANTHROPIC.stream_parser(SSE)
    with pytest.raises(ProviderError, match="overloaded") as caught:
        reading.feed(wire("anthropic_stream_error.sse"))
    assert caught.value.kind == "overloaded"
    assert reading.usage == Usage(25, 1)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ('{"error": {"message": "The server had an error", "type": "server_error"}}', "server_error"),
        ('{"error": {"message": "slow down", "code": 429}}', "rate_limited"),
        ('{"error": {"message": "slow down", "code": "rate_limit_exceeded"}}', "rate_limited"),
        ('{"error": "out of memory"}', "server_error"),
    ],
)
def test_an_error_object_in_openai_s_stream(error: str, kind: str) -> None:
    reading = OPENAI.stream_parser(SSE)
    with pytest.raises(ProviderError) as caught:
        reading.feed(f"data: {error}\n\n".encode())
    assert caught.value.kind == kind
    assert isinstance(caught.value, Rejected) == (kind == "rate_limited")


def test_no_finish_reason_is_a_truncation_however_clean_the_end() -> None:
    stream = wire("openai_stream.sse").replace(b'"finish_reason":"stop"', b'"finish_reason":null')
    with pytest.raises(Truncated, match="finish reason"):
        read("openai_stream.sse", [stream])
    stream = wire("anthropic_stream.sse").replace(b'"end_turn"', b"null")
    with pytest.raises(Truncated, match="stop reason"):
        read("anthropic_stream.sse", [stream])


def test_two_models_in_a_stream_are_malformed() -> None:
    first, second, rest = wire("openai_stream.sse").split(b"\n\n", 2)
    other = second.replace(b"gpt-4.1-2025-04-14", b"gpt-4.1-mini")
    with pytest.raises(MalformedResponse, match="two models"):
        read("openai_stream.sse", [b"\n\n".join((first, other, rest))])


def test_a_first_chunk_without_names_is_none_of_the_answer() -> None:
    """As Azure sends it, with the verdict on the prompt."""
    first = b'data: {"id":"","model":"","object":"","created":0,"choices":[],"prompt_filter_results":[]}\n\n'
    stream = wire("openai_stream.sse")
    assert read("openai_stream.sse", [first + stream]) == read("openai_stream.sse", [stream])


@pytest.mark.parametrize(
    "broken",
    [
        lambda stream: stream.replace(b'"index": 0, "delta"', b'"index": 5, "delta"'),
        lambda stream: stream.replace(b'"index": 0, "content_block"', b'"content_block"'),
        lambda stream: stream[: stream.index(b"event: content_block_start")] * 2,
        lambda stream: stream[stream.index(b"event: content_block_start") :],
    ],
)
def test_anthropic_s_blocks_out_of_order_are_malformed(broken: Callable[[bytes], bytes]) -> None:
    with pytest.raises(MalformedResponse):
        read("anthropic_stream.sse", [broken(wire("anthropic_stream.sse"))])


def test_usage_stands_as_far_as_it_was_told() -> None:
    reading = parser("anthropic_stream.sse")
    reading.feed(wire("anthropic_stream.sse")[:1000])
    assert reading.usage == Usage(input=25, output=1, cache_read=40, cache_write=3)
    assert reading.text.startswith("Ein Anker")
    assert not reading.finished


def test_an_answer_given_through_a_tool_is_text() -> None:
    stream = wire("anthropic_stream_tools.sse").replace(
        b'"name":"weather"', f'"name":"{ANSWER_TOOL}"'.encode()
    )
    stream = stream.replace(b"Okay, let me look.", b"")
    events, reply = read("anthropic_stream_tools.sse", [stream])
    assert json.loads(reply.text) == {"city": "Köln"}
    assert json.loads("".join(event.text for event in events)) == {"city": "Köln"}
    assert reply.tool_calls == ()
    assert reply.finish is FinishReason.STOP
