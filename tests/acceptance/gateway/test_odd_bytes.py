"""Bytes that no provider should send and some do: an answer or an error of ours, and the same answer afterwards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway_client.client import GatewayClient
from tests.support.gateway_raw_calls import HELLO, TOOL, against, call
from tests.support.gateway_raw_server import (
    block,
    chunk,
    completion,
    counted,
    event_stream,
    http,
    message,
    message_end,
    message_start,
    say,
    text_block,
)

HIGH, LOW = "\ud83d", "\ude00"  # the halves of 😀
SCHEMA = {"type": "object", "properties": {"label": {"type": "string"}}, "required": ["label"]}
DEEP = '{"q":' + "[" * 990 + "]" * 990 + "}"
DEEPER = '{"q":' + "[" * 100_000
NO_DATE = "date: Fri, 31 Dec 9999 23:59:59 -2359"


def called(arguments: str) -> dict[str, Any]:
    return {"index": 0, "id": "c", "function": {"name": "look", "arguments": arguments}}


def tool_stream(*pieces: str) -> bytes:
    """Anthropic's, of one call with these pieces of JSON."""
    start = {"type": "tool_use", "id": "t", "name": "look", "input": {}}
    deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in pieces]
    return event_stream(message_start(), *block(0, start, *deltas), *message_end("tool_use"))


@pytest.mark.parametrize("model", ["o", "a"])
@pytest.mark.parametrize("way", ["chat", "stream"])
def test_a_header_that_is_not_ascii_breaks_no_answer(tmp_path: Path, model: str, way: str) -> None:
    headers = "\r\nx-served-by: Zürich\r\nx-ratelimit-limit-requests: ü\r\nx-request-id: ü\r\n"
    if way == "chat":
        sent = http(completion() if model == "o" else message())
    elif model == "o":
        sent = event_stream(chunk("Hello"), chunk(finish="stop"), counted())
    else:
        sent = event_stream(message_start(), *text_block(0, "Hello"), *message_end())
    sent = sent.replace(b"\r\n", headers.encode(), 1)
    found = call(say(sent), tmp_path, way=way, model=model)
    assert found.error is None
    assert found.got.text == "Hello"
    assert found.states == ["settled"]


STREAMED = {
    "openai": ("o", event_stream(chunk(f"a{HIGH}"), chunk(f"{LOW}b"), chunk(finish="stop"), counted())),
    "anthropic": (
        "a",
        event_stream(message_start(), *text_block(0, f"a{HIGH}", f"{LOW}b"), *message_end()),
    ),
}


@pytest.mark.parametrize("case", STREAMED)
def test_a_pair_in_two_chunks_is_one_character(tmp_path: Path, case: str) -> None:
    model, sent = STREAMED[case]

    async def twice(llm: GatewayClient) -> list[tuple[str, str, bool]]:
        told = []
        for _ in range(2):
            stream = await llm.stream(**HELLO | {"model": model}, idempotency_key="k")
            pieces = [piece.text async for piece in stream]
            told.append(("".join(pieces), stream.completion.text, stream.completion.stored))
        return told

    found = against(say(sent), tmp_path, twice)
    assert found.error is None
    assert found.got == [("a😀b", "a😀b", False), ("a😀b", "a😀b", True)]


def test_a_pair_in_two_pieces_of_arguments_is_one_character(tmp_path: Path) -> None:
    pieces = [chunk(tool_calls=[called(one)]) for one in (f'{{"q": "{HIGH}', f'{LOW}"}}')]
    found = call(
        say(event_stream(*pieces, chunk(finish="tool_calls"), counted())),
        tmp_path,
        way="stream",
        tools=[TOOL],
    )
    assert found.error is None
    whole = found.got.tool_calls[0].arguments
    assert json.loads(whole) == {"q": "😀"}
    assert "".join(piece.tool_call[1].arguments for piece in found.pieces if piece.tool_call) == whole


HALVES: dict[str, tuple[str, str, bytes, dict[str, Any]]] = {
    "text": ("o", "chat", http(completion(f"Hello {HIGH}")), {}),
    "text_in_a_part": ("o", "chat", http(completion([{"type": "text", "text": f"Hello {LOW}"}])), {}),
    "anthropic_text": ("a", "chat", http(message({"type": "text", "text": f"Hello {HIGH}"})), {}),
    "an_answer_of_a_schema": ("o", "chat", http(completion(f'{{"label": "{HIGH}"}}')), {"schema": SCHEMA}),
    "arguments": (
        "o",
        "chat",
        http(completion("", "tool_calls", tool_calls=[called(f'{{"q": "{HIGH}"}}')])),
        {"tools": [TOOL]},
    ),
    "escaped_in_arguments": (
        "o",
        "chat",
        http(completion("", "tool_calls", tool_calls=[called('{"q": "\\ud83d"}')])),
        {"tools": [TOOL]},
    ),
    "a_name_and_an_id": (
        "o",
        "chat",
        http(completion("", "tool_calls", tool_calls=[called("{}") | {"id": HIGH}])),
        {"tools": [TOOL]},
    ),
    "anthropic_input": (
        "a",
        "chat",
        http(message({"type": "tool_use", "id": "t", "name": "look", "input": {"q": HIGH}}, stop="tool_use")),
        {"tools": [TOOL]},
    ),
    "a_refusal": ("o", "chat", http(completion("", refusal=f"no {HIGH}")), {}),
    "a_field_that_nobody_reads": ("o", "chat", http(completion("Hello") | {"x": HIGH}), {}),
    "the_end_of_a_stream": (
        "o",
        "stream",
        event_stream(chunk(f"Hello {HIGH}"), chunk(finish="stop"), counted()),
        {},
    ),
    "within_a_stream": (
        "o",
        "stream",
        event_stream(chunk(f"{HIGH}"), chunk("Hello"), chunk(f"{LOW}"), chunk(finish="stop"), counted()),
        {},
    ),
    "anthropic_pieces": ("a", "stream", tool_stream(f'{{"q": "{HIGH}', '"}'), {"tools": [TOOL]}),
    "an_error": ("o", "chat", http({"error": {"message": HIGH, "code": HIGH}}, status=400), {}),
    "the_model_s_name": ("o", "chat", http(completion() | {"model": HIGH}), {}),
}


