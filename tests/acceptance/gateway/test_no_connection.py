"""Connections that never are: nothing was sent, so nothing is charged, and a certificate is blamed for nothing."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.gateway_raw_calls import Found, call
from tests.support.gateway_raw_server import Asked, say


@pytest.fixture
def full() -> Iterator[int]:
    """The port of a listener whose queue is full: a connection to it neither comes about nor fails."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            filling = stack.enter_context(socket.socket())
            filling.setblocking(False)
            filling.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


def check_free(found: Found) -> None:
    assert found.error is not None
    assert set(found.states) == {"released"}
    assert {row["cost_micro"] for row in found.attempts} == {0}


@pytest.mark.parametrize("way", ["chat", "stream"])
@pytest.mark.parametrize("limit", [0.3, 30.0], ids=["limited", "until_the_deadline"])
def test_a_connection_that_never_completes_costs_nothing(
    tmp_path: Path, full: int, way: str, limit: float
) -> None:
    found = call(say(b""), tmp_path, way=way, port=full, deadline=0.6, configured={"connect_seconds": limit})
    check_free(found)


async def end(_asked: Asked, _writer: asyncio.StreamWriter) -> None:
    """The connection just closes."""


async def reset(_asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()


async def hang(_asked: Asked, _writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


HANDSHAKES = {
    "ends": end,
    "is_reset": reset,
    "is_plain_http": say(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
    "is_an_alert": say(b"\x15\x03\x01\x00\x02\x02\x50"),  # internal_error
    "hangs": hang,
}


@pytest.mark.parametrize("case", HANDSHAKES)
def test_a_handshake_that_breaks_is_no_bad_certificate(tmp_path: Path, case: str) -> None:
    found = call(
        HANDSHAKES[case], tmp_path, scheme="https", deadline=1.0, configured={"connect_seconds": 0.4}
    )
    check_free(found)
    told: BaseException | None = found.error
    while told is not None:
        assert "certificate" not in str(told)
        told = told.__cause__
    assert len(found.asked) > 1 or case == "hangs"  # it may do better the next time
