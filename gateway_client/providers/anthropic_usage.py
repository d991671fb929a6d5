"""Anthropic's usage, where cached tokens are counted beside the input, not within it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway_client.messages import Usage
from gateway_client.providers.wire import mapping, whole


def usage_of(usage: Mapping[str, Any]) -> Usage | None:
    """The usage by our one meaning; None where it is missing or no count, or nothing was sent."""
    fresh = whole(usage.get("input_tokens"))
    output = whole(usage.get("output_tokens"))
    read = whole(usage.get("cache_read_input_tokens") or 0)
    written = whole(usage.get("cache_creation_input_tokens") or 0)
    thinking = whole(mapping(usage.get("output_tokens_details")).get("thinking_tokens") or 0)
    if fresh is None or output is None or read is None or written is None:
        return None
    if not fresh + read + written:
        return None
    return Usage(fresh, output, read, written, min(thinking or 0, output))
