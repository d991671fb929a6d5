"""OpenAI's usage, where cached tokens are part of the prompt and reasoning part of the completion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway_client.messages import Usage
from gateway_client.providers.wire import mapping, whole


def usage_of(usage: Mapping[str, Any], *, of_answer: bool = True) -> Usage | None:
    """The usage by our one meaning; None where it is missing or contradicts itself (more cached than sent).

    An embedding has no completion to count; an answer must have. Some servers leave reasoning out of
    `completion_tokens`; they are known by their total.
    """
    prompt = whole(usage.get("prompt_tokens"))
    completion = whole(usage.get("completion_tokens", None if of_answer else 0))
    details = mapping(usage.get("prompt_tokens_details"))
    read = whole(details.get("cached_tokens") or usage.get("prompt_cache_hit_tokens") or 0)
    written = whole(details.get("cache_write_tokens") or 0)
    reasoning = whole(mapping(usage.get("completion_tokens_details")).get("reasoning_tokens") or 0)
    if prompt is None or completion is None or read is None or written is None or reasoning is None:
        return None
    if not prompt or read + written > prompt:
        return None
    apart = reasoning and whole(usage.get("total_tokens")) == prompt + completion + reasoning
    output = completion + reasoning if apart else completion
    if reasoning > output:
        return None
    return Usage(prompt - read - written, output, read, written, reasoning)
