"""The one place where a filter becomes the engine's conditions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import TypeAlias

import qdrant_edge as edge

from retrieval.index.edge.shard import NAMES, document_id_name, document_name, source_name, value_name
from retrieval.index.filter import Condition, Filter, Range, Scalar, is_time_range

EngineCondition: TypeAlias = (
    edge.FieldCondition
    | edge.IsEmptyCondition
    | edge.IsNullCondition
    | edge.HasIdCondition
    | edge.HasVectorCondition
    | edge.NestedCondition
    | edge.Filter
)


def engine_filter(where: Filter) -> edge.Filter | None:
    """None where nothing is filtered out.

    Hidden documents are left out by the engine: at 50,000 points 1,000 hidden documents add 2 ms to a dense
    and 1 ms to a lexical search, where asking for as many more hits and dropping them adds 5 and 2.
    """
    must: list[EngineCondition] = [_metadata(name, condition) for name, condition in where.metadata.items()]
    if where.sources is not None:
        must.append(_any(NAMES, sorted(map(source_name, where.sources))))
    if where.documents is not None:
        must.append(_any(NAMES, sorted(map(document_name, where.documents))))
    must_not: list[EngineCondition] = [_hidden(where.hidden)] if where.hidden else []
    if not must and not must_not:
        return None
    return edge.Filter(must=must, must_not=must_not)


@lru_cache(maxsize=64)
def _hidden(documents: frozenset[tuple[str, str]]) -> edge.FieldCondition:
    """Cached: between two deletions every query of a tenant hides the same documents."""
    return _any(NAMES, sorted(document_id_name(source, document) for source, document in documents))


def _any(field: str, names: Sequence[str]) -> edge.FieldCondition:
    return edge.FieldCondition(field, match=edge.MatchAny(list(names)))


def _metadata(name: str, condition: Condition) -> EngineCondition:
    if isinstance(condition, str | int | float):
        return _equals(name, condition)
    if isinstance(condition, Mapping):
        return edge.FieldCondition(_field(name), range=_range(condition))
    filed = [(value, value_name(name, value)) for value in condition]
    named = _any(NAMES, [known for _, known in filed if known is not None])
    others = [_equals(name, value) for value, known in filed if known is None]
    return edge.Filter(should=[named, *others]) if others else named


def _equals(name: str, value: Scalar) -> edge.FieldCondition:
    known = value_name(name, value)
    if known is not None:
        return _any(NAMES, [known])
    if isinstance(value, float):  # the engine matches no floats; a range of one value is the same
        return edge.FieldCondition(_field(name), range=edge.RangeFloat(gte=value, lte=value))
    return edge.FieldCondition(_field(name), match=edge.MatchValue(value))


def _range(condition: Range) -> edge.RangeFloat | edge.RangeDateTime:
    if is_time_range(condition):
        return edge.RangeDateTime(
            **{k: datetime.fromisoformat(str(v)).isoformat() for k, v in condition.items()}
        )
    return edge.RangeFloat(**{name: float(bound) for name, bound in condition.items()})


def _field(name: str) -> str:
    return f'metadata."{name}"'
