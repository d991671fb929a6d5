"""Asking canaries of one generation, through the same search that everybody uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from canaries.metrics import mean, recall_at, reciprocal_rank
from registry import changelog, generations
from registry.canaries import Answer, Question
from registry.database import Registry
from registry.schema import Change, Head, Source
from retrieval.errors import FloorUnmet
from retrieval.search.query import SearchQuery
from retrieval.search.searcher import Searcher


@dataclass(frozen=True, slots=True)
class Known:
    """Document keys of a tenant: those that a generation serves, and those that its sources deleted."""

    served: frozenset[str]
    deleted: frozenset[str]

    def of(self, question: Question) -> tuple[str, ...]:
        """The question's relevant documents, deleted ones aside."""
        return tuple(r for r in question.relevant if not self._means(r, self.deleted))

    def is_covered(self, question: Question) -> bool:
        """Whether the generation serves at least one relevant document."""
        return any(self._means(r, self.served) for r in question.relevant)

    @staticmethod
    def _means(relevant: str, keys: frozenset[str]) -> bool:
        return relevant in keys or f"#{relevant}" in keys


@dataclass(frozen=True, slots=True)
class Asked:
    """All answers of one asking, and their means; None where no query counted.

    `relevant` is what each counted question was judged by: its documents, deleted ones aside.
    """

    answers: tuple[Answer, ...]
    relevant: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    k: int = 0

    @property
    def recall(self) -> float | None:
        return mean([a.recall for a in self.answers if a.recall is not None])

    @property
    def mrr(self) -> float | None:
        return mean([a.reciprocal_rank for a in self.answers if a.reciprocal_rank is not None])

    @property
    def counted(self) -> int:
        return sum(answer.recall is not None for answer in self.answers)


def known_documents(session: Session, tenant_id: str, number: int) -> Known:
    """What a generation serves and what was deleted, with the `_id`s of line documents as `#_id`.

    A key, or an `_id`, counts as deleted only where no source has it now: a document that moved is looked for,
    also a line that moved to another file. What a removed source had is deleted; so is what was deleted since the
    generation's pins and came back: it stays hidden until the next one.
    """
    rows = generations.documents(session, tenant_id, number)
    pins = {source: pin.seq for source, pin in generations.pins(session, tenant_id, number).items()}
    hidden = changelog.hidden_documents(session, tenant_id, pins)
    removed = set(session.scalars(select(Source.id).where(Source.removed_at.is_not(None))))
    served = {
        row.key
        for row in rows
        if row.state != "quarantined"
        and row.source_id not in removed
        and changelog.DocumentKey(row.source_id, row.key) not in hidden
    }
    present = select(Head.key).where(Head.scope == tenant_id, Head.source_id.not_in(removed))
    gone = (
        select(Change.key)
        .distinct()
        .where(
            Change.scope == tenant_id,
            or_(Change.op == "delete", Change.source_id.in_(removed)),
            Change.key.not_in(present),
        )
    )
    deleted = (set(session.scalars(gone)) | {document.key for document in hidden}) - served
    lines = present.where(Head.key.contains("#")) if any("#" in key for key in deleted) else None
    borne = _with_ids(served | set(session.scalars(lines) if lines is not None else ()))
    return Known(_with_ids(served), _with_ids(deleted) - borne)


def _with_ids(keys: set[str]) -> frozenset[str]:
    return frozenset(keys | {f"#{key.rsplit('#', 1)[1]}" for key in keys if "#" in key})


def ask(
    registry: Registry, searcher: Searcher, tenant_id: str, number: int, questions: Sequence[Question], k: int
) -> Asked:
    """Ask every question of one generation. One whose documents are all deleted is excused (recall None).

    What is deleted is looked up at the end: a deletion that is captured meanwhile hides its document from the searches
    that follow, and explains what they miss.
    """
    found = [_found(searcher, tenant_id, number, question, k) for question in questions]
    with registry.read() as session:
        known = known_documents(session, tenant_id, number)
    relevant = {question.id: known.of(question) for question in questions}
    answers = (_answer(q.id, hits, relevant[q.id], k) for q, hits in zip(questions, found, strict=True))
    return Asked(tuple(answers), relevant, k)


def _found(
    searcher: Searcher, tenant_id: str, number: int, question: Question, k: int
) -> tuple[str, ...] | None:
    """Documents, best first; None for a refusal, which is no answer, whatever hits were behind it."""
    try:
        answer = searcher.search(
            tenant_id, SearchQuery(question.query, k=k, collapse="document"), candidate=number
        )
    except FloorUnmet:
        return None
    return tuple(hit.document for hit in answer.hits)


def _answer(canary: str, found: tuple[str, ...] | None, relevant: tuple[str, ...], k: int) -> Answer:
    if not relevant:
        return Answer(canary, (), None, None)
    if found is None:
        return Answer(canary, (), 0.0, 0.0)
    return Answer(canary, found, recall_at(found, relevant, k), reciprocal_rank(found, relevant, k))


def earlier(before: Mapping[str, Answer], now: Asked) -> Asked:
    """What was found before, judged by what is still relevant now: so far a deletion explains a loss.

    Only questions that counted both times are in it.
    """
    found = []
    for answer in now.answers:
        then = before.get(answer.canary_id)
        if then is None or then.recall is None or answer.recall is None:
            continue
        relevant = now.relevant[answer.canary_id]
        found.append(
            Answer(
                answer.canary_id,
                then.found,
                recall_at(then.found, relevant, now.k),
                reciprocal_rank(then.found, relevant, now.k),
            )
        )
    return Asked(tuple(found), now.relevant, now.k)


def lost(before: Mapping[str, Answer], now: Asked) -> list[str]:
    """Ids of canaries that find less of what is still relevant than they did before."""
    recall = {answer.canary_id: answer.recall or 0.0 for answer in now.answers}
    return [
        then.canary_id
        for then in earlier(before, now).answers
        if recall[then.canary_id] < (then.recall or 0.0) - 1e-9
    ]
