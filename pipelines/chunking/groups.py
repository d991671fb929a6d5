"""Which sections share a chunk: a section by itself, or small neighbours under one heading together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from pipelines.chunking.packing import price
from pipelines.chunking.pieces import Piece
from pipelines.parsing.document import BlockKind

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CutSection:
    """A section in pieces: its blocks' kinds and pieces, and its own heading as a line of a body."""

    path: Path
    heading: Piece | None
    blocks: list[tuple[BlockKind, list[Piece]]]
    cost: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "cost", sum(price(pieces) for _, pieces in self.blocks))


def grouped(
    sections: Sequence[CutSection], small: int, room: Callable[[Path], int]
) -> Iterator[tuple[Path, list[CutSection]]]:
    """Groups of neighbouring sections and the path that all of a group stand under.

    Sections that cost less than `small` tokens join where they are siblings, or a parent's own text and its
    first children, and together with their headings cost at most `room(path)` tokens.
    """
    group: list[CutSection] = []
    path: Path = ()
    for section in sections:
        shared = _shared_path(group, path, section)
        if shared is not None and section.cost < small and group[0].cost < small:
            cost = sum(_merged_cost(member, shared) for member in (*group, section))
            if cost <= room(shared):
                group.append(section)
                path = shared
                continue
        if group:
            yield path, group
        group, path = [section], section.path
    if group:
        yield path, group


def _shared_path(group: list[CutSection], path: Path, section: CutSection) -> Path | None:
    if not group or not section.path:
        return None
    parent = section.path[:-1]
    if path == parent:
        return parent
    alone = len(group) == 1 and bool(path)
    return parent if alone and path[:-1] == parent else None


def _merged_cost(section: CutSection, shared: Path) -> int:
    heading = section.heading.cost if section.heading is not None and section.path != shared else 0
    return section.cost + heading
