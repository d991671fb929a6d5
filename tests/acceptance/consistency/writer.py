"""What a kind of source has to give to be written to by the checker, and how its pages come out served."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tests.acceptance.consistency.history import History
from tests.acceptance.consistency.pages import Op, Page


@dataclass(frozen=True, slots=True)
class Expected:
    """A page as Holdfast must serve it: its key, its chunks' common heading, and the text under it.

    One that is not `readable` is not served as it is. `stale`: its deletion was refused, so it stays as it was.
    """

    document: str
    title: str
    heading: str
    uri: str
    metadata: Mapping[str, Any]
    text: str
    readable: bool = True
    stale: bool = False


class Writer(Protocol):
    """Writes one source and keeps its history. Safe to share between threads."""

    kind: str
    transactional: bool  # each transaction is a commit of its own to whoever captures
    history: History

    @property
    def uri(self) -> str:
        """What `source add` is given."""
        ...

    @property
    def options(self) -> Mapping[str, str]:
        """And its options."""
        ...

    def commit(self, ops: Sequence[Op], accidents: frozenset[str] = frozenset()) -> None:
        """One transaction."""
        ...

    def expected(self, page: Page) -> Expected:
        """The page as it is to be served."""
        ...

    def close(self) -> None:
        """Give connections back."""
        ...
