"""Calls to a server of raw bytes, and what must hold after each: nothing open, nothing held, nobody late."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import Any, TypeVar
from unittest.mock import patch

import certifi

from gateway_client.catalogue import Catalogue
from gateway_client.client import GatewayClient
from gateway_client.errors import GatewayError
from gateway_client.operating import operator
from gateway_client.scopes import Span, Unit
from gateway_client.settings import GatewaySettings
from tests.support.gateway_raw_server import (
    ANTHROPIC_VERSION,
    FALLBACK_VERSION,
    OPENAI_VERSION,
    Asked,
    RawServer,
    Script,
)

HELLO: dict[str, Any] = {
    "tenant": "acme", "model": "o", "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 50,
    "deadline": 8.0,
}  # fmt: skip
TOOL = {
    "name": "look",
    "description": "Looks.",
    "parameters": {"type": "object", "properties": {"q": {"type": "string"}}},
}
SLACK = 1.0  # seconds that a caller may be told its deadline late, on a machine that does not stall
T = TypeVar("T")
OF_CLIENT = ("configured", "key", "scheme", "port", "start")
Work = Callable[[GatewayClient], Awaitable[Any]]


def catalogue(port: int, *, scheme: str = "http", key: str | None = None) -> Catalogue:
    """o, and o with fallbacks: `small` to one whose context is not larger, `large` to that one and a larger one."""
    chat = {
        "provider": "o", "version": OPENAI_VERSION, "context_window": 16_000, "max_output": 8_000, "pool": "p",
        "capabilities": ["chat", "streaming", "tools", "json_schema"], "approved": ["prod"],
        "prices": {"input": 2_000_000, "output": 8_000_000, "cache_read": 500_000, "cache_write": 2_500_000},
    }  # fmt: skip
    other = chat | {"provider": "b", "version": FALLBACK_VERSION, "pool": "q"}
    at = {"base_url": f"{scheme}://127.0.0.1:{port}/v1"} | ({"api_key_env": key} if key else {})
    return Catalogue.of(
        {
            "providers": {
                "o": at | {"format": "openai"},
                "a": at | {"format": "anthropic"},
                "b": at | {"format": "openai", "base_url": f"{scheme}://127.0.0.1:{port}/second"},
            },
            "pools": {name: {"window": 8} for name in "pqe"},
            "models": {
                "o": chat,
                "small": chat | {"version": "o-2026-01-02", "reports": [OPENAI_VERSION], "fallbacks": ["b"]},
                "large": chat | {"version": "o-2026-01-03", "reports": [OPENAI_VERSION], "fallbacks": ["b", "c"]},
                "b": other,
                "c": other | {"version": "c-2026-01-01", "reports": [FALLBACK_VERSION], "context_window": 64_000},
                "a": chat | {"provider": "a", "version": ANTHROPIC_VERSION},
                "e": {
                    "provider": "o", "version": "e-2026-01-01", "context_window": 8_000, "pool": "e",
                    "capabilities": ["embeddings"], "approved": ["prod"], "prices": {"input": 20_000},
                },
            },
        }
    )  # fmt: skip


@dataclass
class Stalls:
    """How many seconds the machine stood still while the block lasted: what a thread overslept."""

    seconds: float = 0.0
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Stalls:
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        began = time.monotonic()
        while not self._over.wait(0.05):
            self.seconds += max(0.0, time.monotonic() - began - 0.1)
            began = time.monotonic()


@dataclass
class Found:
    """What a call came to: `got` or `error`, the stream's pieces, the requests, and the rows of the store."""

    store: Path
    got: Any = None
    error: GatewayError | None = None
    pieces: list[Any] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)

    def rows(self, table: str) -> list[dict[str, Any]]:
        """All rows of a table."""
        connection = sqlite3.connect(self.store)
        connection.row_factory = sqlite3.Row
        found = [dict(row) for row in connection.execute(f"select * from {table}")]
        connection.close()
        return found

    @property
    def attempts(self) -> list[dict[str, Any]]:
        """The attempts, in their order."""
        return sorted(self.rows("attempt"), key=lambda row: (row["queued"], row["number"]))

    @property
    def states(self) -> list[str]:
        """The attempts' states, in their order."""
        return [row["state"] for row in self.attempts]

    def written(self) -> str:
        """Everything that the store holds."""
        connection = sqlite3.connect(self.store)
        found = "\n".join(connection.iterdump())
        connection.close()
        return found

    def check_charged_as_unknown(self) -> None:
        """One attempt, charged at its maximum."""
        (attempt,) = self.attempts
        assert (attempt["state"], attempt["cost_micro"]) == ("unknown", attempt["hold_micro"])
        assert attempt["cost_micro"] > 0

    def check_quiet(self) -> None:
        """Nothing is on its way, and nothing is held for it."""
        assert set(self.states) <= {"settled", "released", "unknown"}, self.attempts
        assert [row for row in self.rows("counter") if row["held"]] == []
        assert [row["state"] for row in self.rows("call") if row["state"] == "running"] == []
        assert self.rows("worker") == []


