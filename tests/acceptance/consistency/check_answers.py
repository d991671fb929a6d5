"""Every answer: its generation minus what was deleted since, for some state that the log was in meanwhile."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product

from tests.acceptance.consistency.check_generations import broken_in
from tests.acceptance.consistency.record import Answered, Audited, Documents, name_of
from tests.acceptance.consistency.truth import Accident, Truth
from tests.acceptance.consistency.violations import Violation


@dataclass(frozen=True, slots=True)
class Possible:
    """What may have been hidden of one source while an answer was given, from the least to the most."""

    states: tuple[frozenset[str], ...]

    @property
    def least(self) -> frozenset[str]:
        return frozenset.intersection(*self.states)

    @property
    def most(self) -> frozenset[str]:
        return frozenset.union(*self.states)


def check_answers(truth: Truth) -> Iterator[Violation]:
    """All answers against the generations that they name."""
    captured = _Captured(truth)
    for answer in truth.record.answers:
        what = f"an answer to {answer.tenant} from generation {answer.generation}"
        what += "" if answer.as_of is None else " (as of)"
        erased = truth.record.erased.get(answer.tenant)
        if erased is not None and erased.ended < answer.began:
            yield Violation("erased_served", f"{what}, which had been erased")
            continue
        audited = truth.record.audited.get((answer.tenant, answer.generation))
        if audited is None and erased is not None and erased.began < answer.ended:
            continue  # gone before anybody could read it
        yield from _names(answer, audited, what)
        if audited is None:
            continue
        for fault in broken_in(answer.documents):
            yield Violation("invariant", f"{what}: {fault}")
        possible = {
            source: _possible(truth, captured, answer, audited, source) for source in audited.positions
        }
        for source, may_be in possible.items():
            yield from _of_source(truth, answer, audited, source, may_be, what)
        yield from _count(answer, possible, what)


def _names(answer: Answered, audited: Audited | None, what: str) -> Iterator[Violation]:
    if answer.named != answer.tenant:
        yield Violation("untruthful", f"{what} names tenant {answer.named}")
    if answer.as_of is not None and answer.as_of != answer.generation:
        yield Violation("untruthful", f"{what} was asked as of {answer.as_of}")
    if audited is None:
        yield Violation("untruthful", f"{what}, which was never published")
        return
    positions = {name_of(label): position for label, position in audited.positions.items()}
    if answer.positions != positions or answer.quiescent != audited.quiescent:
        yield Violation("untruthful", f"{what} names {answer.positions}, not {positions}")


def labelled(answer: Answered, audited: Audited) -> Documents:
    """An answer's documents by the labels of its generation's sources."""
    labels = {name_of(label): label for label in audited.positions}
    return {(labels.get(name, name), key): served for (name, key), served in answer.documents.items()}


class _Captured:
    """How far each source's log had certainly been read by a moment."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._looks: dict[str, list[tuple[int, int]]] = {source: [] for source in truth.logs}
        for look in sorted(truth.record.captures, key=lambda look: look.ended):
            looks = self._looks[look.source]
            known = truth.logs[look.source].history.ended_before(look.began)
            looks.append((look.ended, max(known, looks[-1][1] if looks else -1)))

    def least(self, source: str, moment: int) -> int:
        """The newest transaction that a look had found which ended before."""
        found = -1
        for ended, known in reversed(self._looks[source]):
            if ended < moment:
                found = known
                break
        return found


def _possible(truth: Truth, captured: _Captured, answer: Answered, audited: Audited, source: str) -> Possible:
    log = truth.logs[source]
    pinned = log.commit(audited.positions[source])
    if pinned is None:  # said where generations are checked
        return Possible((frozenset(),))
    timeline = truth.timeline(answer.tenant, source)
    known = captured.least(source, answer.began)
    first = pinned if known < 0 else max(pinned, log.at_least(known) or 0)
    last = max(first, log.at_most(log.history.begun_before(answer.ended)))
    decided = list(_decided(truth.accidents(answer.tenant, source), answer))
    found = [
        timeline.hidden(pinned, reached, confirmed)
        for reached in range(first, last + 1)
        for confirmed in decided
    ]
    removed, whole = truth.record.removed.get(source), frozenset(timeline.views[pinned])
    if removed is not None and removed.ended < answer.began:
        found = [whole]
    elif removed is not None and removed.began < answer.ended:
        found.append(whole)
    return Possible(tuple(dict.fromkeys(found)))


def _decided(accidents: list[Accident], answer: Answered) -> Iterator[frozenset[int]]:
    """Which accidents may have counted as confirmed while the answer was given."""
    open_ = [
        [accident.confirmed is not None and accident.confirmed[0] < answer.ended]
        if accident.confirmed is None or accident.confirmed[1] < answer.began
        else [False, accident.confirmed[0] < answer.ended]
        for accident in accidents
    ]
    for choice in dict.fromkeys(product(*open_)):
        yield frozenset(a.commit for a, counts in zip(accidents, choice, strict=True) if counts)


def _of_source(
    truth: Truth, answer: Answered, audited: Audited, source: str, possible: Possible, what: str
) -> Iterator[Violation]:
    documents = labelled(answer, audited)
    said = {key: document for (name, key), document in documents.items() if name == source}
    whole = {key: document for (name, key), document in audited.documents.items() if name == source}
    for key in said.keys() - whole.keys():
        yield Violation("mixed", f"{what} has {key}, which is none of its documents")
    for key in said.keys() & whole.keys():
        if said[key] != whole[key]:
            yield Violation("mixed", f"{what}: {key} is not as its generation has it")
    served_though = _sorted(said.keys() & possible.least)
    removed = truth.record.removed.get(source)
    if served_though and removed is not None and removed.ended < answer.began:
        yield Violation("removed_served", f"{what} has {served_though}, whose source had been removed")
    elif served_though:
        yield Violation("deleted_served", f"{what} has {served_though}, whose deletion was captured before")
    lacking = _sorted(whole.keys() - said.keys() - possible.most)
    if refused := _sorted(truth.refused(answer.tenant, source).intersection(lacking)):
        yield Violation("rejection_ignored", f"{what} lacks {refused}, whose deletion was rejected")
    elif lacking:
        yield Violation("missing", f"{what} lacks {lacking}, which nothing had deleted")
    hidden = whole.keys() - said.keys()
    if not served_though and not lacking and all(hidden != h & whole.keys() for h in possible.states):
        yield Violation("torn_hiding", f"{what} hides {_sorted(hidden)}, a part of what had been deleted")


def _sorted(keys: frozenset[str] | set[str]) -> list[str]:
    return sorted(keys)


def _count(answer: Answered, possible: Mapping[str, Possible], what: str) -> Iterator[Violation]:
    choices = [{len(hidden) for hidden in may_be.states} for may_be in possible.values()]
    if answer.hidden_since not in {sum(counts) for counts in product(*choices)}:
        yield Violation("hidden_count", f"{what} says that {answer.hidden_since} are hidden, not {choices}")
