"""What is asked of the ledger and what it answers: plain values, no rows."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from gateway_client.errors import Refusal
from gateway_client.messages import Usage


def new_id() -> str:
    """An id for a call, an attempt or a worker."""
    return uuid.uuid4().hex


@dataclass(frozen=True, slots=True)
class CallRow:
    """A call as it begins. `key` is its idempotency key; the fingerprint is that of its body."""

    id: str
    worker: str
    tenant: str
    lane: str
    feature: str
    run: str
    model: str
    fingerprint: str
    key: str | None = None
    record: str = "{}"


@dataclass(frozen=True, slots=True)
class Ask:
    """A wish to send one attempt. Tokens and micro-dollars are the most that it can come to.

    It may wait for `patience` seconds. `most` caps what all attempts of the call may cost together (micro-dollars).
    `begins` is the call's row where this is its first attempt and no claim has written it.
    """

    id: str
    call: str
    number: int
    worker: str
    pool: str
    lane: str
    tenant: str
    feature: str
    run: str
    provider: str
    model: str
    input_tokens: int
    max_output: int
    microdollars: int
    patience: float
    most: int | None = None
    begins: CallRow | None = None

    @property
    def tokens(self) -> int:
        """Tokens to hold."""
        return self.input_tokens + self.max_output

    @property
    def breaker(self) -> str:
        """The breaker that it falls under."""
        return f"{self.provider}/{self.model}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of an ask: granted, refused, or (neither) still waiting. `queued`: it has a row.

    `sends` counts its grants, so that word of an earlier one is not taken for the next.
    """

    granted: bool = False
    refusal: Refusal | None = None
    queued: bool = False
    sends: int = 0

    @property
    def waiting(self) -> bool:
        """Whether it is in the queue."""
        return not self.granted and self.refusal is None


@dataclass(frozen=True, slots=True)
class Effect:
    """What an outcome teaches the pool: `kind` is answered, rejected, failed, not_sent or nothing."""

    kind: str
    seconds: float = 0.0
    retry_after: float | None = None
    limits: dict[str, tuple[int, int, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Settlement:
    """The end of an attempt. `state` is settled (charged `usage` and `cost`), released or unknown (the whole hold)."""

    state: str
    effect: Effect
    outcome: str = ""
    usage: Usage | None = None
    cost: int = 0
    provider_request: str = ""


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of a call: what its record says, and the reply to keep until `expires` (Unix time).

    `begins` is its row, for a call whose admission may never have written it. `worker` is whose call must have failed
    (empty: anybody's): a dispatcher that was taken for dead may still answer its call, and no longer fail it.
    """

    call: str
    state: str
    outcome: str
    answered_by: str = ""
    reported: str = ""
    reply: bytes | None = None
    expires: float | None = None
    record: str = "{}"
    begins: CallRow | None = None
    worker: str = ""


@dataclass(slots=True)
class Notices:
    """What a transaction did to attempts of this and other processes, to be told once it is committed.

    `answers` maps a worker to its attempts that were granted or refused; `again` are pools with more to do at once;
    `next_in` maps a pool to the seconds after which it is worth another look.
    """

    answers: dict[str, dict[str, Answer]] = field(default_factory=dict)
    again: set[str] = field(default_factory=set)
    next_in: dict[str, float] = field(default_factory=dict)

    def tell(self, worker: str, attempt: str, answer: Answer) -> None:
        """An attempt of this worker was granted or refused."""
        self.answers.setdefault(worker, {})[attempt] = answer

    def look_in(self, pool: str, seconds: float) -> None:
        """Something may happen in this pool then."""
        self.next_in[pool] = min(seconds, self.next_in.get(pool, seconds))
