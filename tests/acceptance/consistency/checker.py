"""The checker: a record in, violations out. It knows nothing of how Holdfast works, only what it promises."""

from __future__ import annotations

from collections import Counter
from itertools import chain

from tests.acceptance.consistency.check_answers import check_answers
from tests.acceptance.consistency.check_capture import check_capture
from tests.acceptance.consistency.check_generations import check_generations
from tests.acceptance.consistency.check_order import check_order
from tests.acceptance.consistency.invariants import broken
from tests.acceptance.consistency.pages import State
from tests.acceptance.consistency.record import Record
from tests.acceptance.consistency.truth import Truth
from tests.acceptance.consistency.violations import Violation


def check(record: Record) -> list[Violation]:
    """Everything that is wrong with a trial. Raises AssertionError where the writers themselves were wrong."""
    for source, writer in record.writers.items():
        for number, commit in enumerate(writer.history.commits):
            faults = _faults(commit.rows)
            assert not faults, f"the writer of {source} broke its word in transaction {number}: {faults}"
    truth = Truth(record)
    return list(
        chain(check_capture(truth), check_generations(truth), check_answers(truth), check_order(truth))
    )


def figures(record: Record) -> str:
    """What a trial was made of, on one line."""
    commits = sum(len(writer.history.commits) for writer in set(record.writers.values()))
    captured = sum(len(positions) for positions in record.registered.values())
    rollbacks = sum(move.kind == "rollback" for move in record.moves)
    back = sum(answer.as_of is not None for answer in record.answers)
    api = sum(answer.through == "api" for answer in record.answers)
    return (
        f"{record.seed}: {commits:,} commits ({captured:,} captured), {len(record.audited):,} generations, "
        f"{len(record.answers):,} answers ({back:,} as of, {api:,} by the API), {rollbacks} rollbacks, "
        f"{_decisions(record)}, {len(record.removed)} sources removed, {len(record.erased)} erased, "
        f"{record.refused} refused publications, {record.crashes} crashes, {record.seconds:.1f} s"
    )


def _decisions(record: Record) -> str:
    made = Counter(decided.decision for decided in record.decided)
    return f"{made['confirmed']} mass deletions confirmed, {made['rejected']} rejected"


def _faults(rows: State) -> list[str]:
    return broken({key: page.state for key, page in rows.items()})
