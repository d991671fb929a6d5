"""A stream that thinks before it speaks: what it thinks is a sign of life, and no part of the answer."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway_client.errors import GatewayError
from tests.support.gateway_raw_calls import Found, Stalls, calling, run
from tests.support.gateway_raw_server import (
    Asked,
    Json,
    Script,
    chunk,
    counted,
    event_bytes,
    event_stream,
    message_end,
    message_start,
    text_block,
)

LIMIT, PACE = 0.3, 0.05
LONGER = 0.9  # seconds that it thinks: longer than both limits together
SETTINGS = {"first_token_seconds": LIMIT, "stall_seconds": LIMIT}
ANSWER: list[Json | bytes] = [chunk("Hi"), chunk(finish="stop"), counted(), b"data: [DONE]\n\n"]
THOUGHT = {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}}
THINKING = {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}}
ENDED = {"type": "content_block_stop", "index": 0}
# Model, what comes first, what is thought again and again, the answer.
STREAMS: dict[str, tuple[str, list[Json | bytes], Json | bytes, list[Json | bytes]]] = {
    "openai": ("o", [], chunk(reasoning_content="hm"), [*ANSWER]),
    "openai_reasoning": ("o", [], chunk(reasoning="hm"), [*ANSWER]),
    "openai_after_a_word": ("o", [chunk("H")], chunk(reasoning_content="hm"), [chunk("i"), *ANSWER[1:]]),
    "anthropic": (
        "a",
        [message_start(), THINKING],
        THOUGHT,
        [ENDED, *text_block(1, "Hi"), *message_end()],
    ),
    "comments": ("o", [], b": keep-alive\n\n", [*ANSWER]),
    "empty": ("o", [], chunk(reasoning_content=""), [*ANSWER]),
}
LIFE = [name for name in STREAMS if name not in ("comments", "empty")]


def thinks(name: str) -> Script:
    _, first, thought, answer = STREAMS[name]

    async def script(_asked: Asked, writer: asyncio.StreamWriter) -> None:
        writer.write(event_stream(*first, done=b""))
        for _ in range(int(LONGER / PACE)):
            writer.write(event_bytes(thought))
            await writer.drain()
            await asyncio.sleep(PACE)
        writer.write(b"".join(map(event_bytes, answer)))

    return script


async def ask_all(folder: Path) -> dict[str, Found]:
    """All at once: most of it is waiting."""
    start = asyncio.Barrier(len(STREAMS))
    asked = [
        calling(
            thinks(name),
            folder / name,
            way="stream",
            model=told[0],
            configured=SETTINGS,
            start=start,
            deadline=8.0 if name in LIFE else 1.0,
        )
        for name, told in STREAMS.items()
    ]
    return dict(zip(STREAMS, await asyncio.gather(*asked), strict=True))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Found]:
    """On a machine that stands still for as long as the limits, silence is seen where there was none."""
    for _ in range(4):
        with Stalls() as stalls:
            told = run(ask_all(tmp_path_factory.mktemp("thinking")))
        if not stalls.seconds or not any(told[name].error for name in LIFE):
            break
    return told


@pytest.mark.parametrize("name", LIFE)
def test_thinking_is_a_sign_of_life(found: dict[str, Found], name: str) -> None:
    assert found[name].error is None
    assert found[name].got.text == "Hi"
    assert "".join(piece.text for piece in found[name].pieces) == "Hi"
    assert len(found[name].asked) == 1
    assert found[name].states == ["settled"]


@pytest.mark.parametrize("name", ["comments", "empty"])
def test_what_carries_nothing_is_none(found: dict[str, Found], name: str) -> None:
    assert isinstance(found[name].error, GatewayError)
    assert set(found[name].states) == {"unknown"}
