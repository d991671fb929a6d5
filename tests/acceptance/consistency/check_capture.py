"""The change log against the histories: no transaction lost, none invented, each its own where it can be."""

from __future__ import annotations

from collections.abc import Iterator

from tests.acceptance.consistency.truth import Logged, Truth
from tests.acceptance.consistency.violations import Violation


def check_capture(truth: Truth) -> Iterator[Violation]:
    """Every look that ended well found all that had been committed before it began."""
    for source, log in truth.logs.items():
        for position in log.unknown:
            yield Violation("untruthful", f"{source} was never at position {position}")
        if log.indices != sorted(log.indices):
            yield Violation("went_back", f"the change log of {source} goes back")
        yield from _lost(truth, source, log)
        if log.writer.transactional:
            yield from _merged(source, log)


def _lost(truth: Truth, source: str, log: Logged) -> Iterator[Violation]:
    for look in truth.record.captures:
        known = log.history.ended_before(look.began) if look.source == source else -1
        if known >= 0 and log.at_least(known) is None:
            yield Violation("lost_commit", f"{source}: a look ended well without transaction {known}")


def _merged(source: str, log: Logged) -> Iterator[Violation]:
    """Transactions that changed something between the first registered commit and the last, and are none."""
    if not log.indices:
        return
    registered = set(log.indices)
    for index in range(log.indices[0] + 1, log.indices[-1]):
        if index not in registered and log.differs(index - 1, index):
            yield Violation("lost_commit", f"{source}: transaction {index} is no commit of the change log")
