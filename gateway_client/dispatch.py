"""What is sent cannot be taken back: it ends in a task of its own, which settles it, whoever still waits."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gateway_client.call import Call, Settled
from gateway_client.errors import GatewayError, Silent, StoreUnavailable
from gateway_client.exchange.terms import Exchange
from gateway_client.exchange.wire import Wire
from gateway_client.judging import judged
from gateway_client.ledger.entries import Ask, Effect, Ending, Settlement


@dataclass(frozen=True, slots=True)
class Dispatch:
    """One attempt of a call that was granted."""

    call: Call
    ask: Ask

    async def send(self, wire: Wire) -> Exchange:
        """Send, judge, settle. Cancelled (the loop ends, or a drain took too long), it is charged as unknown."""
        sent, record = False, self.call.record
        try:
            await wire.gate()
            sent = True
            record.sends += 1
            exchange = judged(await wire.run(), self.call.request, self.ask.model)
            record.first_token = exchange.first_token
            self._shut(exchange)
            ending = self._ending(exchange)
        except BaseException:
            state = "unknown" if sent and not wire.progress.at_gate else "released"
            record.sends -= sent and wire.progress.at_gate
            record.cost += self.ask.microdollars if state == "unknown" else 0
            self.release(Settlement(state, Effect("not_sent"), "abandoned"))
            raise
        if exchange.settlement.outcome == "gate":
            record.sends -= 1
        elif exchange.error is not None:
            self._failed(exchange.error)
        if exchange.rejected:
            return exchange
        await self._settle(exchange.settlement, ending)
        return self._timely(exchange)

    def _failed(self, error: GatewayError) -> None:
        """An attempt that was cut short by the call's end tells less than what failed before it."""
        call = self.call
        if call.last is None or call.left() > 0 or not isinstance(error, Silent):
            call.failed(error, self.ask.model)

    def release(self, settlement: Settlement) -> None:
        """End it without waiting for that."""
        self.call.settled = Settled(self.ask.pool, self.ask.id, settlement)
        self.call.means.ledger.settle_surely(self.ask.pool, self.ask.id, settlement)

    def _shut(self, exchange: Exchange) -> None:
        """Shut the gate at once, for everybody; the ledger writes it down."""
        effect = exchange.settlement.effect
        wait = effect.retry_after
        if wait is not None and effect.kind in ("rejected", "failed"):
            self.call.means.ledger.shut(self.ask.pool, wait)

    def _timely(self, exchange: Exchange) -> Exchange:
        """A silence that lasted until the whole call's time was up is that."""
        if exchange.error is not None and exchange.transient and self.call.left() <= 0:
            return replace(exchange, error=self.call.too_late(), transient=False)
        return exchange

    def _ending(self, exchange: Exchange) -> Ending | None:
        """Count what it took; the call's end, where it is answered."""
        record, settlement = self.call.record, exchange.settlement
        if settlement.state == "settled" and settlement.usage is not None:
            record.count(settlement.usage, settlement.cost)
        elif settlement.state == "unknown" and not exchange.rejected:
            record.cost += self.ask.microdollars
        if exchange.reply is None or exchange.error is not None:
            return None
        return self.call.done(self.ask.model, exchange.reply)

    async def _settle(self, settlement: Settlement, ending: Ending | None) -> None:
        pool, attempt, ledger = self.ask.pool, self.ask.id, self.call.means.ledger
        self.call.settled = Settled(pool, attempt, settlement)
        if self.call.row.key is None:
            # Nobody has to wait for it: until it is written, the hold stands for it.
            ledger.settle_surely(pool, attempt, settlement, ending)
            return
        try:
            await ledger.settled(pool, attempt, settlement, ending)
        except StoreUnavailable:
            # The provider has answered: the answer counts, and the ledger is told as soon as it can be.
            ledger.settle_later(pool, attempt, settlement, ending)
