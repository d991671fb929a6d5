"""Every generation that was ever served, row for row against its source at its position."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

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
        if frozenset(audited.documents) != audited.listed:
            odd = sorted(frozenset(audited.documents) ^ audited.listed)
            yield Violation("torn_state", f"{what}: its index and its list differ in {odd[:3]}")
        for fault in broken_in(audited.documents):
            yield Violation("invariant", f"{what}: {fault}")
        if not set(audited.positions) <= set(truth.record.sources[audited.tenant]):
            yield Violation("untruthful", f"{what} names sources {sorted(audited.positions)}")
        for source, position in audited.positions.items():
            yield from _against_source(truth, audited, source, position, what)


def broken_in(documents: Documents) -> list[str]:
    """What does not hold of the documents of a source, source by source: each says its state in its text."""
    found: dict[str, dict[str, str]] = {}
    for (source, key), served in documents.items():
        said = [state for text in served.texts if (state := state_of_text(text)) is not None]
        found.setdefault(source, {})[key] = said[0] if said else "nothing 0"
    return [fault for states in found.values() for fault in broken(states)]


def difference(served: Served, expected: Expected) -> str:
    """In what a document is not the row: a field's name, or nothing."""
    for name in ("title", "uri", "metadata"):
        if getattr(served, name) != getattr(expected, name):
            return f"{name} is {getattr(served, name)!r}, not {getattr(expected, name)!r}"
    if served.stale:
        return "it is marked stale"
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
    yield from _rows(truth, audited.tenant, source, commit, served, f"{what} at {source} {position}")
    for key, document in served.items():
        yield from _version(truth, audited.tenant, source, key, document, commit, what)
    yield from _quiet(truth, audited, source, commit, what)
    yield from _accidents(truth, audited, source, commit, what)


def _rows(
    truth: Truth, tenant: str, source: str, commit: int, served: Mapping[str, Served], what: str
) -> Iterator[Violation]:
    view = truth.timeline(tenant, source).views[commit]
    for key in sorted(view.keys() - served.keys()):
        yield Violation("torn_state", f"{what} lacks {key}")
    for key in sorted(served.keys() - view.keys()):
        elsewhere = truth.is_anothers(tenant, source, key, commit)
        yield Violation("foreign" if elsewhere else "torn_state", f"{what} has {key}")
    for key in sorted(view.keys() & served.keys()):
        if odd := difference(served[key], view[key]):
            yield Violation("torn_state", f"{what}: {key}: {odd}")


def _version(
    truth: Truth, tenant: str, source: str, key: str, served: Served, pinned: int, what: str
) -> Iterator[Violation]:
    """The position that a document's version names is one at which the row was as served, and not later."""
    commit = truth.logs[source].commit(served.position) if isinstance(served.position, str) else None
    if commit is None or commit > pinned:
        yield Violation("untruthful", f"{what}: {key} is said to be of {served.position}")
        return
    row = truth.timeline(tenant, source).views[commit].get(key)
    if row is None or difference(served, row):
        yield Violation("untruthful", f"{what}: {key} was not so at {served.position}")


def _quiet(truth: Truth, audited: Audited, source: str, pinned: int, what: str) -> Iterator[Violation]:
    """Where the writer sets the source's clock: nothing of the tenant followed within the window."""
    if not audited.quiescent:
        return
    log = truth.logs[source]
    index = log.indices[pinned]
    own, since = log.history.of_tenant(index, audited.tenant), log.history.commits[index].at
    for number in range(index + 1, len(log.history.commits)):
        at = log.history.commits[number].at
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
        allowed = accident.confirmed is not None and (published is None or accident.confirmed[0] < published)
        if within and not allowed:
            yield Violation("mass_deletion", f"{what} was published within an unconfirmed mass deletion")
