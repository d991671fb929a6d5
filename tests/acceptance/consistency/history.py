"""What the source was after each transaction, kept by the writers themselves: the truth to compare with."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from tests.acceptance.consistency.pages import Op, Page, State, applied


@dataclass(frozen=True, slots=True)
class Commit:
    """A transaction: when it was under way (monotonic ns), what the source calls it, the rows after it.

    `accidents` names the tenants that it took almost everything from. `at` is the time that the source gives
    it, in seconds, where a writer sets that; `visible` when others could see it, on the same clock.
    """

    began: int
    ended: int
    position: str
    rows: State
    accidents: frozenset[str] = frozenset()
    at: float | None = None
    visible: float | None = None


@dataclass
class History:
    """One source's transactions in the order in which they committed.

    `place` gives a position's index where positions are not simply equal; None where it is none of ours.
    """

    source: str
    place: Callable[[list[Commit], str], int | None] | None = None
    commits: list[Commit] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    _indices: dict[str, int] = field(default_factory=dict)

    @property
    def rows(self) -> State:
        """The rows now."""
        return self.commits[-1].rows if self.commits else {}

    def commit(
        self,
        ops: Iterable[Op],
        write: Callable[[], str],
        accidents: frozenset[str] = frozenset(),
        times: Callable[[], tuple[float | None, float | None]] = lambda: (None, None),
    ) -> Commit:
        """Run `write`, which commits and gives the position, and record the rows after it. One at a time."""
        with self.lock:
            began = time.monotonic_ns()
            position = write()
            rows = applied(self.rows, ops)
            done = Commit(began, time.monotonic_ns(), position, rows, accidents, *times())
            self._indices[position] = len(self.commits)
            self.commits.append(done)
        return done

    def index(self, position: str) -> int | None:
        """The number of the transaction that brought the source to a position; None for no state of ours."""
        if self.place is not None:
            return self.place(self.commits, position)
        return self._indices.get(position)

    def of_tenant(self, index: int, tenant: str) -> dict[str, Page]:
        """A tenant's rows after a transaction."""
        return {key: page for key, page in self.commits[index].rows.items() if page.tenant == tenant}

    def ended_before(self, moment: int) -> int:
        """The number of the last transaction that was over by then; -1 where none was."""
        return self._last(lambda commit: commit.ended < moment)

    def begun_before(self, moment: int) -> int:
        """The number of the last transaction that was under way by then."""
        return self._last(lambda commit: commit.began < moment)

    def _last(self, holds: Callable[[Commit], bool]) -> int:
        low, high = 0, len(self.commits)
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if holds(self.commits[middle]) else (low, middle)
        return low - 1
