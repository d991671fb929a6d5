"""The answer that a simulated model gives, before it is put into a wire format."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

from gateway_client.messages import FinishReason, Usage
from gateway_client.simulator.asked import BYTES_PER_TOKEN, Asked, tokens
from gateway_client.simulator.faults import Fault, FaultSpec
from gateway_client.simulator.samples import broken, sample
from gateway_client.simulator.settings import Settings

FILLER = "It holds, and we say so. "  # cut into pieces of four bytes, each one token


@dataclass(frozen=True, slots=True)
class Answer:
    """`pieces` are its tokens; those of a tool's arguments where `tool` names one. `model` is what is reported, `usage`
    what is told (None: nothing), `billed` what it really took."""

    pieces: tuple[str, ...]
    finish: FinishReason | None
    model: str | None
    usage: Usage | None
    billed: Usage
    tool: str | None = None
    refusal: str | None = None

    @property
    def text(self) -> str:
        """The whole of it."""
        return "".join(self.pieces)

    def billed_after(self, sent: int) -> Usage:
        """What it took if it ended after so many tokens were sent."""
        written = min(sent, len(self.pieces))
        return replace(self.billed, output=written + self.billed.reasoning)


def answer(asked: Asked, settings: Settings, fault: FaultSpec) -> Answer:
    """What the model answers, with the faults that lie in the answer itself."""
    pieces = _pieces(_text(asked, settings, fault))
    finish = FinishReason.TOOL_CALLS if asked.tool else FinishReason.STOP
    room = max(1, asked.max_tokens - settings.reasoning_tokens)
    if fault.fault is Fault.IGNORES_MAX_TOKENS:
        pieces = _pieces(FILLER * int(1 + fault.times * asked.max_tokens))[
            : int(fault.times * asked.max_tokens)
        ]
    elif fault.fault is Fault.LENGTH:
        pieces, finish = _pieces(FILLER * (1 + room))[:room], FinishReason.LENGTH
    elif len(pieces) > room:
        pieces, finish = pieces[:room], FinishReason.LENGTH
    found = Answer(
        pieces, finish, asked.version, None, _usage(asked, settings, len(pieces)), _tool_name(asked)
    )
    return _faulty(replace(found, usage=found.billed), fault, asked)


def embedding_usage(asked: Asked) -> Usage:
    """What embedding takes: its input."""
    return Usage(asked.prompt, 0)


def _tool_name(asked: Asked) -> str | None:
    return asked.tool[0] if asked.tool else None


def _text(asked: Asked, settings: Settings, fault: FaultSpec) -> str:
    schema = asked.tool[1] if asked.tool else asked.schema
    if fault.fault is Fault.EMPTY_CONTENT:
        return ""
    if fault.fault is Fault.BAD_TOOL_CALL or (fault.fault is Fault.INVALID_JSON and schema is not None):
        return json.dumps(sample(schema or {}))[:-1] + ", "
    if fault.fault is Fault.INVALID_JSON:
        return "Sure! Here it is: {answer: 'unquoted'}"
    if schema is not None:
        wrong = fault.fault is Fault.BREAKS_SCHEMA
        text = json.dumps(broken(schema, fault.how) if wrong else sample(schema))
        return f"```json\n{text}\n```" if fault.fault is Fault.FENCED_JSON else text
    wanted = min(settings.output_tokens, max(1, asked.max_tokens - settings.reasoning_tokens))
    return (FILLER * (1 + wanted * BYTES_PER_TOKEN // len(FILLER)))[: wanted * BYTES_PER_TOKEN]


def _pieces(text: str) -> tuple[str, ...]:
    """ASCII in fours: as many as the tokenizer counts."""
    return tuple(text[start : start + BYTES_PER_TOKEN] for start in range(0, len(text), BYTES_PER_TOKEN))


def _usage(asked: Asked, settings: Settings, written: int) -> Usage:
    read = int(asked.prompt * settings.cached_share)
    stored = min(int(asked.prompt * settings.cache_write_share), asked.prompt - read)
    reasoning = min(settings.reasoning_tokens, max(0, asked.max_tokens - 1))
    return Usage(asked.prompt - read - stored, written + reasoning, read, stored, reasoning)


def _faulty(found: Answer, fault: FaultSpec, asked: Asked) -> Answer:
    match fault.fault:
        case Fault.NO_FINISH_REASON:
            return replace(found, finish=None)
        case Fault.REFUSAL:
            told = "I cannot help with that."
            finish = FinishReason.REFUSAL if asked.format == "anthropic" else FinishReason.STOP
            spent = replace(found.billed, output=tokens(told) + found.billed.reasoning)
            return Answer((), finish, found.model, spent, spent, refusal=told)
        case Fault.CONTENT_FILTER:
            finish = FinishReason.REFUSAL if asked.format == "anthropic" else FinishReason.CONTENT_FILTER
            return replace(found, finish=finish, tool=None)
        case Fault.WRONG_MODEL:
            return replace(found, model=f"{found.model}-impostor")
        case Fault.NO_MODEL:
            return replace(found, model=None)
        case Fault.NO_USAGE | Fault.ABSURD_USAGE:
            return replace(found, usage=None)
        case _:
            return found
