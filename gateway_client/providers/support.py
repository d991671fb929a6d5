"""Whether a model can do what a request asks, told before anything is sent."""

from __future__ import annotations

from gateway_client.errors import UnsupportedRequest
from gateway_client.messages import ChatRequest, Image, Message
from gateway_client.model import Capability, ModelSpec


def check_supported(request: ChatRequest, model: ModelSpec, *, stream: bool) -> None:
    """Raises UnsupportedRequest, naming the first thing that the model cannot do."""
    wanted = {
        Capability.CHAT: True,
        Capability.STREAMING: stream,
        Capability.TOOLS: bool(request.tools),
        Capability.IMAGES: any(isinstance(part, Image) for m in request.messages for part in m.parts),
        Capability.SAMPLING: request.temperature is not None,
        Capability.SEED: request.seed is not None,
    }
    for capability, asked in wanted.items():
        if asked and not model.can(capability):
            raise UnsupportedRequest(
                f"model {model.name!r} cannot do {capability.value}; call one that can, or leave it out"
            )
    if request.max_tokens > model.max_output:
        raise UnsupportedRequest(
            f"max_tokens is {request.max_tokens}; {model.name!r} writes at most {model.max_output}"
        )


def check_no_image(message: Message) -> None:
    """Raises UnsupportedRequest for an image where the wire format has no place for one."""
    if any(isinstance(part, Image) for part in message.parts):
        raise UnsupportedRequest(
            f"a {message.role} message cannot carry an image here: put it into a user message"
        )
