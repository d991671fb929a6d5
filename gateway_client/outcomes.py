"""What a complete 200 is worth. It proves nothing: every way to be no answer has a name here.

The judgement reads a reply against its request. Where telling the model its mistake can help, it says what to
tell; where asking again the same way can help, it says so; else neither.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, NoReturn

from pydantic import BaseModel, ValidationError

from gateway_client.messages import ChatRequest, FinishReason, Reply, ToolCall
from gateway_client.schemas import violations

MOST_TOLD = 8


class OutcomeName(StrEnum):
    """The outcomes."""

    OK = "ok"
    EMPTY = "empty"
    NO_FINISH_REASON = "no_finish_reason"
    UNKNOWN_FINISH_REASON = "unknown_finish_reason"
    LENGTH = "length"
    REFUSAL = "refusal"
    CONTENT_FILTER = "content_filter"
    INVALID_JSON = "invalid_json"
    SCHEMA_BROKEN = "schema_broken"
    INVALID_TOOL_CALL = "invalid_tool_call"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A judged reply. `reason` is fit for a log: it holds nothing of the answer's text. `correction` is what to
    tell the model in the one further try, None where telling cannot help; `again` whether the same request
    may simply be sent once more. `reply` carries what was parsed."""

    name: OutcomeName
    reply: Reply
    reason: str = ""
    correction: str | None = None
    again: bool = False

    @property
    def ok(self) -> bool:
        """Whether this is an answer."""
        return self.name is OutcomeName.OK

    @property
    def fails_over(self) -> bool:
        """Whether another model may be asked. Not for a refusal: a policy is not worked around."""
        return self.again or self.correction is not None


def judge(reply: Reply, request: ChatRequest) -> Outcome:
    """What a reply is worth as an answer to its request."""
    return _stopped_badly(reply) or _empty(reply) or _bad_tool_call(reply, request) or _parsed(reply, request)


def _stopped_badly(reply: Reply) -> Outcome | None:
    told: dict[FinishReason | None, tuple[OutcomeName, str]] = {
        None: (OutcomeName.NO_FINISH_REASON, "the reply names no finish reason, so it may be cut"),
        FinishReason.OTHER: (
            OutcomeName.UNKNOWN_FINISH_REASON,
            "the model stopped for a reason we do not know",
        ),
        FinishReason.LENGTH: (OutcomeName.LENGTH, "the answer was cut by max_tokens or the context window"),
        FinishReason.REFUSAL: (OutcomeName.REFUSAL, "the model refused"),
        FinishReason.CONTENT_FILTER: (
            OutcomeName.CONTENT_FILTER,
            "the provider's filter withheld the answer",
        ),
    }
    if reply.refusal and reply.finish not in (FinishReason.CONTENT_FILTER, FinishReason.LENGTH):
        return Outcome(OutcomeName.REFUSAL, reply, "the model refused")
    if reply.finish not in told:
        return None
    name, reason = told[reply.finish]
    return Outcome(name, reply, reason, again=name is OutcomeName.NO_FINISH_REASON)


def _empty(reply: Reply) -> Outcome | None:
    """Tool calls that are announced and missing are nothing, too."""
    announced = reply.finish is FinishReason.TOOL_CALLS
    if reply.tool_calls or (reply.text.strip() and not announced):
        return None
    return Outcome(
        OutcomeName.EMPTY,
        reply,
        "the model announced tool calls and made none" if announced else "the answer is empty",
        correction="Your last answer was empty. Give the complete answer now.",
    )


def _bad_tool_call(reply: Reply, request: ChatRequest) -> Outcome | None:
    faults = [fault for call in reply.tool_calls if (fault := _fault_of(call, request)) is not None]
    if not faults:
        return None
    reasons, told = zip(*faults, strict=True)
    correction = (
        "Your tool call cannot be run:\n" + "\n".join(told[:MOST_TOLD]) + "\nCall it again, correctly."
    )
    return Outcome(OutcomeName.INVALID_TOOL_CALL, reply, "; ".join(reasons[:MOST_TOLD]), correction)


