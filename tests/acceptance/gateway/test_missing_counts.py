"""Answers that are not counted, or absurdly: they are charged at their maximum, and never as nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from gateway_client.client import GatewayClient
from tests.support.gateway_raw_calls import HELLO, against, call
from tests.support.gateway_raw_server import (
    DROP,
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

TOO_MANY = 10**19  # more than a database's integer holds
ABSURD = {"prompt_tokens": TOO_MANY, "completion_tokens": 3}


def chat(usage: object) -> bytes:
    return http(completion(usage=usage))


def streamed(usage: dict[str, Any]) -> bytes:
    return event_stream(chunk("Hello"), chunk(finish="stop"), counted(usage))


def anthropic_streamed(usage: object) -> bytes:
    return event_stream(message_start(), *text_block(0, "Hello"), *message_end(usage=usage))


UNCOUNTED: dict[str, tuple[str, str, bytes]] = {
    "no_usage": ("o", "chat", chat(DROP)),
    "no_output": ("o", "chat", chat({"prompt_tokens": 20})),
    "no_output_but_a_total": ("o", "chat", chat({"prompt_tokens": 20, "total_tokens": 20})),
    "zeros": ("o", "chat", chat({"prompt_tokens": 0, "completion_tokens": 0})),
    "zeros_in_a_stream": ("o", "stream", streamed({"prompt_tokens": 0, "completion_tokens": 0})),
    "no_output_in_a_stream": ("o", "stream", streamed({"prompt_tokens": 20})),
    "anthropic_zeros": ("a", "chat", http(message(usage={"input_tokens": 0, "output_tokens": 0}))),
    "anthropic_no_output": ("a", "chat", http(message(usage={"input_tokens": 20}))),
    "anthropic_none_at_the_end": ("a", "stream", anthropic_streamed(DROP)),
    "anthropic_empty_at_the_end": ("a", "stream", anthropic_streamed({})),
    "anthropic_input_at_the_end": ("a", "stream", anthropic_streamed({"input_tokens": 20})),
    "absurd": ("o", "chat", chat(ABSURD)),
    "absurd_in_a_stream": ("o", "stream", streamed(ABSURD)),
    "anthropic_absurd": ("a", "chat", http(message(usage={"input_tokens": 2, "output_tokens": TOO_MANY}))),
}


@pytest.mark.parametrize("case", UNCOUNTED)
def test_what_is_not_counted_is_charged_as_unknown(tmp_path: Path, case: str) -> None:
    model, way, sent = UNCOUNTED[case]
    found = call(say(sent), tmp_path, way=way, model=model)
    assert found.error is None
    assert found.got.text == "Hello"
    found.check_charged_as_unknown()


def test_an_absurd_count_under_a_key_is_charged_once(tmp_path: Path) -> None:
    async def twice(llm: GatewayClient) -> list[bool]:
        return [(await llm.chat(**HELLO, idempotency_key="k")).stored for _ in range(2)]

    found = against(say(chat(ABSURD)), tmp_path, twice)
    assert found.error is None
    assert (found.got, len(found.asked)) == ([False, True], 1)
    found.check_charged_as_unknown()


def test_absurd_counts_take_no_slots(tmp_path: Path) -> None:
    """More calls than the pool's window: each gives its slot back."""

    async def many(llm: GatewayClient) -> list[str]:
        return [(await llm.chat(**HELLO)).text for _ in range(9)]

    found = against(say(chat(ABSURD)), tmp_path, many)
    assert found.error is None
    assert found.states == ["unknown"] * 9


@pytest.mark.parametrize("usage", [{"prompt_tokens": 5}, {"prompt_tokens": 5, "total_tokens": 5}], ids=len)
def test_an_embedding_has_no_output_to_count(tmp_path: Path, usage: dict[str, int]) -> None:
    vectors = [{"index": index, "embedding": [1.0, 0.5]} for index in range(2)]
    found = call(say(http({"model": "e-2026-01-01", "data": vectors, "usage": usage})), tmp_path, way="embed")
    assert found.error is None
    assert [(row["state"], row["input"], row["output"]) for row in found.attempts] == [("settled", 5, 0)]
