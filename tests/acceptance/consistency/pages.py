"""Pages as the writers know them: what a row says, and how a transaction changes the rows."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

_STATE = re.compile(r"State of this page: ([a-z]+ \d+)\.")
UNREAD = "A title that nobody can read"
WORD = "everywhere"  # in every page, so that one query asks for all of them


@dataclass(frozen=True, slots=True)
class Page:
    """One row. `state` is what the invariants read, `facts` how many sentences make the text long.

    `mark` is the key under which the page was written first: a rename changes nothing in the text. A page at a
    `berth` has its address from there, which no two pages have. A `broken` one cannot be read by anybody.
    """

    tenant: str
    key: str
    mark: str
    state: str
    title: str
    rev: int = 0
    facts: int = 1
    berth: str = ""
    broken: bool = False

    @property
    def body(self) -> str:
        """One paragraph; no two pages have a sentence in common. Nothing but blanks where it is broken."""
        if self.broken:
            return _blanks(f"{self.mark} {self.state}")
        mark = re.sub(r"\W", "x", self.mark)
        sentences = [f"State of this page: {self.state}.", f"It is found {WORD} as {mark}."]
        sentences += [
            f"Fact {n} of {mark} was written for {self.state} and holds {WORD}." for n in range(self.facts)
        ]
        return " ".join(sentences)

    @property
    def url(self) -> str:
        return f"https://wiki.example.org/{self.berth or self.key}"

    def edited(self, state: str) -> Page:
        """The page with another state, and one fact more or less. What was broken is mended by that."""
        return replace(self, state=state, facts=1 + (self.facts + len(state)) % 5, broken=False)

    def spoiled(self, state: str) -> Page:
        """The page as nobody can read it."""
        return replace(self, state=state, broken=True)

    def unread(self) -> Page:
        """The page as its source cannot even give it, where it can have such: always the same."""
        return replace(self, state="text 0", title=UNREAD, rev=0, facts=1, broken=True)


@dataclass(frozen=True, slots=True)
class Put:
    """A row as it is from now on, whoever had it before."""

    page: Page


@dataclass(frozen=True, slots=True)
class Drop:
    """A row that is gone."""

    key: str


@dataclass(frozen=True, slots=True)
class Rename:
    """A row whose key changes; `page` is the row under its new key."""

    old: str
    page: Page


@dataclass(frozen=True, slots=True)
class Replace:
    """A row that takes over the unique address of another, which thereby is gone."""

    old: str
    page: Page


Op = Put | Drop | Rename | Replace
State = Mapping[str, Page]


def applied(state: State, ops: Iterable[Op]) -> dict[str, Page]:
    """The rows after a transaction."""
    after = dict(state)
    for op in ops:
        if isinstance(op, Drop):
            after.pop(op.key, None)
        else:
            if isinstance(op, Rename | Replace):
                after.pop(op.old, None)
            after[op.page.key] = op.page
    return after


def state_of_text(text: str) -> str | None:
    """The state that a served text says; None where this part of the text does not say it."""
    found = _STATE.search(text)
    return found[1] if found else None


def _blanks(told: str) -> str:
    """Blanks that are others for every text: two broken pages are no copies of one another."""
    digest = int.from_bytes(hashlib.sha256(told.encode()).digest()[:4], "big")
    return "".join(" \t"[digest >> bit & 1] for bit in range(32))
