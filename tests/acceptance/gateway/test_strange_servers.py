"""Servers that no library wrote: raw bytes on a socket, wrong in ways that HTTP allows or not.

The simulator speaks proper HTTP; these do not. Whatever comes, a call ends with a whole answer or with an error of
ours, in its time, and nothing stays held.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest

from gateway_client.catalogue import Catalogue
from gateway_client.client import GatewayClient
from gateway_client.errors import GatewayError
from gateway_client.settings import GatewaySettings
from tests.support.model_calls import wire

DEADLINE, SLACK = 4.0, 6.0
VERSION = "gpt-4.1-2025-04-14"
WHOLE = wire("openai_chat.json")
STREAM = wire("openai_stream.sse")
OK = b"HTTP/1.1 200 OK\r\n"
JSON = b"content-type: application/json\r\n"
SSE = b"content-type: text/event-stream\r\n"


def sized(body: bytes, *headers: bytes, length: int | None = None) -> bytes:
    stated = len(body) if length is None else length
    return OK + b"".join(headers) + b"content-length: %d\r\n\r\n" % stated + body


def chunked(body: bytes, *headers: bytes, end: bytes = b"0\r\n\r\n", size: int = 7) -> bytes:
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    sent = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    return OK + b"".join(headers) + b"transfer-encoding: chunked\r\n\r\n" + sent + end


ZIPPED = b"content-encoding: gzip\r\n"
BOMB = gzip.compress(b" " * 50_000_000)

# What is sent to a call that is not streamed, and whether that is a whole answer.
ANSWERS: dict[str, tuple[bytes, bool]] = {
    "sized": (sized(WHOLE, JSON), True),
    "chunked": (chunked(WHOLE, JSON), True),
    "until the end of the connection": (OK + JSON + b"\r\n" + WHOLE, True),
    "zipped": (sized(gzip.compress(WHOLE), JSON, ZIPPED), True),
    "after an early hint": (b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n" + sized(WHOLE, JSON), True),
    "after white space": (sized(b" \n" * 500 + WHOLE, JSON), True),
    "of no type": (sized(WHOLE), True),
    "in latin-1": (sized(WHOLE.replace(b"An anchor", b"Ein \xe4nker"), JSON), False),
    "nothing at all": (b"", False),
    "no HTTP": (b"hello there\r\n\r\n", False),
    "a greeting of SSH": (b"SSH-2.0-OpenSSH_9.7\r\n", False),
    "a status beyond": (b"HTTP/1.1 999 What\r\ncontent-length: 0\r\n\r\n", False),
    "a status of words": (b"HTTP/1.1 okay fine\r\n\r\n", False),
    "half of the headers": (OK + JSON + b"content-le", False),
    "shorter than stated": (sized(WHOLE[:-40], JSON, length=len(WHOLE)), False),
    "shorter than stated by nothing that counts": (sized(WHOLE.strip(), JSON, length=len(WHOLE) + 9), False),
    "two lengths": (sized(WHOLE, JSON, b"content-length: 5\r\n"), False),
    "a negative length": (OK + JSON + b"content-length: -5\r\n\r\n" + WHOLE, False),
    "chunks without an end": (chunked(WHOLE, JSON, end=b""), False),
    "a chunk of no size": (OK + JSON + b"transfer-encoding: chunked\r\n\r\nzz\r\n{}\r\n", False),
    "zipped, they say": (sized(WHOLE, JSON, ZIPPED), False),
    "half a zip": (sized(gzip.compress(WHOLE)[:-60], JSON, ZIPPED), False),
    "a zip of fifty megabytes": (sized(BOMB, JSON, ZIPPED), False),
    "headers without end": (OK + b"x-more: " + b"x" * 300_000, False),
    "two answers in one": (sized(WHOLE + WHOLE, JSON), False),
    "an answer of another": (sized(WHOLE.replace(VERSION.encode(), b"gpt-3"), JSON), False),
    "a stream that nobody asked for": (sized(STREAM, SSE), False),
    "204": (b"HTTP/1.1 204 No Content\r\n\r\n", False),
    "206": (sized(WHOLE, JSON).replace(b"200 OK", b"206 Partial Content"), False),
    "301 to nowhere": (b"HTTP/1.1 301 Moved\r\ncontent-length: 0\r\n\r\n", False),
    "401 with an answer": (sized(WHOLE, JSON).replace(b"200 OK", b"401 Unauthorized"), False),
    "an error with a 200": (sized(b'{"error": {"message": "no"}}', JSON), False),
    "nested too deeply": (sized(b'{"choices":' + b"[" * 100_000, JSON), False),
}  # fmt: skip
STREAMS: dict[str, tuple[bytes, bool]] = {
    "chunked": (chunked(STREAM, SSE), True),
    "chunked byte by byte": (chunked(STREAM, SSE, size=1), True),
    "sized": (sized(STREAM, SSE), True),
    "until the end of the connection": (OK + SSE + b"\r\n" + STREAM, True),
    "zipped": (sized(gzip.compress(STREAM), SSE, ZIPPED), True),
    "of no type": (chunked(STREAM), True),
    "with carriage returns": (chunked(STREAM.replace(b"\n", b"\r\n"), SSE), True),
    "whole, then cut": (chunked(STREAM, SSE, end=b""), True),
    "whole, then garbage": (chunked(STREAM + b"\xff\xff garbage", SSE), True),
    "until the end, without its end": (OK + SSE + b"\r\n" + STREAM[:-16], False),
    "chunked, without its end": (chunked(STREAM[:-16], SSE), False),
    "cut in a chunk": (chunked(STREAM, SSE, end=b"")[:-30], False),
    "half a zip": (sized(gzip.compress(STREAM)[:-60], SSE, ZIPPED), False),
    "nothing": (sized(b"", SSE), False),
    "comments only": (chunked(b": still here\n\n" * 50, SSE), False),
    "an end and nothing else": (chunked(b"data: [DONE]\n\n", SSE), False),
    "JSON": (sized(WHOLE, JSON), False),
    "JSON that calls itself a stream": (sized(WHOLE, SSE), False),
    "a page that calls itself a stream": (sized(b"<html>\n<body>\n\n</html>", SSE), False),
    "UTF-16": (chunked(STREAM.decode().encode("utf-16"), SSE), False),
    "one line without end": (chunked(b"data: " + b"x" * 3_000_000, SSE, size=60_000), False),
}
CASES = [(way, name) for way, cases in (("whole", ANSWERS), ("stream", STREAMS)) for name in cases]


def bytes_of(case: tuple[str, str]) -> tuple[bytes, bool]:
    way, name = case
    return (ANSWERS if way == "whole" else STREAMS)[name]


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Whatever the path's number says, then the connection closes."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        number = int(head.split(b" ")[1].split(b"/")[1])
        writer.write(bytes_of(CASES[number])[0])
        await writer.drain()
    except (ConnectionError, asyncio.IncompleteReadError):
        pass
    finally:
        writer.close()


def catalogue(port: int) -> Catalogue:
    numbers = range(len(CASES))
    model = {
        "version": VERSION,
        "context_window": 16_000,
        "max_output": 4_000,
        "approved": ["prod"],
        "prices": {"input": 1_000_000, "output": 1_000_000},
    }
    return Catalogue.of(
        {
            "providers": {
                f"p{n}": {"format": "openai", "base_url": f"http://127.0.0.1:{port}/{n}"} for n in numbers
            },
            "models": {f"m{n}": model | {"provider": f"p{n}"} for n in numbers},
        }
    )


async def outcome(client: GatewayClient, number: int, room: asyncio.Semaphore) -> tuple[Any, float]:
    request: dict[str, Any] = {
        "tenant": "acme", "model": f"m{number}", "max_tokens": 200,
        "messages": [{"role": "user", "content": "What holds?"}],
    }  # fmt: skip
    async with room:
        started = time.monotonic()
        try:
            if CASES[number][0] == "whole":
                found: Any = await client.chat(**request)
            else:
                stream = await client.stream(**request)
                found = await stream.text()
        except GatewayError as error:
            found = error
        return found, time.monotonic() - started


async def run_all(store: Path) -> list[tuple[Any, float]]:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    settings = GatewaySettings(
        url=f"sqlite:///{store}", interactive_deadline=DEADLINE, first_token_seconds=2, stall_seconds=2,
        answer_seconds=3, drain_seconds=1, max_answer_mb=1,
    )  # fmt: skip
    room = asyncio.Semaphore(8)
    async with server, GatewayClient(settings, catalogue(port), seed=3) as client:
        return await asyncio.gather(*(outcome(client, number, room) for number in range(len(CASES))))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("strange") / "gateway.sqlite3"


@pytest.fixture(scope="module")
def outcomes(store: Path) -> list[tuple[Any, float]]:
    return asyncio.run(run_all(store))


@pytest.mark.parametrize(
    "number", range(len(CASES)), ids=["-".join(case).replace(" ", "_") for case in CASES]
)
def test_a_whole_answer_or_an_error_of_ours(outcomes: list[tuple[Any, float]], number: int) -> None:
    found, seconds = outcomes[number]
    if bytes_of(CASES[number])[1]:
        assert not isinstance(found, GatewayError), found
        text = found if isinstance(found, str) else found.text
        assert text in ("An anchor holds fast.", "Ein Anker hält — fest ⚓🌊")
    else:
        assert isinstance(found, GatewayError), found
    assert seconds < DEADLINE + SLACK


def test_nothing_stays_held(outcomes: list[tuple[Any, float]], store: Path) -> None:
    assert outcomes
    connection = sqlite3.connect(store)
    states = dict(connection.execute("select state, count(*) from attempt group by state"))
    charged = connection.execute(
        "select count(*) from attempt where state = 'unknown' and cost_micro < hold_micro"
    )
    assert set(states) <= {"settled", "released", "unknown"}
    assert charged.fetchone() == (0,)
    connection.close()
    assert json.dumps(states)