@pytest.mark.parametrize("case", HALVES)
def test_half_a_character_is_an_answer_or_an_error_of_ours(tmp_path: Path, case: str) -> None:
    """An answer can be written down anywhere, and is the same when it is handed out from the store."""
    model, way, sent, more = HALVES[case]

    async def one(llm: GatewayClient) -> list[Any]:
        asked = HELLO | {"model": model, "idempotency_key": "k", "deadline": 2.0} | more
        if way == "chat":
            done = await llm.chat(**asked)
            return [done.text, done.tool_calls, done.parsed]
        stream = await llm.stream(**asked)
        said = "".join([piece.text async for piece in stream])
        assert said == stream.completion.text
        return [said, stream.completion.tool_calls]

    async def twice(llm: GatewayClient) -> list[Any]:
        return [await one(llm), await one(llm)]

    found = against(say(sent), tmp_path, twice)
    if found.error is None:
        str(found.got[0]).encode()
        assert found.got[0] == found.got[1]
    else:
        str(found.error).encode()


@pytest.mark.parametrize("arguments", [DEEP, DEEPER], ids=["990", "100_000"])
@pytest.mark.parametrize("way", ["openai", "openai_stream", "anthropic_stream", "anthropic"])
def test_deep_arguments_are_an_answer_or_an_error_of_ours(tmp_path: Path, way: str, arguments: str) -> None:
    model = "a" if way.startswith("anthropic") else "o"
    calls = [called(arguments)]
    # By hand: Python's own writer does not go so deep either.
    block_of = message({"type": "tool_use", "id": "t", "name": "look", "input": "HERE"}, stop="tool_use")
    sent = {
        "openai": http(completion("", "tool_calls", tool_calls=calls)),
        "openai_stream": event_stream(chunk(tool_calls=calls), chunk(finish="tool_calls"), counted()),
        "anthropic_stream": tool_stream(arguments),
        "anthropic": http(json.dumps(block_of).replace('"HERE"', arguments).encode()),
    }[way]
    call(
        say(sent),
        tmp_path,
        way="stream" if way.endswith("stream") else "chat",
        model=model,
        tools=[TOOL | {"parameters": {}}],
        deadline=1.0,
        idempotency_key="k",
    )


@pytest.mark.parametrize("depth", [300, 900])
def test_a_deep_answer_is_handed_out_again(tmp_path: Path, depth: int) -> None:
    deep = b'{"x":' + b"[" * depth + b"]" * depth + b"," + json.dumps(completion()).encode()[1:]

    async def twice(llm: GatewayClient) -> list[str]:
        return [(await llm.chat(**HELLO, idempotency_key="k")).text for _ in range(2)]

    found = against(say(http(deep)), tmp_path, twice)
    assert found.got == ["Hello", "Hello"] or found.error is not None
    assert len(found.asked) == 1


@pytest.mark.parametrize("status", [200, 429])
@pytest.mark.parametrize("header", [NO_DATE, NO_DATE.replace("date", "retry-after")], ids=["date", "retry"])
def test_a_date_beyond_all_dates(tmp_path: Path, status: int, header: str) -> None:
    limit = "anthropic-ratelimit-requests-reset: 9999-12-31T23:59:59-23:59"
    found = call(
        say(http(message(), header, limit, status=status)),
        tmp_path,
        model="a",
        deadline=8.0 if status == 200 else 0.5,
    )
    assert (found.error is None) == (status == 200)


@pytest.mark.parametrize("end", [b"data: [DONE]", b"data: [DONE]\n", b"data: [DONE]\r\n", b"data:[DONE]"])
def test_the_end_mark_may_be_the_last_line(tmp_path: Path, end: bytes) -> None:
    said = event_stream(chunk("Hello"), chunk(finish="stop"), counted(), done=end)
    found = call(say(said), tmp_path, way="stream")
    assert found.error is None
    assert found.got.text == "Hello"
    assert found.states == ["settled"]


@pytest.mark.parametrize("end", [b"data: [DON", b"data: ", b"[DONE]", b""])
def test_half_an_end_mark_is_none(tmp_path: Path, end: bytes) -> None:
    said = event_stream(chunk("Hello"), chunk(finish="stop"), counted(), done=end)
    found = call(say(said), tmp_path, way="stream")
    assert found.error is not None
    assert found.states == ["unknown"]
