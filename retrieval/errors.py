"""Everything that retrieval can raise.

RetrievalError
├── IndexUnavailable       no such generation on disk (or it was removed meanwhile)
├── IndexCorrupt           a generation's files or contents do not match their digests
├── DiskFull               no room on the disk of the index: nothing was sealed
├── GenerationExists       a generation of that number was sealed before
├── ModelMismatch          built with another embedding model, or weights changed under the same name
├── EncoderUnavailable     an embedding model cannot be loaded
├── DimensionMismatch      a vector has another length than the index
├── InvalidQuery           a query that cannot be asked: empty, too long, k out of range, a bad filter
├── NothingPublished       the tenant has no generation yet
├── GenerationNotServed    `as_of` names a generation that is neither live nor retained
└── FloorUnmet             the hits are below the result floor and the contract says to refuse
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from retrieval.search.query import Answer


class RetrievalError(Exception):
    """The root of the room's errors."""


class IndexUnavailable(RetrievalError):
    """No such generation on disk, or it was removed meanwhile."""


class IndexCorrupt(RetrievalError):
    """A generation's files or contents do not match their digests. It must not answer a query."""


class DiskFull(RetrievalError):
    """The disk of the index has no room for what is being built. Nothing was sealed."""


class GenerationExists(RetrievalError):
    """A generation of that number was sealed before. Numbers are never reused."""


class ModelMismatch(RetrievalError):
    """Two embedding models where there must be one."""

    def __init__(self, subject: str, built_with: str, asked_for: str) -> None:
        super().__init__(
            f"{subject} was built with the embedding model {built_with!r}, not with {asked_for!r}: "
            "a model swap needs a new, full generation"
        )
        self.built_with = built_with
        self.asked_for = asked_for


class EncoderUnavailable(RetrievalError):
    """An embedding model cannot be loaded."""


class DimensionMismatch(RetrievalError):
    """A vector has another length than the index."""

    def __init__(self, subject: str, expected: int, got: int) -> None:
        super().__init__(f"{subject} has {got} dimensions where the index has {expected}")
        self.expected = expected
        self.got = got


class InvalidQuery(RetrievalError):
    """A query that cannot be asked."""


class NothingPublished(RetrievalError):
    """The tenant has no generation yet."""


class GenerationNotServed(RetrievalError):
    """`as_of` names a generation that is neither live nor retained."""


class FloorUnmet(RetrievalError):
    """The hits are below the result floor and the contract says to refuse. `answer` says by how much."""

    def __init__(self, answer: Answer) -> None:
        floor = answer.floor
        super().__init__(
            f"no answer: the best hit's cosine is {floor.best_cosine} (floor {floor.cosine_floor}) and there are "
            f"{floor.lexical_hits} lexical hits (floor {floor.lexical_floor})"
        )
        self.answer = answer
