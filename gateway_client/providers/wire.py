"""Reading JSON that a provider sent: it may be anything, so nothing is taken on trust."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import httpx

from gateway_client.errors import MalformedResponse

LONGEST_MESSAGE = 300
MOST_TOKENS = 10**9  # no answer has more; a larger count is a mistake that would fill every budget
_SECRET = re.compile(r"\b(sk|gsk|pk|rk|xai|pplx|hf|key|Bearer)(?:[-_]|[ ](?=\S*\d))[A-Za-z0-9_*.-]{6,}")
_QUOTATION = re.compile(r"(?<!\w)(['\"`])(?:(?!\1).){30,}?\1(?!\w)")


def malformed(message: str, status: int = 200) -> MalformedResponse:
    """The error for what is not this wire format."""
    return MalformedResponse(message, kind="malformed", status=status)


def body_of(response: httpx.Response) -> dict[str, Any]:
    """The JSON object of a response. Raises MalformedResponse: for HTML, for nothing, for a list."""
    if not response.content.strip():
        raise malformed("the provider answered 200 with an empty body", response.status_code)
    return json_object(response.content, response.headers.get("content-type", ""))


def json_object(data: bytes | str, content_type: str = "") -> dict[str, Any]:
    """One JSON object. Raises MalformedResponse."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as broken:
        told = f" ({content_type})" if content_type else ""
        raise malformed(f"the provider sent what is not JSON{told}") from broken
    if not isinstance(found, dict):
        raise malformed("the provider sent JSON that is no object")
    return found


def check_event_stream(headers: Mapping[str, str]) -> None:
    """Raises MalformedResponse if a response that should be a stream says that it is something else."""
    kind = headers.get("content-type", "").split(";")[0].strip().lower()
    if kind and kind != "text/event-stream":
        raise malformed(f"the provider answered {kind} where a stream of events was asked for")


def text(value: object) -> str:
    """A string, or an empty one for what is none."""
    return value if isinstance(value, str) else ""


def whole_characters(value: str) -> str:
    """Pairs of surrogates as what they stand for; half a pair, which is no character, as U+FFFD."""
    if value.isascii():
        return value
    return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def some_text(value: object) -> str | None:
    """A string that is not empty, or None."""
    return value if isinstance(value, str) and value else None


def mapping(value: object) -> Mapping[str, Any]:
    """A JSON object, or an empty one for what is none."""
    return value if isinstance(value, dict) else {}


def items(value: object) -> list[Any]:
    """A JSON array, or an empty one for what is none."""
    return value if isinstance(value, list) else []


def whole(value: object) -> int | None:
    """A count of tokens; None for what is none (also true, which JSON's readers take for 1)."""
    return value if type(value) is int and 0 <= value <= MOST_TOKENS else None


def shortened(message: object) -> str:
    """A provider's words, fit for a log: one line, shortened, without what looks like a key or quotes the prompt."""
    said = " ".join(whole_characters(text(message)).split())
    said = _QUOTATION.sub(r"\1…\1", _SECRET.sub(r"\1-…", said))
    return said if len(said) <= LONGEST_MESSAGE else said[: LONGEST_MESSAGE - 1] + "…"
