"""What a generation is built with. Whatever changes its bytes is in here, and so in its identity."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from registry.changelog import PinnedAt

PARSED_WITH = ("parser", "chunker", "tokenizer", "max_tokens", "analyzer")


@dataclass(frozen=True, slots=True)
class BuildConfiguration:
    """Versions of every part that turns a document into points. `model` is the embedding registry's id."""

    parser: str
    chunker: str
    tokenizer: str
    max_tokens: int
    analyzer: str
    model: str
    index_format: int

    @property
    def parse_hash(self) -> str:
        """What parsing, chunking and term counting depend on: the key of their cache."""
        return parse_hash_of(asdict(self))

    def as_dict(self) -> dict[str, Any]:
        """For the registry and for people."""
        return asdict(self)


def parse_hash_of(configuration: Mapping[str, Any]) -> str:
    """`BuildConfiguration.parse_hash` of a stored configuration, which an older version may have written."""
    return _digest([configuration.get(field) for field in PARSED_WITH])


def identity(
    configuration: BuildConfiguration,
    pins: Sequence[PinnedAt],
    base: int | None,
    rejected: Sequence[str] = (),
    decided: Sequence[str] = (),
) -> str:
    """A generation's identity, 64 hex digits: the same identity gives the same bytes of content.

    `rejected` are deletions that people refused, `decided` what they decided about dead letters.
    """
    places = sorted([pin.source_id, pin.epoch, pin.seq, pin.position] for pin in pins)
    return _digest([configuration.as_dict(), places, base, sorted(rejected), sorted(decided)])


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """What differs between two stored configurations, for people: `chunker 1 -> 2, model a -> b`."""
    names = [name for name in after if before.get(name) != after[name]]
    return ", ".join(f"{name} {before.get(name, 'none')} -> {after[name]}" for name in names)


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
