"""Everything that the gateway client can raise.

GatewayError
├── Refused                   nothing was sent: a budget, a queue, a switch or a breaker said no; has the wait
│   ├── BudgetExceeded        a budget's scope has no room for this call at its maximum
│   ├── CostCapExceeded       the call could cost more than its caller allows
│   ├── QueueFull             too many calls wait for this pool already
│   ├── Paused                an operator paused this tenant, lane, model or feature
│   └── BreakerOpen           the provider fails for this model; it is probed again later
├── InvalidCall               nothing was sent and nothing will be: the call must change
│   ├── UnknownTenant         the policy knows no such tenant
│   ├── InvalidCatalogue      the catalogue's file is malformed: a floating alias, an unpriced model, ...
│   ├── UnknownModel          the catalogue has no such model
│   ├── ModelNotApproved      the model is not approved in this environment
│   ├── ModelRetired          the model's retirement date has passed
│   ├── ContextTooLong        does not fit the model, nor an approved larger one
│   ├── UnsupportedRequest    the model or provider cannot do what is asked (tools, schema, ...)
│   ├── KeyMissing            the provider's key is not in the environment
│   └── IdempotencyConflict   the same idempotency key came with another body, or for another operation
├── CallFailed                something was sent, and there is no complete answer
│   ├── DeadlineExceeded      the whole call's time is up (also while it still waited for admission)
│   ├── ProviderError         the provider said no or broke: a classified failure
│   │   ├── Rejected          429 and the like: out of capacity
│   │   ├── Unreachable       no connection, bad TLS: nothing was sent
│   │   ├── Misdirected       the provider answered with a redirect, which is never followed
│   │   ├── MalformedResponse HTML, no JSON, too large: not an answer of this wire format
│   │   └── Truncated         the answer ended before its end
│   ├── Silent                no first token, or none for too long
│   ├── VersionMismatch       the provider answered with another version than the pinned one
│   ├── UnusableOutcome       a complete 200 that is no answer: empty, cut by length, refused, invalid JSON
│   └── UnknownOutcome        an earlier dispatch under this idempotency key may have been charged
├── StoreUnavailable          the ledger cannot be reached: nothing is sent without it
├── SchemaOutdated            the gateway's database is not of this program
├── InvalidBudget             a budget, pause or pool that cannot be
├── InvalidBill               a bill's line cannot be read
└── ClientClosed              the client was closed
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway_client.messages import Reply


class GatewayError(Exception):
    """The root of the room's errors."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Which limit said no, and how full it was. Amounts are in `unit`; times are seconds.

    `resets_at` is a Unix time, None where waiting for a reset does not help; `wait` is how long to wait before it
    is worth asking again, None where it never is.
    """

    kind: str
    scope: str
    unit: str = ""
    window: str = ""
    limit: int = 0
    used: int = 0
    held: int = 0
    needed: int = 0
    resets_at: float | None = None
    wait: float | None = None


class Refused(GatewayError):
    """Nothing was sent. `refusal` says which limit, how full, and how long to wait."""

    def __init__(self, message: str, refusal: Refusal) -> None:
        super().__init__(message)
        self.refusal = refusal

    @property
    def wait(self) -> float | None:
        """Seconds before it is worth asking again."""
        return self.refusal.wait


class BudgetExceeded(Refused):
    """A budget's scope has no room for this call at its maximum."""


class CostCapExceeded(Refused):
    """The call could cost more than its caller allows."""


class QueueFull(Refused):
    """Too many calls wait for this pool already."""


class Paused(Refused):
    """An operator paused this tenant, lane, model or feature."""


class BreakerOpen(Refused):
    """The provider fails for this model; it is probed again later. `__cause__` is this call's own last failure."""


class InvalidCall(GatewayError):
    """Nothing was sent and nothing will be: the call must change."""


class UnknownTenant(InvalidCall):
    """The policy knows no such tenant."""


class InvalidCatalogue(InvalidCall):
    """The catalogue's file is malformed: a floating alias, an unpriced model, an unknown fallback."""


class UnknownModel(InvalidCall):
    """The catalogue has no such model."""


class ModelNotApproved(InvalidCall):
    """The model is not approved in this environment."""


class ModelRetired(InvalidCall):
    """The model's retirement date has passed."""


class ContextTooLong(InvalidCall):
    """The request does not fit the model, nor an approved larger one."""


class UnsupportedRequest(InvalidCall):
    """The model or its provider cannot do what is asked."""


class KeyMissing(InvalidCall):
    """The provider's key is not in the environment."""


class IdempotencyConflict(InvalidCall):
    """The same idempotency key came with another body, or for another operation."""


class CallFailed(GatewayError):
    """Something was sent, and there is no complete answer."""


class DeadlineExceeded(CallFailed):
    """The whole call's time is up. `__cause__` is what failed before that, where something did."""


class ProviderError(CallFailed):
    """The provider said no or broke. `kind` is the classified failure, `status` HTTP's, 0 where there is none."""

    def __init__(self, message: str, *, kind: str = "", status: int = 0) -> None:
        super().__init__(message)
        self.kind = kind
        self.status = status


class Rejected(ProviderError):
    """Out of capacity: 429 and the like."""


class Unreachable(ProviderError):
    """No connection, or TLS that does not hold: nothing was sent."""


class Misdirected(ProviderError):
    """The provider answered with a redirect, which is never followed: a key goes to its own host only."""


class MalformedResponse(ProviderError):
    """Not an answer of this wire format: HTML, no JSON, too large."""


class Truncated(ProviderError):
    """The answer ended before its end."""


class Silent(CallFailed):
    """No first token within its limit, or none for too long after one."""


class VersionMismatch(CallFailed):
    """The provider answered with another version than the pinned one."""


class UnusableOutcome(CallFailed):
    """A complete 200 that is no answer. `outcome` names it, `reply` is what came."""

    def __init__(self, message: str, *, outcome: str, reply: Reply | None = None) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.reply = reply


class UnknownOutcome(CallFailed):
    """An earlier dispatch under this idempotency key may have been charged, and its reply is not known."""


class StoreUnavailable(GatewayError):
    """The ledger cannot be reached: nothing is sent without it."""


class SchemaOutdated(GatewayError):
    """The gateway's database is not of this program."""


class InvalidBudget(GatewayError):
    """A budget, pause or pool that cannot be."""


class InvalidBill(GatewayError):
    """A bill's line cannot be read."""


class ClientClosed(GatewayError):
    """The client was closed."""
