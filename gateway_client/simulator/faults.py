"""The faults that can be asked for, and how one is written: `fault=cut_stream; after=3`."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

MARKER = re.compile(r"\[\[simulate:([^\]]{1,400})\]\]")
HEADER = "x-simulate"


class Fault(StrEnum):
    """Every way to fail. Those of a stream do the like to an answer in one piece: half of it, then the fault."""

    NONE = "none"
    SILENCE = "silence"  # nothing is ever sent
    SLOW_FIRST_TOKEN = "slow_first_token"  # noqa: S105 - nothing for `seconds`, then all is well
    STALL = "stall"  # after `after` tokens nothing for `seconds`, then the rest
    PINGS = "pings"  # as a stall, but with signs of life ten times a second: bytes, and no tokens
    CUT_STREAM = "cut_stream"  # the connection closes after `after` tokens
    RESET = "reset"  # the connection is reset (RST); before any byte, or after `after` tokens
    MALFORMED = "malformed"  # after `after` tokens, bytes that are no event and no JSON
    NO_END = "no_end"  # ends cleanly after `after` tokens: no finish reason, no end mark
    NO_FINISH_REASON = "no_finish_reason"  # whole, but for the finish reason
    ERROR_IN_STREAM = "error_in_stream"  # an error object after `after` tokens (a 200 that holds one)
    STATUS = "status"  # an error with the status `status`
    RATE_LIMITED = "rate_limited"
    OVERLOADED = "overloaded"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not_found"
    BAD_REQUEST = "bad_request"
    CONTENT_POLICY = "content_policy"
    CONTEXT_OVERFLOW = "context_overflow"
    OUT_OF_CREDIT = "out_of_credit"
    REDIRECT = "redirect"  # a 307 to `to`
    HTML = "html"  # a 200 with a page
    EMPTY_BODY = "empty_body"  # a 200 with nothing
    HUGE_BODY = "huge_body"  # a 200 of `megabytes`
    EMPTY_CONTENT = "empty_content"  # a whole answer without content
    LENGTH = "length"  # cut by max_tokens
    REFUSAL = "refusal"
    CONTENT_FILTER = "content_filter"
    INVALID_JSON = "invalid_json"
    FENCED_JSON = "fenced_json"  # the right JSON in a Markdown fence
    BREAKS_SCHEMA = "breaks_schema"  # in the way `how`
    BAD_TOOL_CALL = "bad_tool_call"  # arguments that are cut JSON
    WRONG_MODEL = "wrong_model"  # reports another version
    NO_MODEL = "no_model"  # reports none
    NO_USAGE = "no_usage"
    ABSURD_USAGE = "absurd_usage"  # more cached than sent, or negative
    IGNORES_MAX_TOKENS = "ignores_max_tokens"  # writes `times` as much as it may


class FaultSpec(BaseModel):
    """One fault with its settings. Times are seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    fault: Fault = Fault.NONE
    after: Annotated[int, Field(ge=0)] | None = None
    seconds: Annotated[float, Field(ge=0)] = 3600.0
    status: Annotated[int, Field(ge=300, le=599)] = 500
    retry_after: Annotated[float, Field(ge=0)] | None = None
    to: str = "http://127.0.0.1:9/elsewhere"
    how: Literal["enum", "null", "extra", "missing", "type"] = "enum"
    megabytes: Annotated[int, Field(ge=1, le=4096)] = 100
    times: Annotated[float, Field(ge=1)] = 3.0
    billed: bool | None = None  # whether an error is charged; None is the usual: it is not
    attempts: tuple[int, ...] = ()  # only on these arrivals of the same request, from 1; none means all

    def applies(self, attempt: int) -> bool:
        """Whether the fault strikes on this arrival of a request."""
        return not self.attempts or attempt in self.attempts


def parse(text: str) -> FaultSpec:
    """A fault from a header or a marker in the prompt. Raises ValueError, saying what is wrong."""
    settings: dict[str, object] = {}
    for piece in filter(None, (piece.strip() for piece in text.split(";"))):
        key, found, value = piece.partition("=")
        if not found:
            key, value = "fault", piece
        if key.strip() in settings:
            raise ValueError(f"{key.strip()!r} is given twice in {text!r}")
        settings[key.strip()] = value.split(",") if key.strip() == "attempts" else value.strip()
    if "status" in settings:
        settings.setdefault("fault", Fault.STATUS)
    try:
        return FaultSpec.model_validate(settings)
    except ValidationError as invalid:
        first = invalid.errors(include_url=False)[0]
        raise ValueError(f"{text!r}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from invalid


def in_prompt(text: str) -> FaultSpec | None:
    """The fault that a prompt asks for with `[[simulate: …]]`, for clients that cannot send headers."""
    found = MARKER.search(text)
    return parse(found[1]) if found else None
