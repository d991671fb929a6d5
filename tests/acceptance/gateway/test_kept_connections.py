"""A connection that is kept: what came too much on it is never the next call's answer, nor in anybody's error."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway_client.client import GatewayClient
from gateway_client.errors import GatewayError
from tests.support.gateway_raw_calls import HELLO, against, call
from tests.support.gateway_raw_server import Asked, Json, chunk, completion, counted, event_bytes, http, say

SECRET = "diagnosis of another tenant"


def chunked(body: bytes, kind: bytes = b"application/json") -> bytes:
    head = b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\ntransfer-encoding: chunked\r\n\r\n" % kind
    return head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)


def streamed(text: str) -> bytes:
    events: list[Json | bytes] = [chunk(text), chunk(finish="stop"), counted(), b"data: [DONE]\n\n"]
    return chunked(b"".join(map(event_bytes, events)), b"text/event-stream")


def whole(text: str) -> bytes:
    return http(completion(text))


def in_chunks(text: str) -> bytes:
    return chunked(http(completion(text)).partition(b"\r\n\r\n")[2])


def refused(text: str) -> bytes:
    return http({"error": {"message": "no", "type": "invalid_request_error"}}, status=400)


def asking(way: str, tenant: str) -> dict[str, Any]:
    return HELLO | {"tenant": tenant, "messages": [{"role": "user", "content": f"{way} {tenant}"}]}


async def text_of(llm: GatewayClient, way: str, tenant: str) -> str:
    try:
        if way == "stream":
            return await (await llm.stream(**asking(way, tenant))).text()
        return (await llm.chat(**asking(way, tenant))).text
    except GatewayError as error:
        return f"an error{' that quotes' if SECRET in str(error) else ''}"


@pytest.mark.parametrize("late", [False, True], ids=["at_once", "after_it_was_read"])
@pytest.mark.parametrize(
    ("way", "answer"),
    [("chat", whole), ("chat", in_chunks), ("stream", streamed), ("chat", refused)],
    ids=["sized", "chunked", "stream", "refused"],
)
def test_a_doubled_response_answers_nobody_else(
    tmp_path: Path, way: str, answer: Callable[[str], bytes], late: bool
) -> None:
    told, written = asyncio.Event(), asyncio.Event()

    async def script(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        if asked.number > 1:
            writer.write((streamed if asked.body.get("stream") else whole)(asked.prompt))
            return True
        # The second of the two would pass for the answer to a chat.
        writer.write(answer(asked.prompt) + (b"" if late else whole(SECRET)))
        await writer.drain()
        if late:
            await told.wait()
            writer.write(whole(SECRET))
            await writer.drain()
            written.set()
        return True

    async def two(llm: GatewayClient) -> list[str]:
        first = await text_of(llm, way, "acme")
        told.set()
        if late:
            await asyncio.wait(
                {asyncio.create_task(written.wait())}, timeout=1.0
            )  # it may be cut off by then
        return [first, await text_of(llm, "chat", "globex"), await text_of(llm, "chat", "initech")]

    found = against(script, tmp_path, two)
    first = "an error" if answer is refused else f"{way} acme"
    assert found.got == [first, "chat globex", "chat initech"]
    connections = [asked.connection for asked in found.asked]
    assert connections[-1] > connections[0]
    assert SECRET not in found.written()


HEAD = len(whole(SECRET).partition(b"\r\n\r\n")[0])
TAILS = {
    "no_http": f"{SECRET}\r\n\r\n".encode(),
    "an_empty_line": b"\r\n",
    "a_status_line": whole(SECRET)[:17],
    "half_of_its_headers": whole(SECRET)[: HEAD - 12],
    "a_header_without_its_end": b"HTTP/1.1 200 X\r\nx-more: ",
    "its_headers": whole(SECRET)[: HEAD + 4],
    "half_of_its_body": whole(SECRET)[:-20],
    "an_early_hint": b"HTTP/1.1 103 X\r\n\r\n",
    "a_hint_and_a_response": b"HTTP/1.1 103 X\r\n\r\n" + whole(SECRET),
    "two_more": whole(SECRET) + whole(SECRET),
}


@pytest.mark.parametrize("tail", TAILS)
def test_a_piece_of_a_response_spoils_no_other_call(tmp_path: Path, tail: str) -> None:
    async def script(asked: Asked, writer: asyncio.StreamWriter) -> bool:
        writer.write(whole(asked.prompt) + (TAILS[tail] if asked.number == 1 else b""))
        return True

    async def two(llm: GatewayClient) -> list[str]:
        return [await text_of(llm, "chat", tenant) for tenant in ("acme", "globex")]

    found = against(script, tmp_path, two)
    assert found.got == ["chat acme", "chat globex"]
    assert SECRET not in found.written()


@pytest.mark.parametrize(
    "sent",
    [
        f"{SECRET}\r\n\r\n".encode(),
        b"HTTP/1.1 200 OK\r\nno colon %s\r\n\r\n" % SECRET.encode(),
        b"HTTP/1.1 200 OK\r\ncontent-length: %s\r\n\r\n" % SECRET.encode(),
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n%s\r\n" % SECRET.encode(),
        http(f'{{"choices": {SECRET}'.encode()),
    ],
    ids=["no_http", "a_header", "a_length", "a_chunk", "no_json"],
)
def test_an_error_quotes_nothing_of_what_came(tmp_path: Path, sent: bytes) -> None:
    found = call(say(sent), tmp_path, deadline=0.5)
    assert found.error is not None
    told: BaseException | None = found.error
    while told is not None and isinstance(told, GatewayError):
        assert SECRET not in str(told) + repr(told)
        told = told.__cause__
    assert SECRET not in found.written()