@cache
def _one_certificate() -> str:
    """A file with a single certificate: every client reads all that it trusts, which takes longer than a call."""
    end = "-----END CERTIFICATE-----\n"
    first = Path(certifi.where()).read_text(encoding="utf-8").partition(end)[0] + end
    place = Path(mkdtemp(), "one.pem")
    place.write_text(first, encoding="utf-8")
    return str(place)


@cache
def _store() -> bytes:
    """An empty store with a day's budget for acme; making one takes longer than a call."""
    with TemporaryDirectory() as folder:
        place = Path(folder, "gateway.sqlite3")
        with operator(GatewaySettings(url=f"sqlite:///{place}")) as op:
            op.set_budget("tenant=acme", Span.DAY, Unit.TOKENS, 10**7)
            op.set_budget("tenant=acme", Span.DAY, Unit.MICRODOLLARS, 10**9)
        return place.read_bytes()


def settings(folder: Path, **more: Any) -> GatewaySettings:
    """A store in the folder, with a day's budget for acme."""
    folder.mkdir(exist_ok=True)
    place = folder / "gateway.sqlite3"
    place.write_bytes(_store())
    told: dict[str, Any] = {"url": f"sqlite:///{place}", "drain_seconds": 1.0} | more
    return GatewaySettings(**told)


def against(script: Script, folder: Path, work: Work, **more: Any) -> Found:
    """Do something with a client of the server; whatever it raises that is no GatewayError is raised.

    `configured` are its settings, `key` names the variable with the key, `port` another place to call.
    """
    return run(beside(script, folder, work, **more))


def run(work: Coroutine[Any, Any, T]) -> T:
    """As `asyncio.run`, with clients that open at once."""
    with patch.dict(os.environ, SSL_CERT_FILE=_one_certificate()):
        return asyncio.run(work)


async def beside(
    script: Script,
    folder: Path,
    work: Work,
    *,
    configured: dict[str, Any] | None = None,
    key: str | None = None,
    scheme: str = "http",
    port: int = 0,
    start: asyncio.Barrier | None = None,
) -> Found:
    """As `against`, beside others in one loop; they `start` when all are open."""
    told, found, wrong = settings(folder, **(configured or {})), Found(folder / "gateway.sqlite3"), []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: wrong.append(context))
    async with RawServer(script, of_http=scheme == "http") as server:
        models = catalogue(port or server.port, scheme=scheme, key=key)
        async with GatewayClient(told, models, seed=1) as llm:
            if start is not None:
                await start.wait()
            try:
                found.got = await work(llm)
            except GatewayError as error:
                found.error = error
        found.asked = server.asked
    found.check_quiet()
    assert wrong == [], "something was raised that nobody awaited"
    return found


def call(script: Script, folder: Path, *, way: str = "chat", **more: Any) -> Found:
    """One chat, stream or embedding, which ends in its time."""
    return run(calling(script, folder, way=way, **more))


async def calling(script: Script, folder: Path, *, way: str = "chat", **more: Any) -> Found:
    """As `call`, beside others in one loop."""
    of_client = {name: more.pop(name) for name in OF_CLIENT if name in more}
    asked, pieces = HELLO | more, []

    async def one(llm: GatewayClient) -> Any:
        if way == "embed":
            told = {name: asked[name] for name in ("tenant", "deadline")}
            return await llm.embed(model="e", texts=["a", "b"], lane="interactive", **told)
        if way == "chat":
            return await llm.chat(**asked)
        stream = await llm.stream(**asked)
        async for piece in stream:
            pieces.append(piece)
        return stream.completion

    found = await beside(script, folder, timely(one, asked["deadline"]), **of_client)
    found.pieces = pieces
    return found


def timely(work: Work, deadline: float) -> Work:
    """The same, and it must end in its time."""

    async def watched(llm: GatewayClient) -> Any:
        with Stalls() as stalls:
            began = time.monotonic()
            try:
                return await work(llm)
            finally:
                seconds = time.monotonic() - began
                assert seconds <= deadline + SLACK + stalls.seconds, f"told after {seconds:.1f} s"

    return watched
