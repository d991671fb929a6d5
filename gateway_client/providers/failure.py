"""What a provider's refusal to answer means for the call: its class, whatever the wire format."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from gateway_client.errors import MalformedResponse, Misdirected, ProviderError, Rejected


class FailureKind(StrEnum):
    """The class of a failure."""

    RATE_LIMITED = "rate_limited"  # out of our capacity: feeds the gate and the window, costs nothing
    OVERLOADED = "overloaded"  # out of the provider's capacity
    SERVER_ERROR = "server_error"
    BAD_REQUEST = "bad_request"
    CONTEXT_OVERFLOW = "context_overflow"
    CONTENT_POLICY = "content_policy"
    AUTHENTICATION = "authentication"
    PERMISSION = "permission"
    QUOTA = "quota"  # out of credit: only a person can help
    NOT_FOUND = "not_found"
    TOO_LARGE = "too_large"
    REDIRECT = "redirect"  # never followed: the request carries a key
    MALFORMED = "malformed"  # a 200 that is not this wire format: HTML, no JSON, nothing

    @property
    def retryable(self) -> bool:
        """Whether the same request to the same model may succeed later."""
        return self in _TRANSIENT

    @property
    def fails_over(self) -> bool:
        """Whether another model may answer what this one did not. A content policy never is worked around."""
        return self in _TRANSIENT or self is FailureKind.CONTEXT_OVERFLOW

    @property
    def trips_breaker(self) -> bool:
        """Whether it says that the provider is unwell; being rejected for capacity does not."""
        return self in _TRANSIENT and self is not FailureKind.RATE_LIMITED


_TRANSIENT = (
    FailureKind.RATE_LIMITED,
    FailureKind.OVERLOADED,
    FailureKind.SERVER_ERROR,
    FailureKind.MALFORMED,
)
_ERRORS = {
    FailureKind.RATE_LIMITED: Rejected,
    FailureKind.OVERLOADED: ProviderError,
    FailureKind.REDIRECT: Misdirected,
    FailureKind.MALFORMED: MalformedResponse,
}


@dataclass(frozen=True, slots=True)
class ProviderFailure:
    """A classified failure. `message` is the provider's own words, shortened; `code` its code or type."""

    kind: FailureKind
    status: int
    message: str
    code: str = ""
    provider: str = ""

    @property
    def free(self) -> bool:
        """Whether the provider certainly charges nothing: it said no before it began. Not so for a 5xx, a
        timeout of its own, or an error inside a stream."""
        return 300 <= self.status < 500 and self.status != 408

    def error(self) -> ProviderError:
        """The failure as the exception to raise."""
        told = f"{self.provider or 'the provider'} answered {self.status or 'in its stream'}"
        named = f" ({self.code})" if self.code else ""
        return _ERRORS.get(self.kind, ProviderError)(
            f"{told}{named}, {self.kind.value.replace('_', ' ')}: {self.message or 'no message'}",
            kind=self.kind.value,
            status=self.status,
        )
