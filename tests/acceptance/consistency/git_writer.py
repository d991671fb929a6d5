"""A tenant's pages as text files on a branch, written by commits."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from tests.acceptance.consistency.history import History
from tests.acceptance.consistency.pages import Drop, Op, Page, applied
from tests.acceptance.consistency.writer import Expected
from tests.support.git_repository import GitRepository

STEP = 60  # seconds that the repository adds to its own clock before each commit


class GitWriter:
    """A position is a commit's id. A file has neither title nor metadata: to change those changes nothing."""

    kind = "git"
    transactional = True

    def __init__(self, path: Path, source: str, clock: Callable[[], datetime]) -> None:
        self.history = History(source)
        self._clock = clock
        self._repository = GitRepository(path)

    @property
    def uri(self) -> str:
        return str(self._repository.path)

    @property
    def options(self) -> Mapping[str, str]:
        return {"branch": "main"}

    def commit(self, ops: Sequence[Op], accidents: frozenset[str] = frozenset()) -> None:
        plain = [_plain(op) for op in ops]
        self.history.commit(plain, lambda: self._write(plain), accidents, self._times)

    def expected(self, page: Page) -> Expected:
        path = f"{page.key}.txt"
        uri = f"{self._repository.path.stem}/{path}"
        return Expected(path, path, "", uri, {}, page.body, not page.broken)

    def _times(self) -> tuple[float, float]:
        # It has its time when it is begun, and nobody sees it before it is done.
        return self._repository.time, self._clock().timestamp()

    def close(self) -> None:
        """Nothing is open."""

    def _write(self, ops: Sequence[Op]) -> str:
        rows = applied(self.history.rows, ops)
        parents = (self.history.commits[-1].position,) if self.history.commits else ()
        self._repository.time = int(self._clock().timestamp()) - STEP
        return self._repository.commit(
            {f"{key}.txt".encode(): page.body.encode() for key, page in sorted(rows.items())}, parents
        )


def _plain(op: Op) -> Op:
    return op if isinstance(op, Drop) else replace(op, page=replace(op.page, title="", rev=0))
