"""Anthropic's Messages.

Sources: platform.claude.com/docs (Messages API, streaming, errors, rate limits, prompt caching, structured outputs).
`input_tokens` excludes what was read from and written to the cache; `output_tokens` includes thinking.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime
from itertools import groupby
from typing import Any

import httpx

from gateway_client.errors import UnsupportedRequest
from gateway_client.messages import (
    ChatRequest,
    EmbeddingReply,
    EmbeddingRequest,
    FinishReason,
    Image,
    Message,
    Reply,
    ToolCall,
)
from gateway_client.model import Capability, ModelSpec
from gateway_client.providers import rate_limits as limits
from gateway_client.providers.anthropic_stream import AnthropicStream
from gateway_client.providers.anthropic_usage import usage_of
from gateway_client.providers.classify import by_status, error_body, refined
from gateway_client.providers.failure import FailureKind, ProviderFailure
from gateway_client.providers.support import check_no_image, check_supported
from gateway_client.providers.wire import (
    body_of,
    check_event_stream,
    items,
    malformed,
    mapping,
    some_text,
    text,
    whole_characters,
)
from gateway_client.providers.wire import shortened as short
from gateway_client.schemas import closed, decodable

NAME = "anthropic"
API_VERSION = "2023-06-01"
# Where a model has no JSON output of its own, the answer is the input of a tool that it must call.
ANSWER_TOOL = "give_the_answer"
FINISH = {
    "end_turn": FinishReason.STOP,
    "stop_sequence": FinishReason.STOP,
    "max_tokens": FinishReason.LENGTH,
    "model_context_window_exceeded": FinishReason.LENGTH,
    "tool_use": FinishReason.TOOL_CALLS,
    "refusal": FinishReason.REFUSAL,
}
KINDS = {
    "invalid_request_error": FailureKind.BAD_REQUEST,
    "authentication_error": FailureKind.AUTHENTICATION,
    "billing_error": FailureKind.QUOTA,
    "permission_error": FailureKind.PERMISSION,
    "not_found_error": FailureKind.NOT_FOUND,
    "request_too_large": FailureKind.TOO_LARGE,
    "rate_limit_error": FailureKind.RATE_LIMITED,
    "api_error": FailureKind.SERVER_ERROR,
    "timeout_error": FailureKind.SERVER_ERROR,
    "overloaded_error": FailureKind.OVERLOADED,
}


class Anthropic:
    """The wire format, without state."""

    format = NAME

    def build(self, request: ChatRequest, model: ModelSpec, key: str, *, stream: bool) -> httpx.Request:
        check_supported(request, model, stream=stream)
        body: dict[str, Any] = {
            "model": model.version,
            "max_tokens": request.max_tokens,
            "messages": _turns(request.messages),
        }
        system = [block for m in request.messages if m.role == "system" for block in _blocks(m)]
        optional = {
            "system": system or None,
            "temperature": request.temperature,
            "stop_sequences": list(request.stop) or None,
            "metadata": {"user_id": request.user} if request.user else None,
            "stream": stream or None,
        }
        body |= {name: value for name, value in optional.items() if value is not None}
        body |= _tools(request) | _answer_format(request, model)
        headers = {"anthropic-version": API_VERSION} | ({"x-api-key": key} if key else {})
        return httpx.Request("POST", model.base_url.rstrip("/") + "/messages", headers=headers, json=body)

    def parse(self, response: httpx.Response) -> Reply:
        body = body_of(response)
        if body.get("type") == "error":
            raise in_stream_failure(body).error()
        if not isinstance(body.get("content"), list):
            raise malformed("the provider's answer holds no content")
        return reply_of(body, response.headers)

    def stream_parser(self, headers: Mapping[str, str]) -> AnthropicStream:
        check_event_stream(headers)
        return AnthropicStream(
            lambda body: reply_of(body, headers), lambda body: in_stream_failure(body).error(), ANSWER_TOOL
        )

    def build_embedding(self, request: EmbeddingRequest, model: ModelSpec, key: str) -> httpx.Request:
        raise UnsupportedRequest(f"model {model.name!r}: Anthropic's format has no embeddings")

    def parse_embedding(self, response: httpx.Response) -> EmbeddingReply:
        raise UnsupportedRequest("Anthropic's format has no embeddings")

    def rate_limits(self, headers: Mapping[str, str]) -> limits.RateLimits:
        now = _sent_at(headers)

        def limit(unit: str) -> limits.RateLimit:
            prefix = f"anthropic-ratelimit-{unit}"
            return limits.RateLimit(
                limit=limits.count(headers.get(f"{prefix}-limit")),
                remaining=limits.count(headers.get(f"{prefix}-remaining")),
                reset_seconds=limits.instant(headers.get(f"{prefix}-reset"), now),
            )

        return limits.RateLimits(
            limit("requests"), limit("tokens"), limit("input-tokens"), limit("output-tokens")
        )

    def retry_after(self, headers: Mapping[str, str], now: float | None = None) -> float | None:
        return limits.retry_after(headers, time.time() if now is None else now)

    def failure(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderFailure:
        return _failure(status, error_body(body))


def in_stream_failure(body: Mapping[str, Any]) -> ProviderFailure:
    """What an error object means that came with a 200 or as an event of a stream."""
    found = _failure(500, body)
    return ProviderFailure(found.kind, 200, found.message, found.code, NAME)


def _failure(status: int, body: Mapping[str, Any]) -> ProviderFailure:
    """The type says more than the status: overload comes as 529 and as 429."""
    error = mapping(body.get("error"))
    code, message = short(error.get("type")), short(error.get("message"))
    kind = by_status(status)
    if status >= 400:
        kind = refined(KINDS.get(code, kind), (code,), message)
    return ProviderFailure(kind, status, message, code, NAME)


def _sent_at(headers: Mapping[str, str]) -> float:
    """Unix time by the provider's own clock, which its resets are told by; ours where it does not say."""
    try:
        return parsedate_to_datetime(headers["date"]).astimezone(UTC).timestamp()
    except (KeyError, ValueError, TypeError, IndexError, OverflowError):
        return time.time()


