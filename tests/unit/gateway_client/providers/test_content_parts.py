"""An answer's content in shapes that OpenAI's format does not know: read whole, or not at all."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway_client.errors import MalformedResponse
from gateway_client.messages import FinishReason, Reply
from gateway_client.outcomes import OutcomeName, judge
from gateway_client.providers.openai import OPENAI
from tests.support.gateway_raw_server import chunk, completion, counted, event_stream
from tests.support.model_calls import answered, ask

TEXT = {"type": "text", "text": "5 mg"}


def whole(content: object, finish: str = "stop", **more: Any) -> Reply:
    return OPENAI.parse(answered(json.dumps(completion(content, finish, **more)).encode()))


def streamed(content: object, finish: str = "stop", **more: Any) -> Reply:
    reading = OPENAI.stream_parser({"content-type": "text/event-stream"})
    said = event_stream(chunk(content, **more), chunk(finish=finish), counted())
    reading.feed(said.partition(b"\r\n\r\n")[2])
    return reading.close()


WAYS = pytest.mark.parametrize("read", [whole, streamed])


@WAYS
@pytest.mark.parametrize(
    ("content", "text"),
    [
        ([TEXT], "5 mg"),
        ([TEXT, TEXT], "5 mg5 mg"),
        ([{"type": "output_text", "text": "5 mg"}], "5 mg"),
        ([], ""),
        ([{"type": "thinking", "thinking": "hm"}, TEXT], "5 mg"),
        ("", ""),
        (None, ""),
    ],
    ids=repr,
)
def test_parts_of_text(read: Any, content: object, text: str) -> None:
    assert read(content).text == text


@WAYS
@pytest.mark.parametrize(
    "content",
    [
        {"text": "5 mg"},
        5,
        True,
        [5],
        [None],
        [TEXT, {"type": "text"}],
        [TEXT, {"type": "text", "text": {"value": "5 mg"}}],
        [TEXT, {"type": "image_url", "image_url": {"url": "x"}}],
        [TEXT, {"type": "output_audio", "audio": {"data": "x"}}],
        [[TEXT]],
    ],
    ids=repr,
)
def test_what_cannot_be_read_is_no_answer(read: Any, content: object) -> None:
    with pytest.raises(MalformedResponse):
        read(content)


@WAYS
def test_a_refusal_among_the_parts(read: Any) -> None:
    reply = read([TEXT, {"type": "refusal", "refusal": "I cannot"}])
    assert reply.refusal == "I cannot"
    assert judge(reply, ask()).name is OutcomeName.REFUSAL


@WAYS
@pytest.mark.parametrize("arguments", [{"q": "a"}, {}, {"q": ["ä", None, 1.5]}], ids=repr)
def test_arguments_as_an_object(read: Any, arguments: dict[str, Any]) -> None:
    calls = [{"index": 0, "id": "c", "function": {"name": "look", "arguments": arguments}}]
    (called,) = read(None, "tool_calls", tool_calls=calls).tool_calls
    assert json.loads(called.arguments) == arguments


@WAYS
@pytest.mark.parametrize("arguments", [5, [1], True])
def test_arguments_of_no_shape(read: Any, arguments: object) -> None:
    calls = [{"index": 0, "id": "c", "function": {"name": "look", "arguments": arguments}}]
    with pytest.raises(MalformedResponse):
        read(None, "tool_calls", tool_calls=calls)


@pytest.mark.parametrize("index", [{"index": 0}, {}], ids=["the_same_index", "no_index"])
def test_calls_are_told_apart_by_their_ids(index: dict[str, int]) -> None:
    calls = [
        index | {"id": f"c{number}", "function": {"name": "look", "arguments": f'{{"q": {number}}}'}}
        for number in range(3)
    ]
    found = streamed(None, "tool_calls", tool_calls=calls).tool_calls
    assert [(one.id, one.arguments) for one in found] == [(f"c{n}", f'{{"q": {n}}}') for n in range(3)]


def test_pieces_of_two_calls_may_take_turns() -> None:
    pieces = [
        {"index": 1, "id": "b", "function": {"name": "look", "arguments": '{"q": '}},
        {"index": 0, "id": "a", "function": {"name": "look", "arguments": '{"q": '}},
        {"index": 1, "function": {"arguments": "1}"}},
        {"index": 0, "function": {"arguments": "0}"}},
    ]
    found = streamed(None, "tool_calls", tool_calls=pieces).tool_calls
    assert [(one.id, one.arguments) for one in found] == [("a", '{"q": 0}'), ("b", '{"q": 1}')]


@pytest.mark.parametrize("id_again", [{}, {"id": ""}, {"id": None}, {"id": "a"}], ids=repr)
def test_one_call_in_pieces_is_one(id_again: dict[str, Any]) -> None:
    pieces = [
        {"index": 0, "id": "a", "function": {"name": "look", "arguments": '{"q": '}},
        {"index": 0, "function": {"arguments": "1}"}} | id_again,
    ]
    (found,) = streamed(None, "tool_calls", tool_calls=pieces).tool_calls
    assert (found.id, found.arguments) == ("a", '{"q": 1}')


@pytest.mark.parametrize(
    ("first", "meant"),
    [
        ("length", FinishReason.LENGTH),
        ("max_tokens", FinishReason.LENGTH),
        ("content_filter", FinishReason.CONTENT_FILTER),
    ],
)
def test_a_later_word_does_not_make_it_whole(first: str, meant: FinishReason) -> None:
    reading = OPENAI.stream_parser({})
    said = event_stream(chunk("Hello"), chunk(finish=first), chunk(finish="stop"), counted())
    reading.feed(said.partition(b"\r\n\r\n")[2])
    assert reading.close().finish is meant
