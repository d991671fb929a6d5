"""Replies as the store keeps them."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_client.messages import EmbeddingReply, EmbeddingRequest, ToolCall, Usage
from gateway_client.stored_replies import packed, unpacked
from tests.support.model_calls import LABEL_SCHEMA, ask, reply

TEXTS = EmbeddingRequest("m", ("a", "b"))
numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)


def vectors(*given: tuple[float, ...], **more: Any) -> EmbeddingReply:
    told: dict[str, Any] = {"usage": Usage(3, 0), "model_reported": "m", "provider": "openai"} | more
    return EmbeddingReply(given, **told)


@given(st.integers(1, 8).flatmap(lambda n: st.lists(st.tuples(*[numbers] * n), min_size=1, max_size=5)))
def test_vectors_come_back_bit_by_bit(given: list[tuple[float, ...]]) -> None:
    stored = packed(vectors(*given))
    found = unpacked(stored, TEXTS)
    assert isinstance(found, EmbeddingReply)
    assert found == vectors(*given)
    # -0.0 == 0.0, but they are not the same.
    assert [struct.pack(f"<{len(v)}d", *v) for v in found.vectors] == [
        struct.pack(f"<{len(v)}d", *v) for v in given
    ]


@pytest.mark.parametrize(
    "more",
    [
        {"usage": None},
        {"provider_request_id": "req\n1"},
        {"raw": {"object": "list", "ü\n": [1]}},
        {"model_reported": None},
    ],
    ids=str,
)
def test_what_comes_with_vectors_comes_back(more: dict[str, Any]) -> None:
    assert unpacked(packed(vectors((0.5, 1.0), (2.0, 10.0), **more)), TEXTS) == vectors(
        (0.5, 1.0), (2.0, 10.0), **more
    )


def test_vectors_take_four_bytes_a_number() -> None:
    one, many = (len(packed(vectors(*[(0.25,) * 1536] * n))) for n in (1, 101))
    assert many - one == 100 * 1536 * 4 + len("101") - len("1")


@pytest.mark.parametrize("cut", [1, 4, 9, 200])
def test_cut_vectors_are_none(cut: int) -> None:
    with pytest.raises((ValueError, KeyError)):
        unpacked(packed(vectors((1.0, 2.0), (3.0, 4.0)))[:-cut], TEXTS)


def test_a_chats_reply_comes_back_judged() -> None:
    told = reply('{"label": "good", "score": 1}', raw={"id": "x"})
    found = unpacked(packed(told), ask(schema=LABEL_SCHEMA))
    assert found.parsed == {"label": "good", "score": 1}
    call = ToolCall("1", "label", '{"label": "good", "score": 2}')
    assert unpacked(packed(reply("", tool_calls=(call,))), ask()).tool_calls == (call,)


def test_half_a_character_is_kept_as_a_question_mark() -> None:
    assert unpacked(packed(reply("half \ud83d", raw={"text": "half \ud83d"})), ask()).text == "half ?"
