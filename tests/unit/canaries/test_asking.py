"""What is still asked of a generation, and what counts as lost since an earlier asking."""

from __future__ import annotations

from canaries.asking import Asked, Known, earlier, lost
from registry.canaries import Answer, Question


def answer(name: str, found: tuple[str, ...], recall: float | None, rank: float | None = 1.0) -> Answer:
    return Answer(name, found, recall, None if recall is None else rank)


def asked(*answers: Answer, k: int = 10, **relevant: tuple[str, ...]) -> Asked:
    return Asked(answers, relevant, k)


def test_means_are_over_what_counted() -> None:
    found = asked(answer("a", ("x",), 1.0), answer("b", (), 0.0, 0.0), answer("c", (), None))
    assert (found.recall, found.mrr, found.counted) == (0.5, 0.5, 2)
    nothing = asked(answer("c", (), None))
    assert (nothing.recall, nothing.mrr, nothing.counted) == (None, None, 0)


def test_deleted_documents_leave_a_question_one_by_one() -> None:
    known = Known(served=frozenset({"a", "p#7", "#7"}), deleted=frozenset({"b", "p#9", "#9"}))
    assert known.of(Question("q", "?", ("a", "b", "7", "9", "never"))) == ("a", "7", "never")
    assert known.of(Question("q", "?", ("b", "9", "p#9"))) == ()
    assert known.is_covered(Question("q", "?", ("never", "7")))
    assert not known.is_covered(Question("q", "?", ("never", "b")))


def test_an_answer_that_is_no_longer_found_is_lost() -> None:
    before = {"a": answer("a", ("x", "y"), 1.0), "b": answer("b", ("y",), 1.0)}
    now = asked(
        answer("a", ("y",), 0.5), answer("b", ("y",), 1.0, 0.1), a=("x", "y"), b=("y",)
    )  # found lower down is still found
    assert lost(before, now) == ["a"]


def test_what_a_deletion_explains_is_not_lost() -> None:
    before = {"a": answer("a", ("x", "y"), 1.0), "b": answer("b", ("z",), 1.0), "c": answer("c", ("w",), 1.0)}
    now = asked(
        answer("a", ("y",), 1.0),  # x was deleted, y is still found
        answer("b", (), None),  # all of its documents were
        answer("c", (), 0.0, 0.0),
        a=("y",),
        b=(),
        c=("w",),
    )
    assert lost(before, now) == ["c"]


def test_what_was_never_found_or_never_asked_is_not_lost() -> None:
    before = {"a": answer("a", ("n",), 0.0, 0.0), "c": answer("c", (), None)}
    now = asked(
        answer("a", (), 0.0, 0.0), answer("b", (), 0.0, 0.0), answer("c", (), 0.0, 0.0),
        a=("x",), b=("y",), c=("z",),
    )  # fmt: skip
    assert lost(before, now) == []


def test_an_earlier_asking_is_judged_by_what_is_relevant_now() -> None:
    before = {"a": answer("a", ("x", "n", "y"), 1.0), "b": answer("b", ("z",), 1.0)}
    now = asked(answer("a", ("y",), 1.0), answer("b", (), None), k=3, a=("y",), b=())
    then = earlier(before, now)
    assert [(a.canary_id, a.recall, a.reciprocal_rank) for a in then.answers] == [("a", 1.0, 1 / 3)]
    shallow = asked(answer("a", ("y",), 1.0), k=2, a=("y",))
    assert earlier(before, shallow).recall == 0.0
