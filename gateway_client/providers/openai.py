"""OpenAI's chat completions and embeddings, and whatever server speaks them.

Sources: developers.openai.com/api/reference (chat, streaming, embeddings, rate-limit headers, error codes).
`prompt_tokens` includes what was read from the cache, `completion_tokens` includes reasoning.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
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
from gateway_client.providers.classify import by_status, error_body, refined
from gateway_client.providers.failure import FailureKind, ProviderFailure
from gateway_client.providers.openai_content import arguments_of, content_of, refusal_in
from gateway_client.providers.openai_embeddings import vectors_of
from gateway_client.providers.openai_stream import OpenAIStream
from gateway_client.providers.openai_usage import usage_of
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
from gateway_client.schemas import closed, strict

NAME = "openai"
FINISH = {
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "tool_calls": FinishReason.TOOL_CALLS,
    "function_call": FinishReason.TOOL_CALLS,
    "content_filter": FinishReason.CONTENT_FILTER,
    # Of servers that speak the format with words of their own.
    "eos": FinishReason.STOP,
    "eos_token": FinishReason.STOP,
    "max_tokens": FinishReason.LENGTH,
    "model_length": FinishReason.LENGTH,
}
# A 429 for a request that is larger than the whole limit of a minute: waiting never helps.
_TOO_LARGE = re.compile(r"request too large", re.IGNORECASE)
_STATUS_OF = {
    "content_filter": 400,
    "content_policy_violation": 400,
    "context_length_exceeded": 400,
    "invalid_api_key": 401,
    "authentication_error": 401,
    "permission_error": 403,
    "model_not_found": 404,
    "not_found_error": 404,
    "insufficient_quota": 429,
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "overloaded_error": 503,
    "invalid_request_error": 400,  # after the codes, which say more
}
_STATUS = re.compile(r"[45][0-9]{2}")
_OUT_OF_CREDIT = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active")


class OpenAI:
    """The wire format, without state."""

    format = NAME

    def build(self, request: ChatRequest, model: ModelSpec, key: str, *, stream: bool) -> httpx.Request:
        check_supported(request, model, stream=stream)
        body: dict[str, Any] = {
            "model": model.version,
            "messages": [_message(message) for message in request.messages],
            model.max_tokens_field: request.max_tokens,
        }
        optional = {
            "temperature": request.temperature,
            "seed": request.seed,
            "user": request.user,
            "stop": list(request.stop) or None,
            "response_format": _response_format(request, model),
        }
        body |= {name: value for name, value in optional.items() if value is not None}
        if request.tools:
            body |= _tools(request)
        if stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return _post(model, "/chat/completions", key, body)

    def parse(self, response: httpx.Response) -> Reply:
        body = body_of(response)
        if body.get("error"):
            raise in_stream_failure(body).error()
        choices = items(body.get("choices"))
        if not choices or not isinstance(choices[0], dict):
            raise malformed("the provider's answer holds no choice")
        return reply_of(body, choices[0], response.headers)

    def stream_parser(self, headers: Mapping[str, str]) -> OpenAIStream:
        check_event_stream(headers)
        return OpenAIStream(
            lambda body, choice: reply_of(body, choice, headers), lambda body: in_stream_failure(body).error()
        )

    def build_embedding(self, request: EmbeddingRequest, model: ModelSpec, key: str) -> httpx.Request:
        if not model.can(Capability.EMBEDDINGS):
            raise UnsupportedRequest(f"model {model.name!r} does not embed; call one that does")
        body: dict[str, Any] = {
            "model": model.version,
            "input": list(request.texts),
            "encoding_format": "base64",
        }
        if request.dimensions is not None:
            if not model.can(Capability.DIMENSIONS):
                raise UnsupportedRequest(
                    f"model {model.name!r} has vectors of one size: leave out dimensions"
                )
            body["dimensions"] = request.dimensions
        if request.user is not None:
            body["user"] = request.user
        return _post(model, "/embeddings", key, body)

    def parse_embedding(self, response: httpx.Response) -> EmbeddingReply:
        body = body_of(response)
        if body.get("error"):
            raise in_stream_failure(body).error()
        return EmbeddingReply(
            vectors=vectors_of(items(body.get("data"))),
            usage=usage_of(mapping(body.get("usage")), of_answer=False),
            model_reported=some_text(body.get("model")),
            provider=NAME,
            provider_request_id=response.headers.get("x-request-id"),
            raw={key: value for key, value in body.items() if key != "data"},
        )

    def rate_limits(self, headers: Mapping[str, str]) -> limits.RateLimits:
        def limit(unit: str) -> limits.RateLimit:
            return limits.RateLimit(
                limit=limits.count(headers.get(f"x-ratelimit-limit-{unit}")),
                remaining=limits.count(headers.get(f"x-ratelimit-remaining-{unit}")),
                reset_seconds=limits.duration(headers.get(f"x-ratelimit-reset-{unit}")),
            )

        return limits.RateLimits(requests=limit("requests"), tokens=limit("tokens"))

    def retry_after(self, headers: Mapping[str, str], now: float | None = None) -> float | None:
        return limits.retry_after(headers, time.time() if now is None else now)

    def failure(self, status: int, headers: Mapping[str, str], body: bytes) -> ProviderFailure:
        return _failure(status, error_body(body))


def in_stream_failure(body: Mapping[str, Any]) -> ProviderFailure:
    """What an error object means that came with a 200 or within a stream."""
    error = mapping(body.get("error"))
    found = _failure(_status_of(error), body)
    return ProviderFailure(found.kind, 200, found.message, found.code, NAME)


def _status_of(error: Mapping[str, Any]) -> int:
    """The status that an error would have had, had it come before the answer began."""
    told = [str(error.get(key)) for key in ("code", "status", "status_code", "type")]
    numbers = (int(one) for one in told if _STATUS.fullmatch(one))
    names = (_STATUS_OF[one] for one in told if one in _STATUS_OF)
    return next(numbers, next(names, 500))


def _failure(status: int, body: Mapping[str, Any]) -> ProviderFailure:
    """OpenAI nests the error, some servers do not (vLLM), some give a text only."""
    nested = body.get("error")
    error = nested if isinstance(nested, dict) else body
    message = short(error.get("message") or nested or body.get("detail"))
    codes = tuple(short(str(error[key])) for key in ("code", "type") if error.get(key))
    kind = refined(by_status(status), codes, message)
    if kind is FailureKind.RATE_LIMITED and any(code in _OUT_OF_CREDIT for code in codes):
        kind = FailureKind.QUOTA
    if kind is FailureKind.RATE_LIMITED and _TOO_LARGE.search(message):
        kind = FailureKind.TOO_LARGE
    if status == 500 and any(code in ("rate_limit_exceeded", "rate_limit_error") for code in codes):
        kind = FailureKind.RATE_LIMITED
    return ProviderFailure(kind, status, message, codes[0] if codes else "", NAME)


def _post(model: ModelSpec, path: str, key: str, body: Mapping[str, Any]) -> httpx.Request:
    headers = {"authorization": f"Bearer {key}"} if key else {}
    return httpx.Request("POST", model.base_url.rstrip("/") + path, headers=headers, json=body)


def _message(message: Message) -> dict[str, Any]:
    found: dict[str, Any] = {"role": message.role}
    if isinstance(message.content, str):
        found["content"] = message.content
    elif message.role != "user":
        check_no_image(message)
        found["content"] = message.text
    else:
        found["content"] = [_part(part) for part in message.parts]
    if message.tool_calls:
        found["tool_calls"] = [_call(call) for call in message.tool_calls]
        found["content"] = found["content"] or None
    if message.tool_call_id is not None:
        found["tool_call_id"] = message.tool_call_id
    return found


def _part(part: Any) -> dict[str, Any]:  # noqa: ANN401 - Text or Image
    if isinstance(part, Image):
        return {"type": "image_url", "image_url": {"url": f"data:{part.media_type};base64,{part.data}"}}
    return {"type": "text", "text": part.text}


def _call(call: ToolCall) -> dict[str, Any]:
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments},
    }


def _tools(request: ChatRequest) -> dict[str, Any]:
    named = request.tool_choice not in ("auto", "none", "required")
    return {
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": tool.parameters,
                },
            }
            for tool in request.tools
        ],
        "tool_choice": {"type": "function", "function": {"name": request.tool_choice}}
        if named
        else request.tool_choice,
    }


def _response_format(request: ChatRequest, model: ModelSpec) -> dict[str, Any] | None:
    schema = request.json_schema
    if schema is None:
        return None
    if not model.can(Capability.JSON_SCHEMA):
        raise UnsupportedRequest(f"model {model.name!r} cannot do json_schema; call one that can")
    exact = strict(schema)
    named = {"name": "answer", "schema": exact or closed(schema), "strict": exact is not None}
    return {"type": "json_schema", "json_schema": named}


def reply_of(body: Mapping[str, Any], choice: Mapping[str, Any], headers: Mapping[str, str]) -> Reply:
    """One choice as a reply."""
    message = mapping(choice.get("message"))
    finish = some_text(choice.get("finish_reason"))
    return Reply(
        text=whole_characters(content_of(message.get("content"))),
        finish=None if finish is None else FINISH.get(finish, FinishReason.OTHER),
        usage=usage_of(mapping(body.get("usage"))),
        model_reported=some_text(body.get("model")),
        provider=NAME,
        tool_calls=tuple(_read_call(call) for call in items(message.get("tool_calls"))),
        refusal=some_text(message.get("refusal")) or refusal_in(message.get("content")),
        provider_request_id=headers.get("x-request-id"),
        raw=body,
    )


def _read_call(call: object) -> ToolCall:
    found = mapping(call)
    function = mapping(found.get("function"))
    arguments = whole_characters(arguments_of(function.get("arguments")))
    identifier, name = (whole_characters(text(one)) for one in (found.get("id"), function.get("name")))
    return ToolCall(identifier, name, arguments)


OPENAI = OpenAI()
