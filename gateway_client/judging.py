"""An answer that came, and was charged, may still be none."""

from __future__ import annotations

from dataclasses import replace

from gateway_client.errors import CallFailed, MalformedResponse, UnusableOutcome
from gateway_client.exchange.terms import Exchange, Request
from gateway_client.messages import ChatRequest, EmbeddingReply, EmbeddingRequest, Reply
from gateway_client.outcomes import judge


def judged(exchange: Exchange, request: Request, model: str) -> Exchange:
    """The exchange with its reply as the caller gets it, or with the error that it comes to."""
    reply = exchange.reply
    if exchange.error is not None:
        return exchange
    if isinstance(reply, EmbeddingReply) and isinstance(request, EmbeddingRequest):
        return _counted(exchange, reply, request, model)
    if not isinstance(reply, Reply) or not isinstance(request, ChatRequest):
        return exchange
    outcome = judge(reply, request)
    if outcome.ok:
        return replace(exchange, reply=outcome.reply)
    told = f"{model!r} gave no answer: {outcome.reason}"
    return _spoilt(exchange, UnusableOutcome(told, outcome=outcome.name.value, reply=outcome.reply))


def _counted(exchange: Exchange, reply: EmbeddingReply, request: EmbeddingRequest, model: str) -> Exchange:
    """One vector per text, of the size that was asked for, or no answer."""
    texts, size = len(request.texts), len(reply.vectors[0])
    if len(reply.vectors) == texts and size == (request.dimensions or size):
        return exchange
    told = f"{model!r} gave {len(reply.vectors)} vectors of {size} numbers for {texts} texts"
    return _spoilt(exchange, MalformedResponse(told, kind="malformed", status=200))


def _spoilt(exchange: Exchange, error: CallFailed) -> Exchange:
    settlement = exchange.settlement
    if settlement.state == "settled":
        outcome = getattr(error, "outcome", "") or getattr(error, "kind", "")
        settlement = replace(settlement, outcome=outcome)
    return replace(exchange, settlement=settlement, error=error)
