"""Pages as the writers know them: what a row says, and how a transaction changes the rows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

_STATE = re.compile(r"State of this page: ([a-z]+ \d+)\.")
WORD = "everywhere"  # in every page, so that one query asks for all of them


@dataclass(frozen=True, slots=True)
class Page:
    """One row. `state` is what the invariants read, `facts` how many sentences make the text long.

    `mark` is the key under which the page was written first: a rename changes nothing in the text.
    """

    tenant: str
    key: str
    mark: str
    state: str
    title: str
    rev: int = 0
    facts: int = 1

    @property
    def body(self) -> str:
        """One paragraph; no two pages have a sentence in common."""
        mark = re.sub(r"\W", "x", self.mark)
        sentences = [f"State of this page: {self.state}.", f"It is found {WORD} as {mark}."]
        sentences += [
            f"Fact {n} of {mark} was written for {self.state} and holds {WORD}." for n in range(self.facts)
        ]
        return " ".join(sentences)

    @property
    def url(self) -> str:
        return f"https://wiki.example.org/{self.key}"

    def edited(self, state: str) -> Page:
        """The page with another state, and one fact more or less."""
        return replace(self, state=state, facts=1 + (self.facts + len(state)) % 5)


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


Op = Put | Drop | Rename
State = Mapping[str, Page]


def applied(state: State, ops: Iterable[Op]) -> dict[str, Page]:
    """The rows after a transaction."""
    after = dict(state)
    for op in ops:
        if isinstance(op, Drop):
            after.pop(op.key, None)
        else:
            if isinstance(op, Rename):
                after.pop(op.old, None)
            after[op.page.key] = op.page
    return after


def state_of_text(text: str) -> str | None:
    """The state that a served text says; None where this part of the text does not say it."""
    found = _STATE.search(text)
    return found[1] if found else None
