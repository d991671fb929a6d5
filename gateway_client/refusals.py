"""From a refusal to the exception that tells it: which scope, limit, used, held, when it resets, how long to wait."""

from __future__ import annotations

from datetime import UTC, datetime

from gateway_client.errors import (
    BreakerOpen,
    BudgetExceeded,
    CostCapExceeded,
    DeadlineExceeded,
    GatewayError,
    Paused,
    QueueFull,
    Refusal,
)


def error_of(refusal: Refusal) -> GatewayError:
    """The exception for a refusal."""
    if refusal.kind == "deadline":
        return DeadlineExceeded(
            f"the call's time was up while it waited ({refusal.scope}): nothing is being sent"
        )
    kinds = {
        "budget": (BudgetExceeded, _budget),
        "cost_cap": (CostCapExceeded, _cap),
        "queue": (QueueFull, _queue),
        "paused": (Paused, _paused),
        "breaker": (BreakerOpen, _breaker),
    }
    error, told = kinds[refusal.kind]
    return error(told(refusal) + _when(refusal), refusal)


def _budget(found: Refusal) -> str:
    window = f"{found.unit} per {found.window}" if found.window != "total" else f"{found.unit} in all"
    return (
        f"the budget of {found.scope} has no room: {found.limit} {window}, {found.used} used, {found.held} held, "
        f"{found.needed} needed at most"
    )


def _cap(found: Refusal) -> str:
    return (
        f"the call could cost {found.used + found.needed} micro-dollars ({found.used} so far), "
        f"its cap is {found.limit}: lower max_tokens or raise the cap"
    )


def _queue(found: Refusal) -> str:
    return f"the queue of {found.scope} is full: {found.used} of {found.limit} calls wait"


def _paused(found: Refusal) -> str:
    reason = f" ({found.unit})" if found.unit else ""
    kind, _, value = found.scope.partition("=")
    return f"{found.scope} is paused by an operator{reason}: `holdfast pause remove {kind} {value}` lets it go on"


def _breaker(found: Refusal) -> str:
    return f"the breaker of {found.scope} is open: the provider fails"


def _when(found: Refusal) -> str:
    resets = ""
    if found.resets_at is not None:
        resets = f"; resets at {datetime.fromtimestamp(found.resets_at, UTC):%Y-%m-%dT%H:%M:%SZ}"
    return resets + (f"; ask again in {found.wait:g} s" if found.wait is not None else "")
