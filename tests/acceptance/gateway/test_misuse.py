"""Misuse: whatever is asked wrongly or answered absurdly ends in an error that says what to do, and costs nothing."""

from __future__ import annotations

import asyncio
import sqlite3
import ssl
import subprocess
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway_client.catalogue import Catalogue
from gateway_client.client import GatewayClient
from gateway_client.errors import (
    BreakerOpen,
    ContextTooLong,
    DeadlineExceeded,
    GatewayError,
    InvalidCall,
    KeyMissing,
    MalformedResponse,
    Misdirected,
    ModelNotApproved,
    ProviderError,
    StoreUnavailable,
    UnknownModel,
    UnknownTenant,
    Unreachable,
)
from gateway_client.policy import KnownTenants, Policy, TenantPolicy
from gateway_client.settings import GatewaySettings
from gateway_client.simulator.running import Simulator
from gateway_client.simulator.settings import Settings
from tests.support.gateway_calls import HELLO, LABEL_TOOL, afresh, run

ASKED: dict[str, Any] = HELLO | {"max_tokens": 30, "deadline": 3.0}
SECRET = "sk-very-secret-key-0123456789"


@pytest.fixture(scope="module")
def running() -> Iterator[Simulator]:
    with Simulator() as simulator:
        yield simulator


@pytest.fixture
def simulator(running: Simulator) -> Simulator:
    return afresh(running, Settings())


def settings(folder: Path, **more: Any) -> GatewaySettings:
    given: dict[str, Any] = {"url": f"sqlite:///{folder / 'gateway.sqlite3'}", "drain_seconds": 0.5}
    return GatewaySettings(**given | more)


def call(
    folder: Path,
    catalogue: Catalogue,
    *,
    policy: Policy | None = None,
    configured: dict[str, Any] | None = None,
    **request: Any,
) -> Any:
    """One chat call in a client of its own."""

    asked = {**ASKED, **request}
    return run(
        settings(folder, **(configured or {})), catalogue, lambda llm: llm.chat(**asked), policy=policy
    )


def rows(folder: Path, table: str) -> list[dict[str, Any]]:
    connection = sqlite3.connect(folder / "gateway.sqlite3")
    connection.row_factory = sqlite3.Row
    found = [dict(row) for row in connection.execute(f"select * from {table}")]
    connection.close()
    return found


@pytest.mark.parametrize(
    ("request_", "error", "told"),
    [
        ({"tenant": ""}, UnknownTenant, "knows no tenant ''"),
        ({"tenant": "stranger"}, UnknownTenant, "'stranger'"),
        ({"model": "gpt-9"}, UnknownModel, "no model 'gpt-9'"),
        ({"model": ""}, UnknownModel, "no model ''"),
        ({"model": "sim-embed"}, InvalidCall, "cannot do chat"),
        ({"lane": "express"}, InvalidCall, "no lane"),
        ({"messages": []}, InvalidCall, "nothing but system messages"),
        ({"messages": [{"role": "king", "content": "x"}]}, InvalidCall, "role"),
        ({"messages": [{"role": "user", "content": "half \ud800"}]}, InvalidCall, "content"),
        ({"messages": [{"role": "user", "text": "x"}]}, InvalidCall, "text"),
        ({"messages": [{"role": "user", "content": 3}]}, InvalidCall, "content"),
        ({"max_tokens": 0}, InvalidCall, "max_tokens"),
        ({"max_tokens": 9_000}, InvalidCall, "9000"),
        ({"messages": [{"role": "user", "content": "word " * 40_000}]}, ContextTooLong, "window of 16000"),
        ({"temperature": 9.0}, InvalidCall, "temperature"),
        ({"tool_choice": "weather"}, InvalidCall, "weather"),
        ({"tools": [{"name": "two words", "description": "", "parameters": {}}]}, InvalidCall, "name"),
        ({"feature": "a\nb"}, InvalidCall, "feature"),
    ],
)
def test_what_is_asked_wrongly_is_never_sent(
    simulator: Simulator, tmp_path: Path, request_: dict[str, Any], error: type[GatewayError], told: str
) -> None:
    policy = KnownTenants({"acme": TenantPolicy()})
    with pytest.raises(error, match=told) as caught:
        call(tmp_path, simulator.catalogue, policy=policy, **request_)
    assert isinstance(caught.value, GatewayError)
    assert simulator.log == []
    assert rows(tmp_path, "attempt") == []


def test_a_model_of_another_environment(simulator: Simulator, tmp_path: Path) -> None:
    catalogue = simulator.catalogue
    spec = catalogue.find("sim-alone")
    only_staging = replace(spec, approved=frozenset({"staging"}))
    staging = replace(catalogue, models={**catalogue.models, "sim-alone": only_staging})
    with pytest.raises(ModelNotApproved, match="approved for staging, not for prod"):
        call(tmp_path, staging)


def keyed(catalogue: Catalogue) -> Catalogue:
    models = {name: replace(spec, api_key_env="SIM_KEY") for name, spec in catalogue.models.items()}
    return replace(catalogue, models=models)


