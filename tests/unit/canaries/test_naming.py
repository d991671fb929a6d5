"""Red canaries by their question and documents."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from canaries.asking import Asked
from canaries.naming import (
    LONGEST_QUESTION,
    LOST,
    SHOWN,
    absent_canaries,
    expected,
    in_words,
    red_canaries,
    shortened,
)
from registry.canaries import Answer, Question

QUESTIONS = [Question(f"id{n:02}", f"question {n}", (f"d{n}", "other")) for n in range(15)]


def asked(*recalls: float | None, rank: float = 1.0) -> Asked:
    answers = tuple(
        Answer(f"id{n:02}", (), recall, None if recall is None else min(rank, recall))
        for n, recall in enumerate(recalls)
    )
    return Asked(answers, {f"id{n:02}": (f"d{n}",) for n in range(len(recalls))}, 10)


def test_the_worst_come_first_with_what_is_still_relevant() -> None:
    found = red_canaries(QUESTIONS, asked(1.0, 0.5, 0.0, None), [], failed=True)
    assert [(one["id"], one["why"]) for one in found] == [("id02", "not found"), ("id01", "found in part")]
    assert (found[0]["query"], found[0]["relevant"]) == ("question 2", ["d2"])


def test_what_was_lost_goes_before_what_never_was_found() -> None:
    found = red_canaries(QUESTIONS, asked(0.0, 0.9), ["id01"], failed=True)
    assert [(one["id"], one["why"]) for one in found] == [("id01", LOST), ("id00", "not found")]
    assert [one["id"] for one in red_canaries(QUESTIONS, asked(0.0, 0.9), ["id01"], failed=False)] == ["id01"]


def test_ranks_are_named_only_where_all_was_found() -> None:
    found = red_canaries(QUESTIONS, asked(1.0, 1.0, rank=0.5), [], failed=True)
    assert {one["why"] for one in found} == {"found, but not first"}
    assert red_canaries(QUESTIONS, asked(1.0, 1.0), [], failed=True) == []
    assert len(red_canaries(QUESTIONS, asked(0.0, 1.0, rank=0.5), [], failed=True)) == 1


def test_not_more_than_a_page_of_them() -> None:
    assert len(red_canaries(QUESTIONS, asked(*[0.0] * 15), [], failed=True)) == SHOWN
    assert len(absent_canaries(QUESTIONS)) == SHOWN


def test_a_canary_that_was_removed_meanwhile_is_left_out() -> None:
    assert red_canaries(QUESTIONS[:1], asked(1.0, 0.0), ["id01"], failed=True) == []


def test_in_words_it_has_the_question_the_document_and_the_id() -> None:
    (one,) = absent_canaries([Question("abc", "why?", ("a.md", "b.md", "c.md", "d.md", "e.md"))])
    assert expected(one) == "a.md, b.md, c.md and 2 more"
    assert in_words(one).startswith("“why?” expects a.md, b.md, c.md and 2 more: its documents are not")
    assert in_words(one).endswith("(canary abc)")


@given(st.text())
def test_a_question_is_shown_in_one_short_line(query: str) -> None:
    line = shortened(query)
    assert len(line) <= LONGEST_QUESTION
    assert len(line.splitlines()) <= 1
    assert line.endswith("…") or line == " ".join(query.split())
