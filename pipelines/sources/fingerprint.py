"""One digest for one version of a document, over everything that a reader of it could see."""

from __future__ import annotations

import hashlib
import json

from pipelines.sources.source import Unreadable, Upsert


def content_digest(content: bytes) -> str:
    """SHA-256 of the bytes, as 64 hex digits."""
    return hashlib.sha256(content).hexdigest()


def fingerprint(change: Upsert | Unreadable) -> str:
    """64 hex digits that change whenever key, title, uri, media type, metadata, content or tenant do."""
    if isinstance(change, Unreadable):
        fields: list[object] = ["unreadable", change.key, change.reason, change.tenant]
    else:
        fields = [
            change.key,
            change.title,
            change.uri,
            change.media_type,
            change.metadata,
            content_digest(change.content),
            change.tenant,
        ]
    encoded = json.dumps(fields, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(encoded.encode()).hexdigest()
