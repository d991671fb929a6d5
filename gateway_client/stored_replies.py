"""Replies as the store keeps them for their idempotency key.

A chat's reply is JSON. Embeddings are a line of JSON and then every vector as little-endian float32: 4 bytes a
number, so 6 kB for a text of 1,536 dimensions, about a third of what the same numbers take as JSON.
"""

from __future__ import annotations

import json
import struct
from dataclasses import asdict
from itertools import chain

from gateway_client.messages import ChatRequest, EmbeddingReply, EmbeddingRequest, Reply, Usage
from gateway_client.outcomes import judge
from gateway_client.records import AnyReply


def packed(reply: AnyReply) -> bytes:
    """A reply for the store. What is no Unicode (half a surrogate pair) is kept as a question mark."""
    if isinstance(reply, Reply):
        return reply.to_json().encode("utf-8", "replace")
    told = {
        "texts": len(reply.vectors),
        "dimensions": len(reply.vectors[0]),
        "usage": None if reply.usage is None else asdict(reply.usage),
        "model_reported": reply.model_reported,
        "provider": reply.provider,
        "provider_request_id": reply.provider_request_id,
        "raw": dict(reply.raw),
    }
    numbers = struct.pack(
        f"<{len(reply.vectors) * len(reply.vectors[0])}f", *chain.from_iterable(reply.vectors)
    )
    return json.dumps(told, separators=(",", ":")).encode() + b"\n" + numbers


def unpacked(stored: bytes, request: ChatRequest | EmbeddingRequest) -> AnyReply:
    """A reply as `packed` wrote it, read as the answer to its request. Raises ValueError for anything else."""
    if isinstance(request, ChatRequest):
        return judge(Reply.from_json(stored.decode()), request).reply
    head, _, numbers = stored.partition(b"\n")
    told = json.loads(head)
    texts, dimensions, usage = told.pop("texts"), told.pop("dimensions"), told.pop("usage")
    if len(numbers) != 4 * texts * dimensions:
        raise ValueError(f"{texts} vectors of {dimensions} numbers do not fit into {len(numbers)} bytes")
    vectors = tuple(struct.iter_unpack(f"<{dimensions}f", numbers))
    return EmbeddingReply(vectors=vectors, usage=None if usage is None else Usage(**usage), **told)
