"""Every generation that was ever served, row for row against its source at its position."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from tests.acceptance.consistency.invariants import broken
from tests.acceptance.consistency.pages import state_of_text
from tests.acceptance.consistency.record import Audited, Documents, Served
from tests.acceptance.consistency.truth import Truth
from tests.acceptance.consistency.violations import Violation
from tests.acceptance.consistency.writer import Expected


def check_generations(truth: Truth) -> Iterator[Violation]:
    """Content, invariants, versions' positions, and no mass deletion that nobody confirmed."""
    for audited in truth.record.audited.values():
        what = f"generation {audited.number} of {audited.tenant}"
        if odd := sorted(audited.documents.keys() - audited.listed):
            yield Violation("torn_state", f"{what}: its index has what its list has not: {odd[:3]}")
        for fault in broken_in(audited.documents):
            yield Violation("invariant", f"{what}: {fault}")
        if not set(audited.positions) <= set(truth.record.sources[audited.tenant]):
            yield Violation("untruthful", f"{what} names sources {sorted(audited.positions)}")
        for source, position in audited.positions.items():
            yield from _against_source(truth, audited, source, position, what)
    for tenant, served in truth.record.again.items():
        if served is None:
            yield Violation("torn_state", f"the namesake of {tenant} has nothing")
            continue
        for source, position in served.positions.items():
            what = f"the namesake of {tenant} at {source} {position}"
            yield from _namesake(truth, served, source, position, what)


def broken_in(documents: Documents) -> list[str]:
    """What does not hold of the documents of a source, source by source: each says its state in its text."""
    found: dict[str, dict[str, str]] = {}
    for (source, key), served in documents.items():
        said = [state for text in served.texts if (state := state_of_text(text)) is not None]
        found.setdefault(source, {})[key] = said[0] if said else "nothing 0"
    return [fault for states in found.values() for fault in broken(states)]


def difference(served: Served, expected: Expected) -> str:
    """In what a document is not the row: a field's name, or nothing. Whether it is marked stale is no matter."""
    for name in ("title", "uri", "metadata"):
        if getattr(served, name) != getattr(expected, name):
            return f"{name} is {getattr(served, name)!r}, not {getattr(expected, name)!r}"
    heading = f"{expected.heading}\n\n" if expected.heading else ""
    parts = [text.removeprefix(heading) for text in served.texts]
    if not all(text.startswith(heading) for text in served.texts):
        return "a chunk has another heading"
    # Chunks come in no order: they are the text if the text can be taken apart into them.
    return "" if _composes(expected.text, parts) else f"its text is {' | '.join(parts)!r}"


def _composes(text: str, parts: list[str]) -> bool:
    """Whether the parts, in some order and with a space between, are the text. No part occurs twice in one."""
    ordered = sorted(parts, key=text.find)
    return " ".join(ordered) == text


def _against_source(
    truth: Truth, audited: Audited, source: str, position: str, what: str
) -> Iterator[Violation]:
    log = truth.logs[source]
    commit = log.commit(position)
    if commit is None:
        yield Violation("untruthful", f"{what} names {source} at {position}, where it never was")
        return
    served = {key: document for (name, key), document in audited.documents.items() if name == source}
    at = f"{what} at {source} {position}"
    yield from _rows(truth, audited, source, commit, served, at)
    for key, document in served.items():
        yield from _version(truth, audited.tenant, source, key, document, commit, at)
    yield from _quiet(truth, audited, source, commit, what)
    yield from _accidents(truth, audited, source, commit, what)


def _rows(
    truth: Truth, audited: Audited, source: str, commit: int, served: Mapping[str, Served], what: str
) -> Iterator[Violation]:
    view = truth.timeline(audited.tenant, source).views[commit]
    refused = truth.refused(audited.tenant, source)
    for key in sorted(served.keys() - view.keys()):
        elsewhere = truth.is_anothers(audited.tenant, source, key, commit)
        yield Violation("foreign" if elsewhere else "torn_state", f"{what} has {key}")
    for key, document in sorted(view.items()):
        if (source, key) not in audited.listed:
            kept = document.stale and key in refused
            yield Violation("rejection_ignored" if kept else "torn_state", f"{what} lacks {key}")
        elif not document.readable:
            yield from _unreadable(truth, audited, source, key, commit, f"{what}: {key}")
        elif key not in served:
            yield Violation("torn_state", f"{what} lists {key} and has nothing of it")
        elif odd := difference(served[key], document):
            yield Violation("torn_state", f"{what}: {key}: {odd}")
        elif served[key].stale != document.stale:
            yield Violation("stale_mark", f"{what}: {key} is {'not ' * document.stale}marked stale")


