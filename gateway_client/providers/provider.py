"""The seam to a provider's wire format. A new provider is one file that implements `Provider`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import httpx

from gateway_client.catalogue import ModelSpec
from gateway_client.messages import ChatRequest, EmbeddingReply, EmbeddingRequest, Reply, StreamEvent, Usage
from gateway_client.providers.failure import ProviderFailure
from gateway_client.providers.rate_limits import RateLimits

Headers = Mapping[str, str]


class StreamParser(Protocol):
    """Turns the bytes of one streamed answer into events, however they are cut. Not reusable.

    `thoughts` counts pieces of reasoning: they are no part of the answer, but the model is at work.
    """

    thoughts: int

    def feed(self, data: bytes) -> list[StreamEvent]:
        """The events that these bytes complete.

        Raises MalformedResponse for what is not this wire format, and the ProviderError (Rejected, ...)
        that an error event inside the stream stands for.
        """

    def close(self) -> Reply:
        """The whole answer, after the last byte. Raises Truncated if the stream had not ended by its own
        rules: an event cut in two, no end mark, no finish reason."""

    @property
    def usage(self) -> Usage | None:
        """The usage as far as the stream told it, complete only after `close`."""

    @property
    def text(self) -> str:
        """The text so far."""

    @property
    def finished(self) -> bool:
        """Whether the end mark has been seen: whatever follows is no part of the answer."""


class Provider(Protocol):
    """One wire format. Stateless: one object serves every call."""

    format: str

    def build(self, request: ChatRequest, model: ModelSpec, key: str, *, stream: bool) -> httpx.Request:
        """The HTTP request. `key` goes into its headers only. Raises UnsupportedRequest for what the model
        cannot do (tools, images, a schema)."""

    def parse(self, response: httpx.Response) -> Reply:
        """The answer of a 200 whose body was read. Raises MalformedResponse for what is not this format."""

    def stream_parser(self, headers: Headers) -> StreamParser:
        """A parser for the stream that follows these headers. Raises MalformedResponse if they announce
        something else (HTML, JSON)."""

    def build_embedding(self, request: EmbeddingRequest, model: ModelSpec, key: str) -> httpx.Request:
        """The HTTP request for embeddings. Raises UnsupportedRequest where the format has none."""

    def parse_embedding(self, response: httpx.Response) -> EmbeddingReply:
        """The vectors of a 200 whose body was read. Raises MalformedResponse."""

    def rate_limits(self, headers: Headers) -> RateLimits:
        """What the headers of any response say about the pool's limits."""

    def retry_after(self, headers: Headers, now: float) -> float | None:
        """Seconds to wait before anything is sent again, as the provider asks; None if it does not."""

    def failure(self, status: int, headers: Headers, body: bytes) -> ProviderFailure:
        """What a response other than 200 means."""


def provider_of(model: ModelSpec) -> Provider:
    """The wire format that a model speaks."""
    from gateway_client.providers.anthropic import ANTHROPIC
    from gateway_client.providers.openai import OPENAI

    formats: dict[str, Provider] = {"openai": OPENAI, "anthropic": ANTHROPIC}
    return formats[model.format]
