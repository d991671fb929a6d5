"""An answer's text and a call's arguments, which servers of OpenAI's format send in more than one shape.

What cannot be read is an error: an answer of which a part is left out would pass for whole.
"""

from __future__ import annotations

import json

from gateway_client.providers.wire import items, malformed, mapping, some_text, text

_NO_TEXT = ("thinking", "reasoning", "reasoning_content", "refusal")


def content_of(content: object) -> str:
    """The text of an answer, or of a piece of it. Raises MalformedResponse."""
    if content is None or isinstance(content, str):
        return text(content)
    if not isinstance(content, list):
        raise malformed("the provider's answer is neither text nor parts of it")
    return "".join(_part(part) for part in content)


def _part(part: object) -> str:
    said = part if isinstance(part, str) else mapping(part).get("text")
    if isinstance(said, str):
        return text(said)
    if mapping(part).get("type") in _NO_TEXT:
        return ""
    raise malformed("a part of the provider's answer is no text")


def refusal_in(content: object) -> str | None:
    """A refusal among the parts."""
    return next((told for part in items(content) if (told := some_text(mapping(part).get("refusal")))), None)


def arguments_of(arguments: object) -> str:
    """A call's arguments as JSON text; some servers send the object itself. Raises MalformedResponse."""
    if arguments is None or isinstance(arguments, str):
        return text(arguments)
    if isinstance(arguments, dict):
        return json.dumps(arguments)
    raise malformed("a tool call's arguments are neither text nor an object")
