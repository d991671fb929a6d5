"""What can be wrong, by the name under which a mutant is to be caught."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "torn_state",  # a generation is not its source at its position, row for row
    "invariant",  # what holds of every state of the source does not hold of what was served
    "deleted_served",  # a document was served although its deletion had been captured
    "missing",  # a document was hidden although nothing had deleted it
    "torn_hiding",  # what was hidden is none of the states that the change log went through
    "hidden_count",  # `hidden_since` is not the number of documents that were hidden
    "mixed",  # an answer has what its generation has not
    "foreign",  # a tenant was served what is another's
    "untruthful",  # a generation, position, tenant or version is not what it is said to be
    "went_back",  # a position went back without a rollback, or a rollback was not obeyed or not recorded
    "lost_commit",  # a look at the source ended well, and a transaction before it is not in the change log
    "not_quiet",  # a position is called a quiet point, and the writer went on within the window
    "mass_deletion",  # a mass deletion took effect although nobody confirmed it
    "rejection_ignored",  # what a person refused to delete is gone
    "stale_mark",  # a document is served as current that is not, or marked stale though it is
    "not_last_good",  # of a document that nobody can read, something else is served than its last good version
    "removed_served",  # a document of a source that had been removed is served
    "erased_served",  # an erased tenant is served, or something is published for it
    "not_converged",  # when all was quiet the newest state of the source was not served
]


@dataclass(frozen=True, slots=True)
class Violation:
    """One of them, and where."""

    kind: Kind
    what: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.what}"
