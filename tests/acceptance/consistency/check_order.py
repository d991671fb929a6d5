"""The live pointer: forward, or back by a rollback that is on record; and what readers saw of it in time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from tests.acceptance.consistency.check_answers import labelled
from tests.acceptance.consistency.check_generations import difference
from tests.acceptance.consistency.record import FOREVER, Answered, Move, Record
from tests.acceptance.consistency.truth import Truth
from tests.acceptance.consistency.violations import Violation


@dataclass(frozen=True, slots=True)
class Reign:
    """A generation's time as the live one: it may have begun at `since`, was surely over by `until`."""

    number: int
    kind: str
    since: int
    until: int


def check_order(truth: Truth) -> Iterator[Violation]:
    """Moves against the record, positions against moves, answers against both, and the end."""
    record = truth.record
    for tenant in record.sources:
        moves, faults = _ordered(record, tenant)
        yield from faults
        yield from _positions(truth, tenant, moves)
        yield from _answers(record, tenant, _reigns(moves))
        yield from _after_erasure(record, tenant)
    yield from _end(truth)


def _ordered(record: Record, tenant: str) -> tuple[list[Move], list[Violation]]:
    """The moves in the registry's order, and those that either side does not know of."""
    waiting: dict[tuple[str, int], list[Move]] = defaultdict(list)
    for move in record.moves:
        if move.tenant == tenant:
            waiting[move.kind, move.number].append(move)
    found: list[Move] = []
    faults: list[Violation] = []
    for kind, number in record.moved[tenant]:
        if waiting[kind, number]:
            found.append(waiting[kind, number].pop(0))
        elif kind == "publish" and record.crashes:  # who died may not have lived to tell
            found.append(Move(tenant, "publish", number, 0, FOREVER))
        else:
            faults.append(Violation("went_back", f"{tenant}: {kind} of {number} by nobody"))
    lost = [move for moves in waiting.values() for move in moves]
    if tenant in record.erased:  # with all that was on record; what happened while it was under way came last
        found += sorted(lost, key=lambda move: move.began)
        return found, faults
    faults += [Violation("went_back", f"{tenant}: no record of the {m.kind} of {m.number}") for m in lost]
    return found, faults


def _positions(truth: Truth, tenant: str, moves: list[Move]) -> Iterator[Violation]:
    before: dict[str, int] = {}
    for move in moves:
        audited = truth.record.audited.get((tenant, move.number))
        erased = truth.record.erased.get(tenant)
        if audited is None and erased is not None and erased.began < move.ended:
            continue  # gone before anybody could read it
        if audited is None:
            yield Violation("untruthful", f"{tenant}: generation {move.number} was live and never read")
            continue
        places = {s: truth.logs[s].commit(position) for s, position in audited.positions.items()}
        now = {source: place for source, place in places.items() if place is not None}
        back = [s for s, place in before.items() if now.get(s, -1) < place and not _gone(truth, s, now, move)]
        if back and move.kind != "rollback":
            yield Violation("went_back", f"{tenant}: publishing {move.number} took {back} back")
        before = now


def _gone(truth: Truth, source: str, now: dict[str, int], move: Move) -> bool:
    """Whether a generation is without a source because that was removed."""
    removed = truth.record.removed.get(source)
    return source not in now and removed is not None and removed.began < move.ended


def _after_erasure(record: Record, tenant: str) -> Iterator[Violation]:
    erased = record.erased.get(tenant)
    for move in record.moves:
        if erased is not None and move.tenant == tenant and move.began > erased.ended:
            yield Violation("erased_served", f"{tenant}: {move.kind} of {move.number} after its erasure")


def _reigns(moves: list[Move]) -> list[Reign]:
    ends = [*(move.ended for move in moves[1:]), FOREVER]
    return [Reign(m.number, m.kind, m.began, end) for m, end in zip(moves, ends, strict=False)]


def _answers(record: Record, tenant: str, reigns: list[Reign]) -> Iterator[Violation]:
    """Each live answer is of a generation that was live meanwhile; who asks later is told nothing older.

    The API may answer from the one before while it loads the next, but not after a rollback.
    """
    for through in ("search", "api"):
        asked = [a for a in record.answers if (a.tenant, a.through, a.as_of) == (tenant, through, None)]
        asked.sort(key=lambda answer: answer.began)
        ended: list[tuple[int, int]] = []  # when an answer was complete, and the reign that it was of
        for answer in asked:
            floor = max((reign for moment, reign in ended if moment < answer.began), default=0)
            possible = [n for n, r in enumerate(reigns) if n >= floor and _fits(reigns, n, answer)]
            if possible:
                ended.append((answer.ended, possible[0]))
                ended = _newest(ended, answer.began)
            else:
                yield Violation("went_back", f"{tenant} was told by {through} of {answer.generation}")


def _fits(reigns: list[Reign], number: int, answer: Answered) -> bool:
    reign = reigns[number]
    if reign.number != answer.generation or reign.since > answer.ended:
        return False
    if answer.through == "search":
        return reign.until > answer.began
    over = [r for r in reigns[number + 1 :] if r.kind == "rollback"]
    return not over or _end_of(reigns, over[0]) > answer.began


def _end_of(reigns: list[Reign], reign: Reign) -> int:
    """When the move that began a reign was surely over: the end of the reign before it."""
    return reigns[reigns.index(reign) - 1].until


def _newest(ended: list[tuple[int, int]], moment: int) -> list[tuple[int, int]]:
    """Only what can still matter: those not over yet, and the furthest of those that are."""
    over = sorted((entry for entry in ended if entry[0] < moment), key=lambda entry: entry[1])
    return over[-1:] + [entry for entry in ended if entry[0] >= moment]


def _end(truth: Truth) -> Iterator[Violation]:
    """When all was quiet, what is served is each source as it is."""
    for answer in truth.record.final:
        audited = truth.record.audited[answer.tenant, answer.generation]
        documents = labelled(answer, audited)
        if left := sorted(audited.positions.keys() & truth.record.removed.keys()):
            yield Violation("not_converged", f"{answer.tenant}: {left} in the end, which had been removed")
        for source in truth.record.present(answer.tenant):
            newest = truth.newest(answer.tenant, source)
            said = {key: d for (name, key), d in documents.items() if name == source}
            # What is served of a document that cannot be read depends on how it came to that.
            view = {key: d for key, d in newest.items() if d.readable or key in said}
            wrong = sorted(view.keys() ^ said.keys())
            wrong += [
                k for k in view.keys() & said.keys() if view[k].readable and difference(said[k], view[k])
            ]
            if wrong:
                yield Violation("not_converged", f"{answer.tenant}: {source} in the end: {wrong[:5]}")
