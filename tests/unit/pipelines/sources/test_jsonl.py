import json
from io import BytesIO

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines.sources import jsonl
from pipelines.sources.fingerprint import fingerprint
from pipelines.sources.jsonl import line_changes
from pipelines.sources.source import Unreadable, Upsert


def read(*lines: bytes | dict):
    encoded = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    changes = list(line_changes(BytesIO(b"\n".join(encoded)), "c.jsonl", "file:///c.jsonl"))
    return {change.key: change for change in changes}


def test_a_line_is_a_document():
    changes = read({"_id": 7, "title": "T", "text": "é", "metadata": {"year": 2001, "tags": ["a"]}})
    assert changes == {
        "c.jsonl#7": Upsert(
            "c.jsonl#7", "T", "file:///c.jsonl#7", "é".encode(), "text/plain", {"year": 2001, "tags": ["a"]}
        )
    }


def test_blank_lines_bom_and_crlf_are_no_obstacle():
    assert set(read(b'\xef\xbb\xbf{"_id": "a", "text": ""}\r', b"  \r", b'{"_id": "b", "text": "x"}')) == {
        "c.jsonl#a",
        "c.jsonl#b",
    }


def test_the_first_of_two_ids_wins_and_the_second_is_shown():
    changes = read({"_id": "a", "text": "1"}, {"_id": "b", "text": "2"}, {"_id": "a", "text": "3"})
    assert changes["c.jsonl#a"].content == b"1"
    assert "line 3 repeats the _id of line 1" in changes["c.jsonl#a@line3"].reason
    assert len(changes) == 3


def test_keys_made_up_for_lines_never_collide_with_ids():
    texts = [{"_id": "a", "text": "1"}, {"_id": "a@line3", "text": "2"}, {"_id": "a", "text": "3"}]
    assert list(read(*texts)) == ["c.jsonl#a", "c.jsonl#a@line3", "c.jsonl#a@line3@line3"]
    texts = [b"broken", {"_id": "@line1", "text": "2"}]
    assert list(read(*texts)) == ["c.jsonl#@line1", "c.jsonl#@line1@line2"]


def test_malformed_lines_are_shown_by_number():
    changes = read(b"{", b"[1]", b"null", b"\xff\xfe", {"text": "no id"}, {"_id": "x", "text": "fine"})
    assert [key for key, change in changes.items() if isinstance(change, Unreadable)] == [
        f"c.jsonl#@line{number}" for number in range(1, 6)
    ]
    assert changes["c.jsonl#x"].content == b"fine"


def test_a_document_that_breaks_is_unreadable_under_its_own_key():
    assert isinstance(read(b'{"_id": "x", "text": "torn')["c.jsonl#x"], Unreadable)
    assert isinstance(read({"_id": "x", "title": "no text"})["c.jsonl#x"], Unreadable)
    assert isinstance(read({"_id": "x", "text": "t", "metadata": [1]})["c.jsonl#x"], Unreadable)


def test_what_no_registry_can_store_is_unreadable():
    nested: object = "x"
    for _ in range(500):
        nested = [nested]
    flawed = [
        b'{"_id": "1", "text": "\\ud800"}',
        b'{"_id": "2", "text": "t", "title": "\\u0000"}',
        b'{"_id": "3", "text": "t", "metadata": {"a": ["\\u0000"]}}',
        b'{"_id": "4", "text": "t", "metadata": {"a": 1e999}}',
        {"_id": "5", "text": "t", "metadata": {"a": nested}},
        {"_id": "6" * 2000, "text": "t"},
        b'{"_id": "\\ud800", "text": "t"}',
        b'{"_id": "8", "text": "t", "metadata": {"a": %s}}' % (b"1" * 5000),
        b'{"_id": "9", "text": "t", "metadata": %s}' % (b"[" * 100_000),
    ]
    changes = read(*flawed)
    assert len(changes) == len(flawed)
    assert all(isinstance(change, Unreadable) for change in changes.values())
    for change in changes.values():
        assert fingerprint(change)
        assert len(change.key.encode()) < 1100


def test_an_overlong_line_is_skipped_whole(monkeypatch):
    monkeypatch.setattr(jsonl, "LINE_LIMIT", 64)
    long = {"_id": "a", "text": "x" * 500}
    changes = read(long, {"_id": "b", "text": "y"})
    assert "longer than 64 bytes" in changes["c.jsonl#@line1"].reason
    assert changes["c.jsonl#b"].content == b"y"


SHORT = st.text("ab\x00\ud800é", max_size=5)
LINES = st.lists(
    st.one_of(
        st.sampled_from(
            [b"", b"  ", b"{", b"[]", b"\xff", b"\xef\xbb\xbf", b'{"_id": "a", "te', b'{"_id": 1,']
        ),
        st.fixed_dictionaries(
            {"_id": st.sampled_from(["a", "b", "@line1", "a@line2", "a@line3", 1, "1", "", None, True])},
            optional={"text": SHORT, "title": SHORT, "metadata": st.none()},
        ),
    ),
    max_size=12,
)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(LINES)
def test_any_file_gives_one_storable_change_a_line(lines):
    encoded = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    changes = list(line_changes(BytesIO(b"\n".join(encoded)), "c.jsonl", "u"))
    filled = [line.removeprefix(b"\xef\xbb\xbf") if i == 0 else line for i, line in enumerate(encoded)]
    assert len(changes) == sum(bool(line.strip()) for line in filled)
    assert len({change.key for change in changes}) == len(changes)
    for change in changes:
        fingerprint(change)
        assert change.key.startswith("c.jsonl#")