def _unreadable(
    truth: Truth, audited: Audited, source: str, key: str, commit: int, what: str
) -> Iterator[Violation]:
    """A document that cannot be read: its last good version stays, marked; without one there is nothing."""
    good, served = truth.last_good(audited, source, key, commit), audited.documents.get((source, key))
    if served is None:
        if good.kept is not None:
            yield Violation("not_last_good", f"{what} cannot be read, and its last good version is gone")
        return
    if not served.stale:
        yield Violation("stale_mark", f"{what} cannot be read, and is served as if it were current")
    of = truth.logs[source].commit(served.position) if isinstance(served.position, str) else None
    if of is not None and not good.since <= of <= commit:
        yield Violation("not_last_good", f"{what} is of {served.position}, not the last good one")
    if (
        good.kept is not None
        and of == good.since
        and replace(served, stale=True) != replace(good.kept, stale=True)
    ):
        yield Violation("not_last_good", f"{what} is not as it was served before")


def _namesake(truth: Truth, audited: Audited, source: str, position: str, what: str) -> Iterator[Violation]:
    """Who has an erased tenant's name has what the source says of that name, whenever it said so."""
    log = truth.logs[source]
    commit = log.commit(position)
    if commit is None:
        yield Violation("untruthful", f"{what}: it never was there")
        return
    view = truth.view(log.writer, log.indices[commit], audited.tenant)
    served = {key: document for (name, key), document in audited.documents.items() if name == source}
    wrong = sorted({key for key, document in view.items() if document.readable} ^ served.keys())
    wrong += [key for key in sorted(view.keys() & served.keys()) if difference(served[key], view[key])]
    if wrong:
        yield Violation("torn_state", f"{what}: {wrong[:5]}")


def _version(
    truth: Truth, tenant: str, source: str, key: str, served: Served, pinned: int, what: str
) -> Iterator[Violation]:
    """The position that a document's version names is one at which the row was as served, and not later."""
    commit = truth.logs[source].commit(served.position) if isinstance(served.position, str) else None
    if commit is None or commit > pinned:
        yield Violation("untruthful", f"{what}: {key} is said to be of {served.position}")
        return
    row = truth.timeline(tenant, source).views[commit].get(key)
    if row is None or not row.readable or difference(served, row):
        yield Violation("untruthful", f"{what}: {key} was not so at {served.position}")


def _quiet(truth: Truth, audited: Audited, source: str, pinned: int, what: str) -> Iterator[Violation]:
    """Where the writer sets the source's clock: nothing of the tenant followed within the window."""
    if not audited.quiescent:
        return
    log = truth.logs[source]
    index = log.indices[pinned]
    own, since = log.history.of_tenant(index, audited.tenant), log.history.commits[index].at
    for number in range(index + 1, len(log.history.commits)):
        at = log.history.commits[number].visible
        if at is None or since is None or at - since >= truth.record.quiescence:
            return
        if log.history.of_tenant(number, audited.tenant) != own:
            yield Violation("not_quiet", f"{what}: the writer of {source} went on after {at - since} s")
            return


def _accidents(truth: Truth, audited: Audited, source: str, pinned: int, what: str) -> Iterator[Violation]:
    published = min(
        (
            move.ended
            for move in truth.record.moves
            if (move.tenant, move.number) == (audited.tenant, audited.number)
        ),
        default=None,
    )
    for accident in truth.accidents(audited.tenant, source):
        within = accident.commit <= pinned and (accident.mended is None or pinned < accident.mended)
        if within and not accident.decided_before(published):
            yield Violation("mass_deletion", f"{what} was published within an undecided mass deletion")