def test_a_missing_key_is_told_before_anything_is_sent(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SIM_KEY", raising=False)
    with pytest.raises(KeyMissing, match="set SIM_KEY"):
        call(tmp_path, keyed(simulator.catalogue))
    assert simulator.log == []


@pytest.mark.parametrize("model", ["sim-alone", "sim-anthropic-alone"])
def test_a_wrong_key_is_tried_once_and_told_nowhere(
    simulator: Simulator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    model: str,
) -> None:
    monkeypatch.setenv("SIM_KEY", SECRET)
    simulator.change(keys=["another"])
    with caplog.at_level("DEBUG"), pytest.raises(ProviderError) as caught:
        call(tmp_path, keyed(simulator.catalogue), model=model)
    assert caught.value.kind == "authentication"
    assert len(simulator.settled(1)) == 1
    assert rows(tmp_path, "attempt")[0]["state"] == "released"
    assert SECRET not in caplog.text + repr(caught.value) + str(rows(tmp_path, "call"))
    for file in filter(Path.is_file, tmp_path.rglob("*")):
        assert SECRET.encode() not in file.read_bytes()


@pytest.mark.parametrize("url", ["sqlite:////dev/null/gateway.sqlite3", "mysql://x/y", "nonsense"])
def test_an_unreachable_store_sends_nothing(simulator: Simulator, tmp_path: Path, url: str) -> None:
    with pytest.raises(StoreUnavailable):
        call(tmp_path, simulator.catalogue, configured={"url": url})
    assert simulator.log == []


def test_a_page_and_nothing_at_all_are_no_answers(simulator: Simulator, tmp_path: Path) -> None:
    for fault in ("html", "empty_body"):
        simulator.change(rules=[{"fault": fault}])
        # Tried again, until the time is up or the breaker has seen enough.
        with pytest.raises((MalformedResponse, DeadlineExceeded, BreakerOpen)):
            call(tmp_path, simulator.catalogue, deadline=1.0)


@pytest.mark.parametrize("stream", [False, True])
def test_a_hundred_megabytes_are_not_taken_in(simulator: Simulator, tmp_path: Path, stream: bool) -> None:
    simulator.change(rules=[{"fault": "huge_body", "megabytes": 100}])

    async def run() -> None:
        async with GatewayClient(settings(tmp_path, max_answer_mb=4.0), simulator.catalogue) as client:
            if stream:
                async for _ in await client.stream(**ASKED):
                    pass
            else:
                await client.chat(**{**ASKED, "deadline": 1.5})

    tracemalloc.start()
    try:
        with pytest.raises(GatewayError):
            asyncio.run(run())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The server is in this process too, and keeps its own pieces.
    assert peak < 60_000_000
    assert all(entry.left for entry in simulator.settled(1))


def test_a_redirect_is_never_followed(
    simulator: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIM_KEY", SECRET)
    with Simulator() as elsewhere:
        simulator.change(rules=[{"fault": "redirect", "to": f"{elsewhere.url}/openai/chat/completions"}])
        with pytest.raises(Misdirected):
            call(tmp_path, keyed(simulator.catalogue))
        assert elsewhere.log == []
    assert len(simulator.log) == 1


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A key and a certificate that nobody vouches for."""
    folder = tmp_path_factory.mktemp("tls")
    key, signed = folder / "key.pem", folder / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
         "-keyout", str(key), "-out", str(signed)],
        check=True, capture_output=True,
    )  # fmt: skip
    return str(key), str(signed)


def test_a_certificate_that_does_not_hold(tmp_path: Path, certificate: tuple[str, str]) -> None:
    with Simulator(tls=certificate) as untrusted:
        trusting = httpx.Client(verify=ssl._create_unverified_context())
        assert trusting.get(f"{untrusted.url}/healthz").status_code == 200
        trusting.close()
        with pytest.raises(Unreachable, match="certificate"):
            call(tmp_path, untrusted.catalogue)
        assert untrusted.log == []
    assert {row["state"] for row in rows(tmp_path, "attempt")} == {"released"}


def test_nobody_at_the_address(tmp_path: Path, simulator: Simulator) -> None:
    nobody = simulator.catalogue.pointed_at("http://127.0.0.1:9")
    started = time.monotonic()
    with pytest.raises(GatewayError):
        call(tmp_path, nobody, deadline=1.0)
    assert time.monotonic() - started < 5
    assert {row["state"] for row in rows(tmp_path, "attempt")} == {"released"}


def test_too_long_for_one_is_sent_to_the_larger_only(simulator: Simulator, tmp_path: Path) -> None:
    long = [{"role": "user", "content": "word " * 40_000}]
    found = call(tmp_path, simulator.catalogue, model="sim-openai", messages=long, deadline=10.0)
    assert found.model == "sim-large"
    assert [entry.model for entry in simulator.settled(1)] == ["sim-large-2026-01-01"]


def test_more_than_was_allowed_is_charged_and_told(simulator: Simulator, tmp_path: Path) -> None:
    simulator.change(rules=[{"fault": "ignores_max_tokens", "times": 400}])
    found = call(tmp_path, simulator.catalogue)
    (entry,) = simulator.settled(1)
    (row,) = rows(tmp_path, "attempt")
    assert entry.usage.output == 400 * 30
    assert row["cost_micro"] == entry.micro_dollars > row["hold_micro"]
    assert found.usage == entry.usage


def test_a_tool_call_that_cannot_be_run_is_told_to_the_model(simulator: Simulator, tmp_path: Path) -> None:
    simulator.change(rules=[{"fault": "bad_tool_call", "attempts": [1]}])
    found = call(tmp_path, simulator.catalogue, tools=[LABEL_TOOL], tool_choice="required")
    assert found.tool_calls[0].name == "label"
    assert len(simulator.settled(2)) == 2


# -- a caller cancelled at every await


class Cancelled:
    """Runs a coroutine step by step and cancels it at the n-th time that it gives up control."""

    def __init__(self, steps: int) -> None:
        self.left = steps
        self.reached = False

    async def run(self, coroutine: Any) -> None:
        task = asyncio.ensure_future(_stepped(coroutine, self))
        self.task = task
        try:
            await task
        except asyncio.CancelledError:
            return

    def step(self) -> bool:
        self.left -= 1
        if self.left == 0:
            self.reached = True
        return self.reached


def _stepped(coroutine: Any, counter: Cancelled) -> Any:
    """The coroutine, with a cancellation thrown in at its n-th suspension."""

    class Stepping:
        def __await__(self) -> Iterator[Any]:
            value = None
            error: BaseException | None = None
            while True:
                try:
                    waited = coroutine.throw(error) if error else coroutine.send(value)
                except StopIteration as done:
                    return done.value
                error = None
                if counter.step():
                    counter.reached = False
                    counter.left = -1
                    if waited is not None:
                        # The future that it waits for is cancelled, as Task.cancel() does.
                        waited._asyncio_future_blocking = False
                        waited.cancel()
                    error = asyncio.CancelledError()
                    continue
                try:
                    value = yield waited
                except BaseException as thrown:
                    error = thrown

    async def body() -> Any:
        return await Stepping()

    return body()


@pytest.mark.parametrize("way", ["chat", "stream", "embed", "keyed chat", "keyed stream", "keyed embed"])
def test_a_caller_cancelled_at_every_await_leaves_nothing_held(
    simulator: Simulator, tmp_path: Path, way: str
) -> None:
    async def once(client: GatewayClient, number: int) -> None:
        request = {**ASKED, "messages": [{"role": "user", "content": f"hello {number}"}]}
        key = {"idempotency_key": f"key-{number}"} if "keyed" in way else {}
        if "stream" in way:
            async with await client.stream(**request, **key) as stream:
                async for _ in stream:
                    pass
        elif "embed" in way:
            await client.embed(tenant="acme", model="sim-embed", texts=[f"{number}"], deadline=3.0, **key)
        else:
            await client.chat(**request, **key)

    async def run() -> int:
        async with GatewayClient(settings(tmp_path), simulator.catalogue) as client:
            for steps in range(1, 60):
                cancelled = Cancelled(steps)
                await cancelled.run(once(client, steps))
                if cancelled.left > 0:
                    return steps
            raise AssertionError("the call never came to its end")

    simulator.change(first_token={"seconds": 0.01})
    steps = asyncio.run(run())
    assert steps >= 3
    check_books(simulator, tmp_path)


@pytest.mark.parametrize("way", ["chat", "stream"])
def test_a_caller_cancelled_at_any_moment_leaves_nothing_held(
    simulator: Simulator, tmp_path: Path, way: str
) -> None:
    async def once(client: GatewayClient) -> None:
        if way == "chat":
            await client.chat(**ASKED)
        else:
            async with await client.stream(**ASKED) as stream:
                async for _ in stream:
                    pass

    async def run() -> None:
        async with GatewayClient(settings(tmp_path), simulator.catalogue) as client:
            for moment in range(60):
                task = asyncio.ensure_future(once(client))
                await asyncio.sleep(moment * 0.001)
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    simulator.change(first_token={"seconds": 0.005}, between_tokens={"seconds": 0.001})
    asyncio.run(run())
    check_books(simulator, tmp_path)


def check_books(simulator: Simulator, folder: Path) -> None:
    """Nothing is held or running, and every attempt is charged its bill, or an upper bound of it."""
    time.sleep(0.2)
    attempts = rows(folder, "attempt")
    assert {row["state"] for row in attempts} <= {"settled", "released", "unknown"}
    bills: dict[str | None, int] = {}
    for entry in simulator.log:
        bills[entry.claimed_attempt] = bills.get(entry.claimed_attempt, 0) + entry.micro_dollars
    for row in attempts:
        bill = bills.get(row["id"], 0)
        assert row["cost_micro"] == bill if row["state"] == "settled" else row["cost_micro"] >= bill, row
    assert {attempt for attempt, bill in bills.items() if bill} <= {row["id"] for row in attempts}
    calls = rows(folder, "call")
    assert {row["state"] for row in calls} <= {"done", "failed", "unknown"}
    assert all(row["outcome"] and row["ended"] for row in calls)
    assert {row["call"] for row in attempts} <= {row["id"] for row in calls}
