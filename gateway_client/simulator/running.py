"""Running a simulated provider: in the foreground, or in a thread of a test."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import uvicorn

from gateway_client.catalogue import Catalogue
from gateway_client.simulator.application import Application
from gateway_client.simulator.connection import TransportInScope
from gateway_client.simulator.log import Entry, Log
from gateway_client.simulator.provider import SimulatedProvider
from gateway_client.simulator.settings import Settings, changed

SIMULATED = Path(__file__).parent / "models.toml"
BACKLOG = 2048


def server_of(provider: SimulatedProvider, **options: Any) -> uvicorn.Server:  # noqa: ANN401 - uvicorn's own
    """The server, not yet running. `options` are uvicorn's (host, port, ssl_keyfile, ...)."""
    config = uvicorn.Config(
        Application(provider),
        http=TransportInScope,
        lifespan="off",
        ws="none",
        log_config=None,
        access_log=False,
        date_header=False,  # uvicorn's is seconds old when it is busy, and clients reckon by it
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=75,
        **options,
    )
    return uvicorn.Server(config)


class Simulator:
    """A simulated provider in a thread of its own, on a free port, for as long as the `with` block lasts.

        with Simulator(capacity=4) as simulator:
            catalogue = simulator.catalogue   # its models, at its address

    Keyword arguments are those of `Settings`.
    """

    def __init__(
        self,
        catalogue: Catalogue | None = None,
        *,
        log_file: Path | None = None,
        tls: tuple[str, str] | None = None,
        **settings: Any,  # noqa: ANN401 - Settings checks them
    ) -> None:
        self._models = catalogue or Catalogue.load(SIMULATED)
        self._log = Log(log_file)
        self.provider = SimulatedProvider(self._models, Settings.model_validate(settings), self._log)
        options = {"ssl_keyfile": tls[0], "ssl_certfile": tls[1]} if tls else {}
        self._scheme = "https" if tls else "http"
        self._server = server_of(self.provider, **options)
        self._thread = threading.Thread(target=self._run, name="simulated-provider", daemon=True)
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)

    def __enter__(self) -> Self:
        self._thread.start()
        limit = time.monotonic() + 10
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > limit:
                raise RuntimeError("the simulated provider did not start")
            time.sleep(0.005)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._server.force_exit = True
        self._thread.join(10)
        self._socket.close()
        self._log.close()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{self._scheme}://127.0.0.1:{self._socket.getsockname()[1]}"

    @property
    def catalogue(self) -> Catalogue:
        """The models that it simulates, at its address."""
        return self._models.pointed_at(self.url)

    @property
    def log(self) -> list[Entry]:
        """What it saw so far."""
        return list(self._log.entries)

    def change(self, patch: Mapping[str, Any] | None = None, **settings: Any) -> None:  # noqa: ANN401
        """Behave otherwise from now on."""
        self.provider.change(changed(self.provider.settings, {**(patch or {}), **settings}))

    def reset(self) -> None:
        """Forget all that was seen."""
        self.provider.reset()

    def settled(self, requests: int, within: float = 5.0) -> list[Entry]:
        """The log once so many requests have ended. Raises TimeoutError."""
        limit = time.monotonic() + within
        while sum(entry.ended is not None for entry in self.log) < requests:
            if time.monotonic() > limit:
                raise TimeoutError(f"{requests} requests should have ended: {self.log}")
            time.sleep(0.005)
        return self.log

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])
