"""Evaluation against judgements in BEIR's format (Thakur et al. 2021), at document level, by ir-measures."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from canaries.errors import InvalidJudgements

DEPTH = 100


@dataclass(frozen=True, slots=True)
class Judgement:
    """How relevant a document is to a query."""

    query: str
    document: str
    relevance: int


def read_queries(path: Path) -> dict[str, str]:
    """Query texts by id, from JSON Lines of `{"_id", "text"}`. Raises InvalidJudgements."""
    found: dict[str, str] = {}
    for number, line in _lines(path):
        try:
            value = json.loads(line)
            found[str(value["_id"])] = str(value["text"])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InvalidJudgements(
                f'{path}:{number} is not a query: {{"_id": …, "text": …}} is needed'
            ) from error
    return found


def read_judgements(path: Path) -> list[Judgement]:
    """Judgements from tab-separated `query-id, corpus-id, score`, with or without the header.

    Raises InvalidJudgements.
    """
    found: list[Judgement] = []
    for number, line in _lines(path):
        row = next(csv.reader([line], delimiter="\t"))
        if not found and row[0] == "query-id":
            continue
        try:
            query, document, relevance = row
            found.append(Judgement(query, document, int(relevance)))
        except ValueError as error:
            raise InvalidJudgements(f"{path}:{number} is not `query-id<TAB>corpus-id<TAB>score`") from error
    if not any(judgement.relevance > 0 for judgement in found):
        raise InvalidJudgements(f"{path} holds no relevant document")
    return found


def _lines(path: Path) -> list[tuple[int, str]]:
    """Numbered lines that hold something. Only a line feed ends one: JSON may hold other separators raw."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except OSError as error:
        raise InvalidJudgements(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InvalidJudgements(f"{path} is no UTF-8 text: {error}") from error
    return [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]


def evaluate(
    search: Callable[[str], Sequence[tuple[str, float]]],
    queries: Mapping[str, str],
    judgements: Sequence[Judgement],
    advance: Callable[[int], None] = lambda _: None,
    k: int = 10,
) -> dict[str, float]:
    """nDCG@k, recall@k, recall@100 and MRR@k over the queries that have a relevant document.

    `search` gives (document key, score), best first, down to DEPTH. Raises InvalidJudgements where a judged
    query has no text.
    """
    import ir_measures
    from ir_measures import RR, R, nDCG

    judged = sorted({j.query for j in judgements if j.relevance > 0})
    unknown = [query for query in judged if query not in queries]
    if unknown:
        raise InvalidJudgements(
            f"judged queries without a text: {', '.join(unknown[:5])} ({len(unknown)} in all)"
        )
    names = {j.document for j in judgements}
    run = []
    for query in judged:
        run += _ranking(query, search(queries[query]), names)
        advance(1)
    # A query without a relevant document would count as one that found nothing.
    counted = set(judged)
    qrels = [ir_measures.Qrel(j.query, j.document, j.relevance) for j in judgements if j.query in counted]
    measures = {f"ndcg@{k}": nDCG @ k, f"recall@{k}": R @ k, "recall@100": R @ 100, f"mrr@{k}": RR @ k}
    totals = ir_measures.calc_aggregate(list(measures.values()), qrels, run)
    return {name: float(totals[measure]) for name, measure in measures.items()} | {"queries": len(judged)}


def _ranking(query: str, found: Sequence[tuple[str, float]], names: set[str]) -> list[object]:
    import ir_measures

    # Two sources may hold the judged document: it was found where the first of them was.
    ranked = list(dict.fromkeys(_judged_name(document, names) for document, _ in found))
    # Ranks, not scores: ties must stay in the order that the search gave them.
    return [
        ir_measures.ScoredDoc(query, document, float(len(ranked) - rank))
        for rank, document in enumerate(ranked)
    ]


def _judged_name(document: str, names: set[str]) -> str:
    suffix = document.rsplit("#", 1)[-1]
    return document if document in names else (suffix if "#" in document and suffix in names else document)
