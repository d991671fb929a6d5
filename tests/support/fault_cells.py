"""Cells of the fault matrix: each has models, pools and a tenant of its own, so that all can run at once.

A cell is one call under one fault; what became of it is judged from the simulator's log and the ledger's rows.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from gateway_client.catalogue import Catalogue
from gateway_client.client import GatewayClient
from gateway_client.errors import GatewayError
from gateway_client.records import Completion
from gateway_client.settings import GatewaySettings
from gateway_client.simulator.faults import parse
from gateway_client.simulator.log import Entry
from tests.support.model_calls import LABEL_SCHEMA
from tests.support.simulator_process import simulator_process

Way = Literal["whole", "stream", "buffered"]
Case = Literal["fallback", "alone", "once"]
DEADLINE, FIRST_TOKEN, STALL = 7.0, 2.5, 2.5
AT_ONCE = 12
PRICES = {"input": 2_000_000, "output": 8_000_000, "cache_read": 500_000, "cache_write": 2_500_000}
VERSIONS = {"openai": "{}-2026-01-01", "anthropic": "{}-20260101"}
OTHER = {"openai": "anthropic", "anthropic": "openai"}


@dataclass(frozen=True)
class Cell:
    """`fallback`: the fault strikes the first model always, and a second stands by. `alone`: it strikes always, and
    nobody does. `once`: it strikes the first arrival only, and nobody stands by."""

    fault: str
    way: Way
    case: Case
    format: str

    @property
    def name(self) -> str:
        text = f"{self.fault}-{self.way}-{self.case}-{self.format}"
        return "".join(char if char.isalnum() else "-" for char in text)

    @property
    def version(self) -> str:
        return VERSIONS[self.format].format(self.name)

    def models(self) -> dict[str, Any]:
        """Its models, as a catalogue's file has them."""
        first = _model(self.format, self.name)
        if self.case != "fallback":
            return {self.name: first}
        second = f"{self.name}-second"
        larger = _model(OTHER[self.format], second) | {"context_window": 32_000}
        return {self.name: first | {"fallbacks": [second]}, second: larger}

    def rule(self) -> dict[str, Any]:
        """Its fault, as the simulator's settings have it."""
        found = parse(self.fault).model_dump(mode="json") | {"model": self.version}
        return found | ({"attempts": [1]} if self.case == "once" else {})


def _model(format_: str, name: str) -> dict[str, Any]:
    return {
        "provider": format_,
        "version": VERSIONS[format_].format(name),
        "context_window": 16_000,
        "max_output": 4_000,
        "capabilities": ["chat", "streaming", "json_schema", "tools"],
        "approved": ["prod"],
        "prices": PRICES,
    }


@dataclass
class Result:
    """What became of a cell."""

    cell: Cell
    completion: Completion | None = None
    error: GatewayError | None = None
    seen: str = ""
    seconds: float = 0.0
    sent: list[Entry] = field(default_factory=list)
    attempts: list[dict[str, Any]] = field(default_factory=list)

    @property
    def first(self) -> list[Entry]:
        """What reached the model asked first."""
        return [entry for entry in self.sent if entry.model == self.cell.version]

    @property
    def second(self) -> list[Entry]:
        """What reached the fallback."""
        return [entry for entry in self.sent if entry.model != self.cell.version]

    def bill(self, attempt: str) -> int:
        """What the provider charges for an attempt, in micro-dollars."""
        return sum(entry.micro_dollars for entry in self.sent if entry.claimed_attempt == attempt)


def catalogue_of(cells: Iterable[Cell]) -> dict[str, Any]:
    """A catalogue's document with every cell's models."""
    providers = {
        format_: {"format": format_, "base_url": f"http://127.0.0.1:9/{format_}"} for format_ in OTHER
    }
    models = {name: model for cell in cells for name, model in cell.models().items()}
    return {"providers": providers, "models": models}


def run_cells(cells: list[Cell], store: Path) -> dict[Cell, Result]:
    """Run them all, against one simulator and one ledger."""
    rules = [cell.rule() for cell in cells]
    with simulator_process(catalogue_of(cells), rules=rules, first_token={"seconds": 0.01}) as simulator:
        results = asyncio.run(_run(cells, simulator.catalogue, store))
        time.sleep(0.3)  # what the client left behind is noticed by the server
        _add_evidence(results, simulator.log(), store)
    return {result.cell: result for result in results}


async def _run(cells: list[Cell], catalogue: Catalogue, store: Path) -> list[Result]:
    settings = GatewaySettings(
        url=f"sqlite:///{store}",
        interactive_deadline=DEADLINE,
        answer_seconds=FIRST_TOKEN,
        first_token_seconds=FIRST_TOKEN,
        stall_seconds=STALL,
        drain_seconds=1.0,
        max_answer_mb=0.2,
    )
    room = asyncio.Semaphore(AT_ONCE)
    async with GatewayClient(settings, catalogue, seed=1) as client:
        return await asyncio.gather(*(_one(client, cell, room) for cell in cells))


async def _one(client: GatewayClient, cell: Cell, room: asyncio.Semaphore) -> Result:
    result = Result(cell)
    async with room:
        started = time.monotonic()
        try:
            result.completion = await _call(client, cell, result)
        except GatewayError as error:
            result.error = error
        result.seconds = time.monotonic() - started
    return result


async def _call(client: GatewayClient, cell: Cell, result: Result) -> Completion:
    request: dict[str, Any] = {
        "tenant": "acme",
        "model": cell.name,
        "messages": [{"role": "user", "content": f"Label this: {cell.name}"}],
        "max_tokens": 60,
        "schema": LABEL_SCHEMA,
        "request_id": cell.name,
    }
    if cell.way == "whole":
        return await client.chat(**request)
    stream = await client.stream(**request, buffer=cell.way == "buffered")
    async for event in stream:
        result.seen += event.text
    return stream.completion


def _add_evidence(results: list[Result], log: list[Entry], store: Path) -> None:
    with sqlite3.connect(store) as connection:
        connection.row_factory = sqlite3.Row
        rows = [dict(row) for row in connection.execute("select * from attempt order by seq, number")]
    connection.close()
    for result in results:
        models = set(result.cell.models())
        result.sent = [entry for entry in log if entry.request_id == result.cell.name]
        result.attempts = [row for row in rows if row["model"] in models]
