from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.sources.commit_time import from_epoch, from_iso, settle
from pipelines.sources.files import file_key, is_document, is_hidden
from pipelines.sources.fingerprint import fingerprint
from pipelines.sources.source import Unreadable, Upsert
from pipelines.sources.storable import key_flaw, stand_in, value_flaw

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=20)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@given(ANY_TEXT, ANY_TEXT)
def test_stand_ins_are_storable_and_tell_their_keys_apart(one, other):
    assert "\x00" not in stand_in(one)
    assert len(stand_in(one).encode()) < 300
    assert (stand_in(one) == stand_in(other)) == (one == other)


@given(ANY_TEXT)
def test_no_storable_key_is_a_stand_in(key):
    assert key_flaw(stand_in(key)) is not None


@given(ANY_TEXT)
def test_a_storable_key_can_be_stored(key):
    if key_flaw(key) is None:
        assert key.encode().decode() == key
        assert "\x00" not in key


def test_flaws_deep_inside():
    assert value_flaw({"a": [{"b": "fine", "c": 1.5, "d": None}]}) is None
    assert "finite" in (value_flaw({"a": [float("inf")]}) or "")
    assert "NUL" in (value_flaw({"a": {"b\x00": 1}}) or "")


@pytest.mark.parametrize(
    ("path", "taken"),
    [("a.md", True), ("b/A.PDF", True), ("x.jsonl", True), ("x.htm", True), ("x.png", False), (".md", False)],
)
def test_suffixes(path, taken):
    assert is_document(path) is taken


def test_hidden_parts():
    assert is_hidden(".git/a.md")
    assert is_hidden("a/.b.md")
    assert not is_hidden("a/b.md")


def test_a_path_that_looks_like_a_line_is_flawed():
    key, flaw = file_key("a.jsonl#x.md")
    assert flaw is not None
    assert not key.startswith("a.jsonl#")
    assert file_key("a#b.md") == ("a#b.md", None)


def test_times_run_neither_back_nor_ahead():
    early = NOW - timedelta(days=1)
    assert settle(early, None, NOW) == early
    assert settle(early, NOW - timedelta(hours=1), NOW) == NOW - timedelta(hours=1)
    assert settle(NOW + timedelta(days=1), None, NOW) == NOW
    assert settle(None, None, NOW) == NOW
    assert from_epoch(1e30) is None
    assert from_iso("rubbish") is None
    assert from_iso("2026-01-01T00:00:00.000Z") == NOW


def test_a_fingerprint_tells_tenants_apart():
    def row(tenant: str) -> Upsert:
        return Upsert("k", "t", "u", b"c", "text/plain", {}, tenant)

    assert fingerprint(row("a")) != fingerprint(row("b"))
    assert fingerprint(Unreadable("k", "r", "a")) != fingerprint(Unreadable("k", "r", "b"))
