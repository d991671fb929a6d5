"""`lexical_parity`: the lexical side ranks as BM25 does, by an oracle that shares no code with the engine."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from canaries.checks.candidate import CandidateUnderTest
from registry.verdicts import Verdict
from retrieval.expected import expected_terms
from retrieval.index.store import Reader
from retrieval.lexical.bm25 import grid_step, grid_value, query_weights
from retrieval.lexical.oracle import LuceneOkapi
from retrieval.lexical.terms import TermCounts
from retrieval.search.searcher import analyzer

NAME = "lexical_parity"
QUERIES = 12
DEPTH = 10
OTHERS = 400
TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class Corpus:
    """The chunks that should be in the index: ids and terms, in one order."""

    ids: Sequence[str]
    terms: Sequence[TermCounts]


def check(under_test: CandidateUnderTest) -> Verdict:
    """The step of the average length is the corpus's, and sampled queries score as the oracle says."""
    candidate = under_test.candidate
    with under_test.registry.read() as session:
        pairs = list(expected_terms(session, candidate))
    corpus = Corpus([identifier for identifier, _ in pairs], [terms for _, terms in pairs])
    if not corpus.ids:
        return Verdict(NAME, True, "the index is empty", details={"queries": 0})
    step = grid_step(float(np.mean([terms.length for terms in corpus.terms])) or 1.0)
    with under_test.open() as reader:
        if not step == candidate.average_length_step == reader.spec.average_length_step:
            return _wrong_step(step, candidate.average_length_step, reader.spec.average_length_step)
        return _compare(reader, corpus, _queries(under_test, corpus), grid_value(step))


def _wrong_step(wanted: int, registered: int, stamped: int) -> Verdict:
    return Verdict(
        NAME,
        False,
        f"weights were made for step {stamped} of the average length, the corpus needs step {wanted}",
        details={"wanted_step": wanted, "registered_step": registered, "stamped_step": stamped},
    )


def _queries(under_test: CandidateUnderTest, corpus: Corpus) -> list[TermCounts]:
    """Canaries' queries first, then the rarest terms of chunks drawn by the candidate's own digest."""
    draw = random.Random(under_test.candidate.digest)  # noqa: S311 - a repeatable sample, not a secret
    analyze = analyzer(str(under_test.candidate.build["analyzer"]).split("-", 1)[0])
    asked = draw.sample(list(under_test.questions), min(QUERIES // 2, len(under_test.questions)))
    queries = [analyze.terms(question.query) for question in asked]
    for position in draw.sample(range(len(corpus.terms)), min(QUERIES - len(queries), len(corpus.terms))):
        indices = corpus.terms[position].indices
        if len(indices):
            chosen = draw.sample(indices.tolist(), min(4, len(indices)))
            queries.append(TermCounts.of(dict.fromkeys(chosen, 1)))
    return [query for query in queries if query.length]


def _compare(reader: Reader, corpus: Corpus, queries: Sequence[TermCounts], average: float) -> Verdict:
    place = {identifier: position for position, identifier in enumerate(corpus.ids)}
    draw = random.Random(len(corpus.ids))  # noqa: S311
    others = draw.sample(range(len(corpus.ids)), min(OTHERS, len(corpus.ids)))
    rankings = [reader.lexical(query_weights(query), DEPTH) for query in queries]
    sample = sorted(set(others) | {place[h.chunk_id] for r in rankings for h in r if h.chunk_id in place})
    oracle = LuceneOkapi(corpus.terms, average, sample)
    faults = 0
    worst = 0.0
    for query, ranking in zip(queries, rankings, strict=True):
        scores = dict(
            zip((corpus.ids[position] for position in sample), oracle.scores(query).tolist(), strict=True)
        )
        error, missed = _deviation(ranking, scores)
        worst = max(worst, error)
        faults += error > TOLERANCE or missed
    passed = faults == 0
    text = f"{len(queries)} queries score as BM25 does (worst relative error {worst:.1e})"
    return Verdict(
        NAME,
        passed,
        text if passed else f"{faults} of {len(queries)} queries do not rank as BM25 does",
        details={"queries": len(queries), "faults": faults, "worst_error": worst, "sampled": len(sample)},
    )


def _deviation(ranking: Sequence[tuple[str, float]], oracle: dict[str, float]) -> tuple[float, bool]:
    """The worst relative error of a ranking's scores, and whether a better chunk was left out."""
    error = 0.0
    for identifier, score in ranking:
        expected = oracle.get(identifier, 0.0)
        error = max(error, abs(score - expected) / max(abs(expected), 1e-9))
    listed = {identifier for identifier, _ in ranking}
    cut = ranking[-1][1] if len(ranking) == DEPTH else 0.0
    better = (s for i, s in oracle.items() if i not in listed and s > cut * (1 + TOLERANCE) + 1e-9)
    return error, next(better, None) is not None