def _fault_of(call: ToolCall, request: ChatRequest) -> tuple[str, str] | None:
    """What is wrong with a call: for the log, and for the model."""
    tool = next((tool for tool in request.tools if tool.name == call.name), None)
    if tool is None:
        known = ", ".join(tool.name for tool in request.tools) or "none"
        return "it calls a tool that is not offered", f"- There is no tool {call.name!r}; there are: {known}."
    try:
        arguments = strict_json(call.arguments or "{}")
    except ValueError as broken:
        return (
            f"arguments of {tool.name} are not JSON",
            f"- The arguments of {tool.name} are not JSON: {broken}.",
        )
    wrong = violations(tool.parameters, arguments)
    if not wrong:
        return None
    where = ", ".join(sorted({path for path, _ in wrong}))
    return f"arguments of {tool.name} break its schema at {where}", _listed(wrong)


def _parsed(reply: Reply, request: ChatRequest) -> Outcome:
    """The answer as JSON, where JSON was asked for. A model that calls tools has not answered yet."""
    schema = request.json_schema
    if schema is None or (reply.tool_calls and not reply.text.strip()):
        return Outcome(OutcomeName.OK, reply)
    try:
        value = strict_json(reply.text)
    except ValueError as broken:
        return _invalid_json(reply, broken)
    wrong = violations(schema, value)
    if wrong:
        return _schema_broken(reply, wrong)
    try:
        parsed = _instance(value, request)
    except ValidationError as invalid:
        return _schema_broken(reply, _pydantic_violations(invalid))
    return Outcome(OutcomeName.OK, replace(reply, parsed=parsed))


def _instance(value: Any, request: ChatRequest) -> Any:  # noqa: ANN401 - any JSON, or the asker's model
    if isinstance(request.schema, type) and issubclass(request.schema, BaseModel):
        return request.schema.model_validate_json(json.dumps(value))
    return value


def _invalid_json(reply: Reply, broken: ValueError) -> Outcome:
    correction = (
        f"Your last answer is not valid JSON ({broken}). Answer with one JSON value that follows the schema, "
        "and nothing else: no prose, no code fence."
    )
    return Outcome(OutcomeName.INVALID_JSON, reply, "the answer is not JSON", correction)


def _schema_broken(reply: Reply, wrong: list[tuple[str, str]]) -> Outcome:
    where = ", ".join(sorted({path for path, _ in wrong})[:MOST_TOLD])
    correction = (
        f"Your last answer breaks the schema:\n{_listed(wrong)}\n"
        "Answer again with JSON that follows the schema exactly, and nothing else."
    )
    return Outcome(OutcomeName.SCHEMA_BROKEN, reply, f"the answer breaks its schema at {where}", correction)


def _listed(wrong: list[tuple[str, str]]) -> str:
    return "\n".join(f"- {path}: {what[:200]}" for path, what in wrong[:MOST_TOLD])


def _pydantic_violations(invalid: ValidationError) -> list[tuple[str, str]]:
    errors = invalid.errors(include_url=False, include_input=False)
    return [(".".join(str(part) for part in e["loc"]) or "the answer", e["msg"]) for e in errors]


def strict_json(text: str) -> Any:  # noqa: ANN401 - any JSON
    """JSON by RFC 8259, where Python's reader is lenient: no NaN, no key twice, no lone surrogate.

    Raises ValueError with words that hold nothing of the text.
    """
    try:
        found = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_no_key_twice)
        json.dumps(found, ensure_ascii=False).encode("utf-8")
    except json.JSONDecodeError as broken:
        raise ValueError(f"{broken.msg} at line {broken.lineno} column {broken.colno}") from None
    except UnicodeEncodeError:
        raise ValueError("a string holds half a surrogate pair") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has the same key twice")
    return found
