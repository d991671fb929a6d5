"""How long work tells how far it is."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Told of each stage's size and advance; shown as a bar, logged, or ignored."""

    def begin(self, stage: str, total: int) -> None: ...

    def advance(self, stage: str, by: int = 1) -> None: ...


class Silent:
    """Shows nothing."""

    def begin(self, stage: str, total: int) -> None:
        return None

    def advance(self, stage: str, by: int = 1) -> None:
        return None
