"""Server-sent events from bytes, however they are cut."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_client.errors import MalformedResponse
from gateway_client.providers import sse
from gateway_client.providers.sse import Event, EventDecoder

STREAM = (
    "\ufeff: a comment first\n\n"
    "data: plain\n\n"
    "event: named\r\ndata: über ⚓🌊\r\n\r\n"
    "data: two\rdata: lines\r\r"
    "id: 7\nretry: 10\ndata:no space\n\n"
    ": ping\n\n"
    "event: nothing to say\n\n"
    "data\n\n"
    "data:  keeps one space\n\n"
).encode()
EVENTS = [
    Event("", "plain"),
    Event("named", "über ⚓🌊"),
    Event("", "two\nlines"),
    Event("", "no space"),
    Event("", ""),
    Event("", " keeps one space"),
]


def decoded(pieces: list[bytes]) -> tuple[list[Event], bool]:
    decoder = EventDecoder()
    events = [event for piece in pieces for event in decoder.feed(piece)]
    return events, decoder.unfinished


def cut_at(data: bytes, places: list[int]) -> list[bytes]:
    ends = [0, *sorted(places), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(ends)]


def test_every_rule_of_the_standard() -> None:
    assert decoded([STREAM]) == (EVENTS, False)


def test_byte_by_byte() -> None:
    assert decoded([bytes([byte]) for byte in STREAM]) == (EVENTS, False)


@given(st.lists(st.integers(0, len(STREAM)), max_size=20))
def test_any_cut_gives_the_same_events(places: list[int]) -> None:
    assert decoded(cut_at(STREAM, places)) == (EVENTS, False)


@given(
    st.lists(
        st.text(st.characters(exclude_characters="\r\n", exclude_categories=("Cs",)), min_size=1), min_size=1
    ),
    st.sampled_from(["\n", "\r\n", "\r"]),
    st.data(),
)
def test_what_is_written_is_read(texts: list[str], end: str, data: st.DataObject) -> None:
    written = "".join(f"data: {text}{end}{end}" for text in texts).encode()
    places = data.draw(st.lists(st.integers(0, len(written)), max_size=8))
    events, unfinished = decoded(cut_at(written, places))
    assert [event.data for event in events] == texts
    assert not unfinished


@pytest.mark.parametrize(
    "cut", [b"data: half", b"data: whole line\n", b"event: x\n", b"event: x\ndata: y\n", b"d"]
)
def test_a_cut_event_is_not_an_event_and_is_seen(cut: bytes) -> None:
    assert decoded([b"data: one\n\n", cut]) == ([Event("", "one")], True)


@pytest.mark.parametrize(
    "garbage", [b"<html>\n", b'{"error": 1}\n', b"foo: bar\n", b"data: \xff\xfe\n", b"%%%\r"]
)
def test_what_is_no_event_is_an_error(garbage: bytes) -> None:
    with pytest.raises(MalformedResponse):
        EventDecoder().feed(b"data: one\n\n" + garbage)


@pytest.mark.parametrize("piece", [b"x" * 10, b"data: 0123456789\n"])
def test_an_event_without_end_is_an_error_before_it_fills_the_memory(
    piece: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "LARGEST_EVENT", 1000)
    with pytest.raises(MalformedResponse, match="1000 bytes"):
        decoded([piece] * 200)
