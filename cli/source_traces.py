"""What capture made at a source's place, which another source may need as well."""

from __future__ import annotations

from collections.abc import Mapping

from pipelines.sources.kinds import traces
from registry import sources
from registry.database import Registry


def may_be_removed(
    registry: Registry, kind: str, uri: str, options: Mapping[str, str], *, but: int = 0, beside: str = ""
) -> bool:
    """Whether there is something that no source needs; `but` is a source, `beside` a tenant, whose need ends."""
    own = traces(kind, uri, options)
    with registry.read() as session:
        others = [other for other in sources.present(session) if other.id != but]
    needed = {
        traces(other.kind, other.uri, other.options)
        for other in others
        if not beside or other.tenant_id != beside
    }
    return bool(own) and own not in needed
