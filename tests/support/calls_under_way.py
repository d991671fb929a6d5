"""Calls of the gateway client whose ledger answers by script, for tests that need neither a store nor a provider."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, cast

from gateway_client.call import Call, Caller, Means
from gateway_client.lanes import Lane
from gateway_client.ledger.calls import Claimed
from gateway_client.ledger.entries import CallRow, Ending, Settlement
from gateway_client.records import Record
from tests.support.model_calls import OPENAI_MODEL, ask


class ScriptedLedger:
    """Answers claims one after the other (the last one for ever), and remembers how calls were ended."""

    def __init__(self, claims: Iterable[Claimed] = ()) -> None:
        self._claims = list(claims)
        self.asked: list[bool] = []
        self.ended: list[Ending] = []

    async def claim(self, row: CallRow, *, buy_again: bool) -> Claimed:
        self.asked.append(buy_again)
        return self._claims.pop(0) if len(self._claims) > 1 else self._claims[0]

    def settle_surely(self, pool: str, attempt: str, settlement: Settlement, ending: Ending) -> None:
        self.ended.append(ending)


def call_under_way(
    ledger: ScriptedLedger, *, key: str | None = "k", seconds: float = 5.0, **more: Any
) -> Call:
    """A call of acme's, to be made within a running loop."""
    row = CallRow("call", "w", "acme", "interactive", "f", "", "sim-openai", "fp", key)
    means = cast(Means, SimpleNamespace(ledger=ledger))
    caller = Caller("acme", Lane.INTERACTIVE, "f", "")
    until = asyncio.get_running_loop().time() + seconds
    return Call(means, caller, row, ask(), [OPENAI_MODEL], until, Record("r"), **more)
