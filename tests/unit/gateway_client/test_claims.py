"""Who is cancelled while it claims an idempotency key leaves the key to others, whenever that was."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway_client.ledger.ledger import Ledger
from gateway_client.store.opening import open_database
from tests.support.gateway import call_row


class Held:
    """Work of the store's thread that goes no further until it may."""

    def __init__(self, work: Callable[..., Any], *, before: bool) -> None:
        self._work, self._before = work, before
        self.reached, self.may_go_on = threading.Event(), threading.Event()

    def __call__(self, *given: Any, **named: Any) -> Any:
        found = None if self._before else self._work(*given, **named)
        self.reached.set()
        assert self.may_go_on.wait(10)
        return self._work(*given, **named) if self._before else found


@pytest.mark.parametrize("before", [True, False], ids=["before it was written", "after"])
def test_a_key_that_was_claimed_for_nobody_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    async def scene() -> str:
        ledger = Ledger(open_database(f"sqlite:///{tmp_path / 'gateway.sqlite3'}"))
        await ledger.open({})
        claim = ledger._transactions.claim
        held = Held(claim, before=before)
        monkeypatch.setattr(ledger._transactions, "claim", held)
        claiming = asyncio.create_task(ledger.claim(call_row(key="k"), buy_again=False))
        await asyncio.to_thread(held.reached.wait, 10)
        claiming.cancel()
        await asyncio.wait({claiming})
        assert claiming.cancelled()
        held.may_go_on.set()
        await ledger._work.finish()
        monkeypatch.setattr(ledger._transactions, "claim", claim)
        found = await ledger.claim(call_row(key="k"), buy_again=False)
        await ledger.close()
        return found.kind

    assert asyncio.run(scene()) == "yours"
