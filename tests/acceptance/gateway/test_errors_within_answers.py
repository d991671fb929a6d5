"""Errors that come with a 200: they are what they say they are, and a context overflow goes to a larger model only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway_client.errors import ProviderError
from tests.support.gateway_raw_calls import call
from tests.support.gateway_raw_server import (
    FALLBACK_VERSION,
    Asked,
    chunk,
    completion,
    event_stream,
    http,
    message_start,
    say,
)

KINDS = {
    "content_filter": "content_policy",
    "invalid_api_key": "authentication",
    "insufficient_quota": "quota",
    "context_length_exceeded": "context_overflow",
}
Bytes = Callable[[dict[str, Any]], bytes]
WAYS: dict[str, tuple[str, Bytes]] = {
    "in_a_stream": ("stream", lambda error: event_stream(error, done=b"")),
    "after_a_chunk": ("stream", lambda error: event_stream(chunk(role="assistant"), error, done=b"")),
    "in_a_body": ("chat", http),
    "in_json_for_a_stream": ("stream", http),
    "in_an_embedding": ("embed", http),
}


def error_of(code: str, kind: str = "invalid_request_error") -> dict[str, Any]:
    return {"error": {"message": "no", "type": kind, "code": code}}


@pytest.mark.parametrize("where", WAYS)
@pytest.mark.parametrize("code", KINDS)
def test_an_error_is_what_its_code_says(tmp_path: Path, where: str, code: str) -> None:
    way, sent = WAYS[where]
    found = call(say(sent(error_of(code))), tmp_path, way=way, model="small", deadline=3.0)
    assert isinstance(found.error, ProviderError)
    assert found.error.kind == KINDS[code]
    assert len(found.asked) == 1


@pytest.mark.parametrize(
    ("kind", "meant"), [("authentication_error", "authentication"), ("billing_error", "quota")]
)
def test_anthropic_s_errors_in_a_stream(tmp_path: Path, kind: str, meant: str) -> None:
    error = {"type": "error", "error": {"type": kind, "message": "no"}}
    for number, said in enumerate((event_stream(message_start(), error), http(error))):
        found = call(say(said), tmp_path / str(number), way="stream", model="a", deadline=3.0)
        assert isinstance(found.error, ProviderError)
        assert (found.error.kind, len(found.asked)) == (meant, 1)


OVERFLOW = error_of("context_length_exceeded")


def small_here(answer: Callable[[Asked], bytes]) -> Any:
    """A provider whose first model is too small, and a fallback that answers whatever it is asked."""

    async def script(asked: Asked, writer: asyncio.StreamWriter) -> None:
        there = "/second" in asked.path
        writer.write(http(completion() | {"model": FALLBACK_VERSION}) if there else answer(asked))

    return script


@pytest.mark.parametrize("status", [400, 413, 200])
def test_an_overflow_never_goes_to_a_window_that_is_not_larger(tmp_path: Path, status: int) -> None:
    script = small_here(lambda _: http(OVERFLOW, status=status))
    found = call(script, tmp_path, model="small", deadline=3.0)
    assert isinstance(found.error, ProviderError)
    assert found.error.kind == "context_overflow"
    assert [asked.path for asked in found.asked] == ["/v1/chat/completions"]


@pytest.mark.parametrize("status", [400, 413, 200])
def test_an_overflow_goes_to_the_larger_window(tmp_path: Path, status: int) -> None:
    script = small_here(lambda _: http(OVERFLOW, status=status))
    found = call(script, tmp_path, model="large", deadline=8.0)
    assert found.error is None
    assert (found.got.model, len(found.asked)) == ("c", 2)


def test_an_overflow_after_a_failure_elsewhere_asks_nobody_too_small(tmp_path: Path) -> None:
    async def script(asked: Asked, writer: asyncio.StreamWriter) -> None:
        """The first breaks, then the second is too small: only the third is larger."""
        if asked.number == 1:
            writer.write(http({}, status=500))
        elif asked.body["model"] != "c-2026-01-01":
            writer.write(http(OVERFLOW, status=400))
        else:
            writer.write(http(completion() | {"model": FALLBACK_VERSION}))

    found = call(script, tmp_path, model="large", deadline=8.0)
    assert found.error is None
    assert [asked.body["model"] for asked in found.asked][-1] == "c-2026-01-01"
    assert len(found.asked) == 3
