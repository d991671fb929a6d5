"""From a status, a code and a message to the class of a failure: what both wire formats share."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from gateway_client.providers.failure import FailureKind
from gateway_client.providers.wire import mapping

_OVERFLOW = re.compile(
    r"context[ _-]?(length|window|size)|maximum context|prompt is too long|too many (input )?tokens"
    r"|input (is )?(length|too long)|exceeds? (the )?(max(imum)?|model'?s?) .{0,30}tokens",
    re.IGNORECASE,
)
_POLICY = re.compile(r"content[ _-](policy|filter|management)|safety system|usage polic", re.IGNORECASE)
_BY_STATUS = {
    401: FailureKind.AUTHENTICATION,
    402: FailureKind.QUOTA,
    403: FailureKind.PERMISSION,
    404: FailureKind.NOT_FOUND,
    408: FailureKind.SERVER_ERROR,
    409: FailureKind.OVERLOADED,
    413: FailureKind.TOO_LARGE,
    425: FailureKind.OVERLOADED,
    429: FailureKind.RATE_LIMITED,
    503: FailureKind.OVERLOADED,
    529: FailureKind.OVERLOADED,
}


def error_body(body: bytes) -> Mapping[str, Any]:
    """The JSON object of a failure's body; empty for HTML, nothing, or anything else."""
    try:
        return mapping(json.loads(body))
    except (ValueError, RecursionError):
        return {}


def by_status(status: int) -> FailureKind:
    """What a status means when nothing else is known."""
    if 300 <= status < 400:
        return FailureKind.REDIRECT
    if status < 300:
        return FailureKind.MALFORMED
    known = _BY_STATUS.get(status)
    if known is not None:
        return known
    return FailureKind.SERVER_ERROR if status >= 500 else FailureKind.BAD_REQUEST


def refined(kind: FailureKind, codes: tuple[str, ...], message: str) -> FailureKind:
    """A refused request, looked at more closely: too long for the context, or against a policy.

    Codes are believed before words are.
    """
    if kind not in (FailureKind.BAD_REQUEST, FailureKind.PERMISSION, FailureKind.TOO_LARGE):
        return kind
    told = " ".join(codes)
    for text in (told, message):
        if _POLICY.search(text):
            return FailureKind.CONTENT_POLICY
        if _OVERFLOW.search(text) and kind is not FailureKind.PERMISSION:
            return FailureKind.CONTEXT_OVERFLOW
    return kind