def _turns(messages: tuple[Message, ...]) -> list[dict[str, Any]]:
    """User and assistant turns; the answers to several tool calls must be one turn."""
    spoken = [message for message in messages if message.role != "system"]
    for message in messages:
        if message.role in ("system", "assistant"):
            check_no_image(message)
    turns = groupby(spoken, key=lambda message: "assistant" if message.role == "assistant" else "user")
    found = [(role, [block for message in group for block in _blocks(message)]) for role, group in turns]
    return [{"role": role, "content": blocks} for role, blocks in found if blocks]


def _blocks(message: Message) -> list[dict[str, Any]]:
    blocks = [_part(part) for part in message.parts]
    if message.role == "tool":
        blocks = [{"type": "tool_result", "tool_use_id": message.tool_call_id, "content": blocks}]
    blocks += [
        {"type": "tool_use", "id": call.id, "name": call.name, "input": _arguments(call)}
        for call in message.tool_calls
    ]
    if message.cache and blocks:
        blocks[-1]["cache_control"] = {"type": "ephemeral"}
    return blocks


def _part(part: Any) -> dict[str, Any]:  # noqa: ANN401 - Text or Image
    if isinstance(part, Image):
        source = {"type": "base64", "media_type": part.media_type, "data": part.data}
        return {"type": "image", "source": source}
    return {"type": "text", "text": part.text}


def _arguments(call: ToolCall) -> Any:  # noqa: ANN401 - any JSON
    try:
        return json.loads(call.arguments or "{}")
    except ValueError as broken:
        raise UnsupportedRequest(f"the arguments of tool call {call.id!r} are not JSON") from broken


def _tools(request: ChatRequest) -> dict[str, Any]:
    if not request.tools:
        return {}
    choice = {"auto": "auto", "none": "none", "required": "any"}.get(request.tool_choice)
    return {
        "tools": [
            {"name": tool.name, "description": tool.description, "input_schema": tool.parameters}
            for tool in request.tools
        ],
        "tool_choice": {"type": choice} if choice else {"type": "tool", "name": request.tool_choice},
    }


def _answer_format(request: ChatRequest, model: ModelSpec) -> dict[str, Any]:
    schema = request.json_schema
    if schema is None:
        return {}
    if model.can(Capability.JSON_SCHEMA):
        return {"output_config": {"format": {"type": "json_schema", "schema": decodable(schema)}}}
    if not model.can(Capability.TOOLS) or request.tools:
        raise UnsupportedRequest(f"model {model.name!r} cannot do json_schema; call one that can")
    tool = {"name": ANSWER_TOOL, "description": "Gives the answer.", "input_schema": closed(schema)}
    return {"tools": [tool], "tool_choice": {"type": "tool", "name": ANSWER_TOOL}}


def reply_of(body: Mapping[str, Any], headers: Mapping[str, str]) -> Reply:
    """A message as a reply."""
    blocks = [mapping(block) for block in items(body.get("content"))]
    calls = [block for block in blocks if block.get("type") == "tool_use"]
    answers = [json.dumps(call.get("input")) for call in calls if call.get("name") == ANSWER_TOOL]
    finish = some_text(body.get("stop_reason"))
    reason = None if finish is None else FINISH.get(finish, FinishReason.OTHER)
    return Reply(
        text=answers[0] if answers else _text(blocks),
        finish=FinishReason.STOP if answers and reason is FinishReason.TOOL_CALLS else reason,
        usage=usage_of(mapping(body.get("usage"))),
        model_reported=some_text(body.get("model")),
        provider=NAME,
        tool_calls=() if answers else tuple(_read_call(call) for call in calls),
        refusal=_refusal(body, blocks) if reason is FinishReason.REFUSAL else None,
        provider_request_id=headers.get("request-id"),
        raw=body,
    )


def _text(blocks: list[Mapping[str, Any]]) -> str:
    return whole_characters(
        "".join(text(block.get("text")) for block in blocks if block.get("type") == "text")
    )


def _refusal(body: Mapping[str, Any], blocks: list[Mapping[str, Any]]) -> str:
    return _text(blocks) or text(mapping(body.get("stop_details")).get("explanation")) or "no reason given"


def _read_call(block: Mapping[str, Any]) -> ToolCall:
    given = block.get("input")
    arguments = (
        whole_characters(given) if isinstance(given, str) else json.dumps(given if given is not None else {})
    )
    identifier, name = (whole_characters(text(block.get(key))) for key in ("id", "name"))
    return ToolCall(identifier, name, arguments)


ANTHROPIC = Anthropic()
