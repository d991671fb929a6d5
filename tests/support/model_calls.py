"""Requests, models and wire fixtures for tests of the gateway client."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from gateway_client.catalogue import Catalogue, ModelSpec
from gateway_client.messages import ChatRequest, FinishReason, Message, Reply, Usage
from gateway_client.model import Capability
from gateway_client.simulator.running import SIMULATED

WIRE = Path(__file__).parent / "wire"
MODELS = Catalogue.load(SIMULATED)
OPENAI_MODEL = MODELS.find("sim-openai")
ANTHROPIC_MODEL = MODELS.find("sim-anthropic")
EMBEDDING_MODEL = MODELS.find("sim-embed")
LABEL_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"label": {"enum": ["good", "bad"]}, "score": {"type": "integer", "minimum": 0}},
    "required": ["label", "score"],
}


def wire(name: str) -> bytes:
    """A fixture, as the provider's documentation shows it."""
    return (WIRE / name).read_bytes()


def ask(text: str = "What holds fast?", **more: Any) -> ChatRequest:
    """A request to a simulated model."""
    given: dict[str, Any] = {"model": "sim-openai", "max_tokens": 100} | more
    return ChatRequest(messages=(Message("user", text),), **given)


def reply(text: str = "", finish: FinishReason | None = FinishReason.STOP, **more: Any) -> Reply:
    """A reply, not yet judged."""
    given: dict[str, Any] = {"usage": Usage(5, 7), "model_reported": "m", "provider": "openai"} | more
    return Reply(text=text, finish=finish, **given)


def without(model: ModelSpec, *capabilities: Capability) -> ModelSpec:
    """The model, less able."""
    return replace(model, capabilities=model.capabilities - set(capabilities))


def answered(body: bytes, status: int = 200, **headers: str) -> httpx.Response:
    """A response that was read."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, content=body, headers=named)
