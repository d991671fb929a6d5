"""How far an attempt has come, in seconds of the monotonic clock, which is the event loop's."""

from __future__ import annotations

import time
from dataclasses import dataclass, field


@dataclass(slots=True)
class Progress:
    """`first_token`: seconds from the start. `life`: when the provider last gave a sign of life."""

    started: float = field(default_factory=time.monotonic)
    first_token: float | None = None
    life: float | None = None
    at_gate: bool = False
    sending: bool = False

    def seconds(self) -> float:
        """Since it began, but for what it waited at a gate."""
        return time.monotonic() - self.started

    def lives(self) -> None:
        """The provider works on it."""
        self.life = time.monotonic()

    def token(self) -> None:
        """A piece of the answer has come."""
        self.lives()
        if self.first_token is None:
            self.first_token = self.seconds()
