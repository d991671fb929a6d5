"""Who is next: lanes by precedence, tenants within a lane by the service they had. Pure.

Tenants share a lane by start-time fair queueing (Goyal, Vin, Cheng 1996) over tenants instead of packets: each
has a counter of tokens served; the one that had least goes next, with the estimates of what it has in flight
counted until they settle. Newcomers join by what has settled alone: estimates are several times too high for some
tenants. Charging the tenant and not a stamp on each waiting call makes shares exact for what was really used: a
queue that was stamped by estimates on arrival cannot be corrected any more.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from gateway_client.lanes import Lane


@dataclass(frozen=True, slots=True)
class Room:
    """A pool's slots: how many there are, how many of each lane are taken, what is promised to whom."""

    window: int
    interactive: int
    batch: int
    headroom: int
    batch_minimum: int

    @property
    def free(self) -> int:
        """Slots that nobody has."""
        return self.window - self.interactive - self.batch


@dataclass(frozen=True, slots=True)
class Head:
    """The oldest call of a tenant in a lane that may go now. `served` counts tokens, what is in flight by its
    estimate; `level` only what has settled; `since` is when the call was queued."""

    tenant: str
    served: float
    seq: int
    since: float
    level: float = 0.0


def next_lane(room: Room, interactive: bool, batch: bool, overdue: bool) -> Lane | None:
    """The lane that gets the next slot, None if nobody may.

    Precedence: batch's guaranteed minimum, then what is overdue of batch, then interactive, then batch. Only the
    minimum may enter interactive's headroom, and never all of a small window.
    """
    if room.free <= 0:
        return None
    if batch and room.batch < guaranteed(room):
        return Lane.BATCH
    below_headroom = room.batch < room.window - room.headroom
    if batch and overdue and below_headroom:
        return Lane.BATCH
    if interactive:
        return Lane.INTERACTIVE
    return Lane.BATCH if batch and below_headroom else None


def guaranteed(room: Room) -> int:
    """Slots that batch gets before interactive: its minimum, at most half of the window, of one slot all."""
    return min(room.batch_minimum, max(1, room.window // 2))


def next_head(heads: Iterable[Head]) -> Head | None:
    """The call of the tenant that had least."""
    return min(heads, key=lambda head: (head.served, head.seq), default=None)


def on_arrival(own: float | None, backlogged: Iterable[float], virtual_time: float) -> float:
    """A tenant's counter when it starts to wait: an idle time banks no credit.

    It joins level with the tenant that had least of those that wait, or with the lane's virtual time where none does.
    """
    level = min(backlogged, default=virtual_time)
    return level if own is None else max(own, level)


def suggested_wait(waiting: int, window: float, latency: float) -> float:
    """Seconds until a queue of this length is served, by Little's law."""
    return round(max(0.1, waiting * max(latency, 0.05) / max(window, 1.0)), 3)
