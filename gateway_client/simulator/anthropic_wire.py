"""The simulator's side of Anthropic's wire format."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway_client.messages import FinishReason, Usage
from gateway_client.simulator.answer import Answer
from gateway_client.simulator.asked import (
    Asked,
    NotUnderstood,
    chat_messages,
    chat_tokens,
    content_text,
    content_tokens,
    most_tokens,
)
from gateway_client.simulator.wire import ErrorKind, Frames, limit_headers

FINISH = {
    FinishReason.STOP: "end_turn",
    FinishReason.LENGTH: "max_tokens",
    FinishReason.TOOL_CALLS: "tool_use",
    FinishReason.REFUSAL: "refusal",
    FinishReason.CONTENT_FILTER: "refusal",
}
TYPES: dict[ErrorKind, str] = {
    "rate_limited": "rate_limit_error",
    "overloaded": "overloaded_error",
    "server_error": "api_error",
    "unauthorized": "authentication_error",
    "forbidden": "permission_error",
    "not_found": "not_found_error",
    "bad_request": "invalid_request_error",
    "content_policy": "invalid_request_error",
    "context_overflow": "invalid_request_error",
    "out_of_credit": "billing_error",
}


class AnthropicWire:
    """See WireFormat."""

    name = "anthropic"
    id_header = "request-id"

    def read(self, path: str, body: Mapping[str, Any]) -> Asked:
        messages = chat_messages(body)
        return Asked(
            format=self.name,
            kind="chat",
            version=body["model"],
            prompt=chat_tokens(body, messages, "tools", "output_config") + content_tokens(body.get("system")),
            stream=body.get("stream") is True,
            max_tokens=most_tokens(body.get("max_tokens"), "max_tokens: Field required"),
            last=content_text(messages[-1].get("content")),
            schema=((body.get("output_config") or {}).get("format") or {}).get("schema"),
            tool=_tool(body),
            body=body,
        )

    def whole(self, asked: Asked, answer: Answer, reply_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self._message(answer, reply_id) | {
            "content": _content(answer, reply_id),
            "stop_reason": None if answer.finish is None else FINISH[answer.finish],
            "usage": usage_json(answer.usage),
        }
        return {key: value for key, value in found.items() if value is not None or key == "stop_reason"}

    def frames(self, asked: Asked, answer: Answer, reply_id: str) -> Frames:
        told = usage_json(answer.usage)
        start = self._message(answer, reply_id) | {"content": [], "stop_reason": None}
        if told is not None:
            start["usage"] = told | {"output_tokens": 1}
        block: dict[str, Any] = {"type": "text", "text": ""}
        if answer.tool:
            block = {"type": "tool_use", "id": _tool_id(reply_id), "name": answer.tool, "input": {}}
        pieces = (answer.refusal,) if answer.refusal else answer.pieces
        head = [
            _event(
                "message_start", message={key: value for key, value in start.items() if value is not None}
            ),
            _event("content_block_start", index=0, content_block=block),
            _event("ping"),
        ]
        stop = {
            "stop_reason": None if answer.finish is None else FINISH[answer.finish],
            "stop_sequence": None,
        }
        tail = [
            _event("content_block_stop", index=0),
            _event("message_delta", delta=stop, **({"usage": told} if told else {})),
        ]
        return Frames(
            tuple(head),
            tuple(_event("content_block_delta", index=0, delta=_delta(piece, answer)) for piece in pieces),
            tuple(tail),
            (_event("message_stop"),),
        )

    def embeddings(self, asked: Asked, usage: Usage, seed: int) -> dict[str, Any]:
        raise NotUnderstood("there are no embeddings here")

    def error(self, kind: ErrorKind, message: str) -> dict[str, Any]:
        return {"type": "error", "error": {"type": TYPES[kind], "message": message}}

    def error_event(self, kind: ErrorKind, message: str) -> bytes:
        return _event("error", error=self.error(kind, message)["error"])

    def limit_headers(self, limits: Mapping[str, tuple[int, int]], seconds: float) -> list[tuple[str, str]]:
        resets = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat(timespec="milliseconds")
        told = resets.replace("+00:00", "Z")
        return limit_headers("anthropic-ratelimit-{unit}-{what}", limits, told)

    def _message(self, answer: Answer, reply_id: str) -> dict[str, Any]:
        return {"id": reply_id, "type": "message", "role": "assistant", "model": answer.model}


def usage_json(usage: Usage | None) -> dict[str, Any] | None:
    """Usage as Anthropic tells it: cached tokens beside the input."""
    if usage is None:
        return None
    return {
        "input_tokens": usage.input,
        "cache_creation_input_tokens": usage.cache_write,
        "cache_read_input_tokens": usage.cache_read,
        "output_tokens": usage.output,
        "output_tokens_details": {"thinking_tokens": usage.reasoning},
    }


def _tool(body: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]] | None:
    choice, offered = body.get("tool_choice") or {}, body.get("tools") or []
    if not offered or choice.get("type") not in ("any", "tool"):
        return None
    found = next((tool for tool in offered if tool.get("name") == choice.get("name")), offered[0])
    return found["name"], found.get("input_schema") or {}


def _content(answer: Answer, reply_id: str) -> list[dict[str, Any]]:
    if answer.refusal:
        return [{"type": "text", "text": answer.refusal}]
    if not answer.tool:
        return [{"type": "text", "text": answer.text}] if answer.text else []
    try:
        arguments = json.loads(answer.text)
    except ValueError:
        arguments = answer.text
    return [{"type": "tool_use", "id": _tool_id(reply_id), "name": answer.tool, "input": arguments}]


def _delta(piece: str, answer: Answer) -> dict[str, Any]:
    if answer.tool:
        return {"type": "input_json_delta", "partial_json": piece}
    return {"type": "text_delta", "text": piece}


def _tool_id(reply_id: str) -> str:
    return f"toolu_{reply_id[-12:]}"


def _event(kind: str, **fields: Any) -> bytes:  # noqa: ANN401 - any JSON
    body = json.dumps({"type": kind} | fields, separators=(",", ":"))
    return f"event: {kind}\ndata: {body}\n\n".encode()
