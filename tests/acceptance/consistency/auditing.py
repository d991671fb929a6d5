"""What a generation holds and what an answer said, brought into the one shape that the checker compares."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from registry import generations
from registry.schema import Generation
from retrieval.index.store import GenerationRef
from tests.acceptance.consistency.record import Audited, Documents, Served, name_of
from tests.support.world import World


def audit(world: World, tenant: str, generation: Generation, labels: Mapping[int, str]) -> Audited:
    """A generation as its index has it, point by point; `labels` are the sources' by id.

    Raises IndexUnavailable where it is gone.
    """
    number = generation.number
    with world.reading() as session:
        pins = generations.pins(session, generation.tenant_id, number)
        listed = {
            (labels[row.source_id], row.key)
            for row in generations.documents(session, generation.tenant_id, number)
        }
    positions = {labels[source]: pin.position for source, pin in pins.items()}
    named = {name_of(label): label for label in positions}
    with world.store.open(GenerationRef(generation.tenant_id, number)) as reader:
        payloads = [point.payload for point in reader.points()]
    documents = _documents((named.get(p["source"], p["source"]), p["document"], p) for p in payloads)
    return Audited(
        tenant, number, generation.base, positions, generation.quiescent, documents, frozenset(listed)
    )


def documents_of_hits(hits: Sequence[Any]) -> Documents:
    """The documents of an answer."""
    names = ("title", "uri", "metadata", "version", "position", "stale", "text")
    return _documents(
        (hit.source, hit.document, {name: getattr(hit, name) for name in names}) for hit in hits
    )


def _documents(chunks: Iterable[tuple[str, str, dict[str, Any]]]) -> Documents:
    grouped: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for source, document, chunk in chunks:
        grouped.setdefault((source, document), []).append(chunk)
    return {key: _served(chunks) for key, chunks in grouped.items()}


def _served(chunks: list[dict[str, Any]]) -> Served:
    """One document; where its chunks disagree on what it is, it shows as two versions at once."""
    said = {
        name: _agreed([chunk[name] for chunk in chunks])
        for name in ("title", "uri", "metadata", "version", "position", "stale")
    }
    return Served(**said, texts=tuple(sorted(chunk["text"] for chunk in chunks)))


def _agreed(values: list[Any]) -> Any:
    return values[0] if all(value == values[0] for value in values) else ("in dispute", *values)
