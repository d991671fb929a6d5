"""What went wrong before a call's time was up, or before the next attempt was refused: told, and chained."""

from __future__ import annotations

from dataclasses import dataclass

from gateway_client.errors import DeadlineExceeded, GatewayError, Refused


@dataclass(frozen=True, slots=True)
class LastFailure:
    """The last attempt of a call that failed, and the model that was asked."""

    error: GatewayError
    model: str

    def __str__(self) -> str:
        """Kind, status and model: none of the provider's words, which may hold what was asked."""
        status = getattr(self.error, "status", 0)
        return f"{kind_of(self.error)}{f' ({status})' if status else ''} of {self.model!r}"


def kind_of(error: GatewayError) -> str:
    """One word for an error, as calls' rows have it."""
    return getattr(error, "outcome", "") or getattr(error, "kind", "") or type(error).__name__


def name_last(error: GatewayError, last: LastFailure | None) -> None:
    """Have an error that ends a call name and chain what went wrong before, where it would hide that."""
    if last is None or error is last.error or not isinstance(error, (DeadlineExceeded, Refused)):
        return
    error.args = (f"{error}; before that: {last}",)
    error.__cause__ = last.error
