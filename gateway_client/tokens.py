"""How many tokens a request can be at most, and whether it fits its model, told before it costs anything.

Tokenizers of hosted models are unpublished, and every one of the kind in use (byte-level BPE) makes at most one
token of a byte: UTF-8 length is the bound that always holds. `tokens_per_byte` in the catalogue tightens it for
a model that was measured; what goes beyond is the ledger's overrun.
"""

from __future__ import annotations

import json
import math

from gateway_client.errors import ContextTooLong
from gateway_client.messages import ChatRequest, EmbeddingRequest, Image, Message
from gateway_client.model import ModelSpec

PER_REQUEST = 64
PER_MESSAGE = 24
PER_PART = 8
PER_IMAGE = 5_000  # the largest that the documented formulas give for one image, rounded up
PER_TOOL = 32
TOOL_PROMPT = 1_000  # the providers' own instructions that tools bring along
SCHEMA_PROMPT = 500
# Dense ASCII (digits, punctuation) takes three or four bytes a token; plain English more. Below this a text that
# is over the window is over it for certain.
FEWEST_PER_BYTE = 1 / 6


def estimate(request: ChatRequest | EmbeddingRequest, model: ModelSpec) -> int:
    """An upper bound of the tokens that a request sends."""
    if isinstance(request, EmbeddingRequest):
        return PER_REQUEST + sum(PER_PART + _tokens(text, model) for text in request.texts)
    messages = sum(PER_MESSAGE + _message(message, model) for message in request.messages)
    return PER_REQUEST + messages + _tools(request, model) + _schema(request, model)


def check_fit(request: ChatRequest | EmbeddingRequest, model: ModelSpec) -> None:
    """Raises ContextTooLong for a request that certainly does not fit, with all its `max_tokens`.

    Between this and the estimate only the provider knows: it refuses what is too long, and charges nothing.
    """
    if isinstance(request, EmbeddingRequest):
        for number, text in enumerate(request.texts):
            _check(_fewest(text), 0, model, f"text {number} of the embedding request")
        return
    _check(_fewest_of(request), request.max_tokens, model, "the request")


def fits(request: ChatRequest | EmbeddingRequest, model: ModelSpec) -> bool:
    """Whether a request may fit a model's context window."""
    try:
        check_fit(request, model)
    except ContextTooLong:
        return False
    return True


def _check(fewest: int, output: int, model: ModelSpec, what: str) -> None:
    if fewest + output > model.context_window:
        raise ContextTooLong(
            f"{what} is at least {fewest} tokens, and {output} are asked for; {model.name!r} has a window of "
            f"{model.context_window}. Shorten it, or approve a larger model among its fallbacks"
        )


def _fewest_of(request: ChatRequest) -> int:
    tools = sum(_fewest(json.dumps(tool.parameters)) for tool in request.tools)
    return tools + sum(_fewest(message.text) for message in request.messages)


def _fewest(text: str) -> int:
    return int(_bytes(text) * FEWEST_PER_BYTE)


def _message(message: Message, model: ModelSpec) -> int:
    found = sum(
        PER_PART + (PER_IMAGE if isinstance(part, Image) else _tokens(part.text, model))
        for part in message.parts
    )
    called = [text for call in message.tool_calls for text in (call.id, call.name, call.arguments)]
    return found + sum(PER_PART + _tokens(text, model) for text in [*called, message.tool_call_id or ""])


def _tools(request: ChatRequest, model: ModelSpec) -> int:
    if not request.tools:
        return 0
    told = [
        tool.name + tool.description + json.dumps(tool.parameters, ensure_ascii=False)
        for tool in request.tools
    ]
    return TOOL_PROMPT + sum(PER_TOOL + _tokens(text, model) for text in told)


def _schema(request: ChatRequest, model: ModelSpec) -> int:
    """The schema, twice over: as it is closed and made strict for the provider it grows."""
    schema = request.json_schema
    if schema is None:
        return 0
    return SCHEMA_PROMPT + TOOL_PROMPT + 2 * _tokens(json.dumps(schema, ensure_ascii=False), model)


def _tokens(text: str, model: ModelSpec) -> int:
    return math.ceil(_bytes(text) * model.tokens_per_byte)


def _bytes(text: str) -> int:
    """UTF-8 length; half a surrogate pair, which no UTF-8 has, counts as its replacement."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))
