"""Evaluation against a toy worked by hand, a second implementation, and files that are not what they should be."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canaries.errors import InvalidJudgements
from canaries.evaluation import Judgement, evaluate, read_judgements, read_queries

QUERIES = {"q1": "one", "q2": "two", "q3": "three", "unjudged": "?"}
JUDGEMENTS = [
    Judgement("q1", "a", 2),
    Judgement("q1", "b", 1),
    Judgement("q1", "c", 0),
    Judgement("q2", "a", 1),
    Judgement("q3", "z", 0),
]


def searching(rankings: dict[str, Sequence[str]]) -> Callable[[str], list[tuple[str, float]]]:
    """A search with these rankings. All scores are the same: only the order counts."""
    return lambda text: [(document, 1.0) for document in rankings.get(text, ())]


def ndcg(ranking: Sequence[str], gains: dict[str, int], k: int) -> float:
    """Järvelin and Kekäläinen (2002) with log2(rank + 1), as trec_eval has it: the gain is the judgement."""
    found = sum(gains.get(d, 0) / math.log2(rank + 1) for rank, d in enumerate(ranking[:k], start=1))
    best = sorted(gains.values(), reverse=True)[:k]
    return found / sum(gain / math.log2(rank + 1) for rank, gain in enumerate(best, start=1))


def test_a_toy_worked_by_hand() -> None:
    asked: list[str] = []
    search = searching({"one": ["x", "b", "a"], "two": ["y", "z"], "?": ["a"]})

    def noting(text: str) -> list[tuple[str, float]]:
        asked.append(text)
        return search(text)

    found = evaluate(noting, QUERIES, JUDGEMENTS)
    # q1: gains 0, 1, 2 at ranks 1 to 3, ideally 2, 1. q2 finds nothing. q3 has no relevant document.
    first = (1 / math.log2(3) + 2 / math.log2(4)) / (2 + 1 / math.log2(3))
    assert sorted(asked) == ["one", "two"]
    assert found == {
        "ndcg@10": pytest.approx(first / 2),
        "recall@10": pytest.approx(0.5),
        "recall@100": pytest.approx(0.5),
        "mrr@10": pytest.approx(0.25),
        "queries": 2,
    }


def test_k_cuts_and_a_hundred_stays_a_hundred() -> None:
    search = searching({"one": ["x", "b", "y", "a"], "two": [*(f"n{i}" for i in range(99)), "a"]})
    found = evaluate(search, QUERIES, JUDGEMENTS, k=2)
    assert found["recall@2"] == pytest.approx((1 / 2 + 0) / 2)
    assert found["mrr@2"] == pytest.approx((1 / 2 + 0) / 2)
    assert found["recall@100"] == pytest.approx(1.0)
    assert "ndcg@10" not in found


def test_a_query_that_finds_nothing_counts_as_nothing_found() -> None:
    found = evaluate(searching({}), QUERIES, JUDGEMENTS)
    assert set(found.values()) == {0.0, 2}
    half = evaluate(searching({"two": ["a"]}), QUERIES, JUDGEMENTS)
    assert half["recall@10"] == half["mrr@10"] == half["ndcg@10"] == pytest.approx(0.5)


def test_a_line_is_judged_by_its_id_and_a_document_by_its_key() -> None:
    judged = [Judgement("q1", "7", 1), Judgement("q2", "docs/7.md", 1)]
    search = searching({"one": ["pages.jsonl#7"], "two": ["docs/7.md"]})
    assert evaluate(search, QUERIES, judged)["mrr@10"] == 1.0


def test_a_document_in_two_sources_was_found_where_the_first_is() -> None:
    judged = [Judgement("q1", "7", 1), Judgement("q1", "8", 1)]
    search = searching({"one": ["old.jsonl#7", "x", "new.jsonl#7", "new.jsonl#8"]})
    found = evaluate(search, QUERIES, judged)
    assert found["mrr@10"] == 1.0
    assert found["ndcg@10"] == pytest.approx((1 + 1 / math.log2(4)) / (1 + 1 / math.log2(3)))


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from("abcdefghij"), unique=True), min_size=1, max_size=4),
    st.dictionaries(st.sampled_from("abcdefghij"), st.integers(0, 3), min_size=1),
    st.integers(1, 6),
)
def test_it_agrees_with_a_second_implementation(
    rankings: list[list[str]], gains: dict[str, int], k: int
) -> None:
    relevant = {document for document, gain in gains.items() if gain > 0}
    if not relevant:
        return
    queries = {str(n): f"query {n}" for n in range(len(rankings))}
    judged = [Judgement(query, document, gain) for query in queries for document, gain in gains.items()]
    by_text = {queries[str(n)]: ranking for n, ranking in enumerate(rankings)}
    found = evaluate(searching(by_text), queries, judged, k=k)
    ranks = [next((1 / r for r, d in enumerate(ra[:k], 1) if d in relevant), 0.0) for ra in rankings]
    recalls = [len(relevant & set(ranking[:k])) / len(relevant) for ranking in rankings]
    assert found[f"mrr@{k}"] == pytest.approx(sum(ranks) / len(ranks))
    assert found[f"recall@{k}"] == pytest.approx(sum(recalls) / len(recalls))
    assert found[f"ndcg@{k}"] == pytest.approx(sum(ndcg(r, gains, k) for r in rankings) / len(rankings))


def test_a_judged_query_without_a_text_is_named() -> None:
    with pytest.raises(InvalidJudgements, match="q9"):
        evaluate(searching({}), QUERIES, [*JUDGEMENTS, Judgement("q9", "a", 1)])


@pytest.mark.parametrize("head", ["", "query-id\tcorpus-id\tscore\n"])
def test_judgements_with_and_without_their_header(tmp_path: Path, head: str) -> None:
    path = tmp_path / "qrels.tsv"
    path.write_text(f"{head}q1\ta b\t2\r\n\nq2\tc\t0\n")
    assert read_judgements(path) == [Judgement("q1", "a b", 2), Judgement("q2", "c", 0)]


@pytest.mark.parametrize(
    "bad", ["q2\tb", "q2 b 1", "q2\tb\tyes", "q2\tb\t1\t1", "query-id\tcorpus-id\tscore"]
)
def test_a_bad_judgement_is_named_by_its_line(tmp_path: Path, bad: str) -> None:
    path = tmp_path / "qrels.tsv"
    path.write_text(f"q1\ta\t1\n\n{bad}\n")
    with pytest.raises(InvalidJudgements, match=r"qrels\.tsv:3 "):
        read_judgements(path)


def test_judgements_without_a_relevant_document_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "qrels.tsv"
    path.write_text("query-id\tcorpus-id\tscore\nq1\ta\t0\n")
    with pytest.raises(InvalidJudgements, match="no relevant document"):
        read_judgements(path)


@pytest.mark.parametrize("bad", ["{", '{"_id": 1}', '{"text": "x"}', "[]", '"x"', "[" * 100_000])
def test_a_bad_query_is_named_by_its_line(tmp_path: Path, bad: str) -> None:
    path = tmp_path / "queries.jsonl"
    path.write_text(f'{{"_id": 1, "text": "one"}}\n{bad}\n')
    with pytest.raises(InvalidJudgements, match=r"queries\.jsonl:2 "):
        read_queries(path)


def test_queries_are_read_by_id(tmp_path: Path) -> None:
    path = tmp_path / "queries.jsonl"
    path.write_text('{"_id": 1, "text": "one\u2028two"}\n\n{"_id": "b", "text": "c"}')
    assert read_queries(path) == {"1": "one\u2028two", "b": "c"}
