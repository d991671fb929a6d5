"""Answers in shapes of their own: nothing of an answer is left out in silence, and half of one is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway_client.errors import MalformedResponse, UnusableOutcome
from tests.support.gateway_raw_calls import TOOL, Found, call
from tests.support.gateway_raw_server import chunk, completion, counted, event_stream, http, say

PARTS = [{"type": "text", "text": "The dose is "}, {"type": "text", "text": "5 mg"}]
UNKNOWN = [{"type": "text", "text": "The dose is "}, {"type": "output_audio", "audio": {"data": "x"}}]
REFUSAL = [{"type": "text", "text": "I "}, {"type": "refusal", "refusal": "cannot"}]


def answered(folder: Path, way: str, content: object, **more: Any) -> Found:
    """A chat or a stream whose answer has this content, the same in both."""
    if way == "chat":
        return call(say(http(completion(content))), folder, **more)
    said = event_stream(chunk(content), chunk(" daily"), chunk(finish="stop"), counted())
    return call(say(said), folder, way="stream", **more)


@pytest.mark.parametrize("way", ["chat", "stream"])
def test_text_in_parts_is_all_there(tmp_path: Path, way: str) -> None:
    found = answered(tmp_path, way, PARTS)
    assert found.error is None
    assert found.got.text == "The dose is 5 mg" + (" daily" if way == "stream" else "")
    assert "".join(piece.text for piece in found.pieces) in ("", found.got.text)
    assert found.states == ["settled"]


@pytest.mark.parametrize("way", ["chat", "stream"])
def test_a_part_that_cannot_be_read_is_no_answer(tmp_path: Path, way: str) -> None:
    found = answered(tmp_path, way, UNKNOWN, deadline=0.8)
    assert found.error is not None
    causes = [found.error, found.error.__cause__]
    assert any(isinstance(error, MalformedResponse) for error in causes), found.error
    assert set(found.states) == {"unknown"}


@pytest.mark.parametrize("way", ["chat", "stream"])
def test_a_refusal_in_a_part_is_one(tmp_path: Path, way: str) -> None:
    found = answered(tmp_path, way, REFUSAL, model="small")
    assert isinstance(found.error, UnusableOutcome)
    assert found.error.outcome == "refusal"
    assert len(found.asked) == 1  # a policy is not worked around


def tool_call(index: int, identifier: str, arguments: object) -> dict[str, Any]:
    return {"index": index, "id": identifier, "function": {"name": "look", "arguments": arguments}}


@pytest.mark.parametrize("way", ["chat", "stream"])
def test_arguments_as_an_object_are_kept_as_json(tmp_path: Path, way: str) -> None:
    asked = tool_call(0, "c", {"q": "a"})
    whole = http(completion(None, "tool_calls", tool_calls=[asked]))
    stream = event_stream(chunk(tool_calls=[asked]), chunk(finish="tool_calls"), counted())
    found = call(say(whole if way == "chat" else stream), tmp_path, way=way, tools=[TOOL])
    assert found.error is None
    assert [json.loads(one.arguments) for one in found.got.tool_calls] == [{"q": "a"}]


def test_two_ids_under_one_index_are_two_calls(tmp_path: Path) -> None:
    pieces = [
        tool_call(0, "c1", '{"q": '),
        {"index": 0, "function": {"arguments": '"a"}'}},
        tool_call(0, "c2", '{"q": '),
        {"index": 0, "function": {"arguments": '"b"}'}},
    ]
    chunks = [chunk(tool_calls=[piece]) for piece in pieces]
    said = event_stream(*chunks, chunk(finish="tool_calls"), counted())
    found = call(say(said), tmp_path, way="stream", tools=[TOOL])
    assert found.error is None
    called = [(one.id, json.loads(one.arguments)) for one in found.got.tool_calls]
    assert called == [("c1", {"q": "a"}), ("c2", {"q": "b"})]
    told: dict[int, str] = {}
    for index, one in (piece.tool_call for piece in found.pieces):
        told[index] = told.get(index, "") + one.arguments
    assert [json.loads(arguments) for arguments in told.values()] == [{"q": "a"}, {"q": "b"}]


@pytest.mark.parametrize("first", ["length", "content_filter"])
def test_a_later_word_does_not_make_it_whole(tmp_path: Path, first: str) -> None:
    said = event_stream(chunk("Hello"), chunk(finish=first), chunk(finish="stop"), counted())
    found = call(say(said), tmp_path, way="stream")
    assert isinstance(found.error, UnusableOutcome)
    assert found.error.outcome == first
