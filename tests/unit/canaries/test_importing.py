"""Canary files: what is read, and that each bad line is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from canaries.errors import InvalidCanary
from canaries.importing import read_canaries
from registry.canaries import canary_id
from retrieval.search.query import MAX_QUERY_CHARACTERS

GOOD = json.dumps({"query": "how deep is the lake", "relevant": ["lake.md"]})


def written(folder: Path, *lines: str) -> Path:
    path = folder / "canaries.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def line(query: object, relevant: object = ("a.md",)) -> str:
    return json.dumps({"query": query, "relevant": relevant})


def test_a_file_is_read_in_order_with_blank_lines_and_doubled_documents(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD, "", line("why", ["b.md", "a.md", "b.md"]), "")
    first, second = read_canaries(path)
    assert (first.query, first.relevant) == ("how deep is the lake", ("lake.md",))
    assert (second.id, second.query, second.relevant) == (canary_id("why"), "why", ("b.md", "a.md"))


def test_only_a_line_feed_ends_a_line(tmp_path: Path) -> None:
    path = written(tmp_path, json.dumps({"query": "a\u2028b\x85c", "relevant": ["x"]}, ensure_ascii=False))
    assert [question.query for question in read_canaries(path)] == ["a\u2028b\x85c"]


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("{", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ('"how"', 'no "query"'),
        ("[1]", 'no "query"'),
        ("null", 'no "query"'),
        (json.dumps({"relevant": ["a"]}), 'no "query"'),
        (line(7), 'no "query"'),
        (line(" \t"), 'no "query"'),
        (json.dumps({"query": "q"}), 'no "relevant"'),
        (line("q", []), 'no "relevant"'),
        (line("q", "a.md"), 'no "relevant"'),
        (line("q", [1]), 'no "relevant"'),
        (line("q", ["a.md", ""]), 'no "relevant"'),
        (line("q", {"a.md": 1}), 'no "relevant"'),
        (line("how deep is the lake "), "asks the same as line 1"),
        (line("half a pair \ud800"), "no text"),
        (line("a nul \0"), "no text"),
        (line("q", ["a\udfff.md"]), "no text"),
        (line("q", ["a.md", "b\0.md"]), "no text"),
        (line("x" * (MAX_QUERY_CHARACTERS + 1)), "can never be asked"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, bad: str, why: str) -> None:
    path = written(tmp_path, GOOD, "", bad, line("another"))
    with pytest.raises(InvalidCanary) as refused:
        read_canaries(path)
    assert f"{path}:3 " in str(refused.value)
    assert why in str(refused.value)


def test_characters_beyond_the_first_plane_are_text(tmp_path: Path) -> None:
    path = written(tmp_path, line("a piano 🎹 and its 𝄞 clef", ["🎹.md"]))
    assert read_canaries(path)[0].relevant == ("🎹.md",)


@pytest.mark.parametrize("content", [b"", b"\n \n", b"\xff\xfe{"])
def test_a_file_without_any_canary_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "canaries.jsonl"
    path.write_bytes(content)
    with pytest.raises(InvalidCanary, match=r"canaries\.jsonl"):
        read_canaries(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidCanary, match="cannot be read"):
        read_canaries(tmp_path / "absent.jsonl")
