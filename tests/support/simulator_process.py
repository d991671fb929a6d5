"""A simulated provider in a process of its own, so that its work does not slow down the clock of who is measured."""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import httpx

from gateway_client.catalogue import Catalogue
from gateway_client.messages import Usage
from gateway_client.simulator.log import Entry
from gateway_client.simulator.running import Simulator


@dataclass(frozen=True)
class SimulatorProcess:
    """Where it is, and what it saw."""

    url: str
    catalogue: Catalogue

    def log(self) -> list[Entry]:
        """Every request so far."""
        found = httpx.get(f"{self.url}/admin/log", verify=False, timeout=60).json()
        return [Entry(**{**entry, "usage": Usage(**entry["usage"])}) for entry in found]


@contextmanager
def simulator_process(document: Mapping[str, Any], **settings: Any) -> Iterator[SimulatorProcess]:
    """A simulator of the models in a catalogue's document, for as long as the block lasts."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_serve, args=(there, dict(document), settings), daemon=True)
    process.start()
    try:
        if not here.poll(60):
            raise RuntimeError("the simulated provider did not start")
        url = here.recv()
        yield SimulatorProcess(url, Catalogue.of(document).pointed_at(url))
    finally:
        here.send("end")
        process.join(10)
        process.close()


def _serve(pipe: Connection, document: dict[str, Any], settings: dict[str, Any]) -> None:
    with Simulator(Catalogue.of(document), **settings) as simulator:
        pipe.send(simulator.url)
        pipe.recv()
