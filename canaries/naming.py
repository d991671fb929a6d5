"""Red canaries as people know them: by their question and the documents that it expects, not by an id alone.

The question is the operator's own; no text of a document is ever among it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from canaries.asking import Asked
    from registry.canaries import Question

SHOWN = 10
LONGEST_QUESTION = 80
DOCUMENTS = 3
LOST, ABSENT = "lost its answer", "its documents are not in the index"


def red_canaries(
    questions: Iterable[Question], asked: Asked, lost: Sequence[str], *, failed: bool
) -> list[dict[str, Any]]:
    """Those that lost an answer, then, where the check failed, those that found the least: at most SHOWN.

    Each is {id, query (shortened), relevant (deleted documents aside), why}.
    """
    by_id = {question.id: question for question in questions}
    why = dict.fromkeys(lost, LOST)
    for name, reason in _worst(asked) if failed else ():
        why.setdefault(name, reason)
    return [
        _entry(by_id[name], asked.relevant.get(name, by_id[name].relevant), reason)
        for name, reason in list(why.items())[:SHOWN]
        if name in by_id
    ]


def _worst(asked: Asked) -> list[tuple[str, str]]:
    """Canaries that were not found, then those found in part; where there are none, those not found first."""
    counted = sorted(
        (a.recall, a.reciprocal_rank or 0.0, a.canary_id) for a in asked.answers if a.recall is not None
    )
    missed = [
        (name, "not found" if recall == 0 else "found in part") for recall, _, name in counted if recall < 1
    ]
    return missed or [(name, "found, but not first") for _, rank, name in counted if rank < 1]


def absent_canaries(questions: Iterable[Question]) -> list[dict[str, Any]]:
    """The same of canaries whose documents are just not there."""
    return [_entry(question, question.relevant, ABSENT) for question in questions][:SHOWN]


def _entry(question: Question, relevant: Sequence[str], why: str) -> dict[str, Any]:
    return {
        "id": question.id,
        "query": shortened(question.query),
        "relevant": list(relevant),
        "why": why,
    }


def shortened(query: str) -> str:
    """A question in one line of at most LONGEST_QUESTION characters."""
    line = " ".join(query.split())
    return line if len(line) <= LONGEST_QUESTION else line[: LONGEST_QUESTION - 1].rstrip() + "…"


def expected(red: Mapping[str, Any]) -> str:
    """The documents that one of the above expects; of many the first few."""
    keys = red["relevant"]
    more = f" and {len(keys) - DOCUMENTS} more" if len(keys) > DOCUMENTS else ""
    return ", ".join(keys[:DOCUMENTS]) + more


def in_words(red: Mapping[str, Any]) -> str:
    """One of the above in a line."""
    return f"“{red['query']}” expects {expected(red)}: {red['why']} (canary {red['id']})"
