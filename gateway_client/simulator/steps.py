"""What a simulated provider does with a connection, as data: so that every fault is a list that can be read."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Begin:
    """Status and headers. `whole` gives the body's length, without which it is sent in chunks."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    whole: int | None = None


@dataclass(frozen=True, slots=True)
class Send:
    """Bytes, `tokens` of which are of the answer, sent `times` times, with `every` seconds before each."""

    data: bytes
    tokens: int = 0
    times: int = 1
    every: float = 0.0


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing for so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Cut:
    """The connection closes, in the middle of whatever it was."""


@dataclass(frozen=True, slots=True)
class Reset:
    """The connection is reset (RST), in the middle of whatever it was."""


Step = Begin | Send | Wait | Cut | Reset
