"""Alerts to a real webhook on this machine: once, again after a failure, never lost, never stuck."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from sqlalchemy import select

from pipelines.alerts import delivery
from pipelines.alerts.delivery import deliver_all
from registry import alerts, contracts, tenants
from registry.alerts import FIRST_PAUSE, LONGEST_PAUSE
from registry.contract import Contract
from registry.database import Registry
from registry.schema import Alert
from tests.support.world import START, SetClock


class Webhook:
    """Takes POSTs and answers with the statuses that it is told, the last one for ever; `hang` never answers."""

    def __init__(self) -> None:
        self.statuses: list[int] = [200]
        self.location = ""
        self.hang = False
        self.bodies: list[dict[str, Any]] = []
        self.types: list[str] = []
        self.released = threading.Event()
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/alerts"

    def close(self) -> None:
        self.released.set()
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        webhook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                webhook.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                webhook.types.append(self.headers["Content-Type"])
                if webhook.hang:
                    webhook.released.wait(30)
                    return
                status = webhook.statuses.pop(0) if len(webhook.statuses) > 1 else webhook.statuses[0]
                self.send_response(status)
                if webhook.location:
                    self.send_header("Location", webhook.location)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        return Handler


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    opened = Webhook()
    yield opened
    opened.close()


class Outbox:
    """A registry with tenants whose alerts go to webhooks."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.clock = SetClock()

    def tenant(self, name: str, url: str | None) -> str:
        with self.registry.write() as session:
            found = tenants.create(session, name, self.clock()).id
            contracts.store(session, found, Contract(alert_webhook=url), self.clock())
        return found

    def point(self, tenant: str, url: str) -> None:
        with self.registry.write() as session:
            contracts.store(session, tenant, Contract(alert_webhook=url), self.clock())

    def alert(self, tenant: str, subject: str = "generation 2 was rejected", **details: Any) -> None:
        with self.registry.write() as session:
            alerts.raise_alert(session, tenant, "candidate_rejected", subject, details, self.clock())

    def deliver(self) -> int:
        self.clock.advance(LONGEST_PAUSE.total_seconds())
        return deliver_all(self.registry, self.clock)

    def rows(self) -> list[Alert]:
        with self.registry.read() as session:
            return list(session.scalars(select(Alert).order_by(Alert.id)))


@pytest.fixture
def outbox(registry: Registry) -> Outbox:
    return Outbox(registry)


@pytest.fixture
def quick(sqlite_url: str) -> Iterator[Outbox]:
    """On SQLite alone, for what has nothing to do with the database."""
    opened = Registry(sqlite_url)
    yield Outbox(opened)
    opened.close()


def test_an_alert_is_delivered_once_with_what_people_need(outbox: Outbox, webhook: Webhook) -> None:
    tenant = outbox.tenant("acme", webhook.url)
    outbox.alert(tenant, checks=["canary_recall"], generation=2)
    outbox.alert(tenant, checks=["canary_recall"], generation=2)  # the same event
    assert outbox.deliver() == 1
    assert outbox.deliver() == 0
    (body,) = webhook.bodies
    (row,) = outbox.rows()
    assert webhook.types == ["application/json"]
    assert body["id"] == row.fingerprint
    assert (body["tenant"], body["tenant_id"], body["kind"]) == ("acme", tenant, "candidate_rejected")
    assert body["text"] == "[acme] generation 2 was rejected"
    assert body["details"] == {"checks": ["canary_recall"], "generation": 2}
    assert (row.attempts, row.error, row.delivered_at) == (1, "", START + LONGEST_PAUSE)


@pytest.mark.parametrize("failing", [500, 404, 429])
def test_a_failure_is_tried_again_with_the_same_id_until_it_gets_through(
    quick: Outbox, webhook: Webhook, failing: int
) -> None:
    quick.alert(quick.tenant("acme", webhook.url))
    webhook.statuses = [failing, failing, 204]
    assert quick.deliver() == 0
    (row,) = quick.rows()
    assert (row.attempts, row.delivered_at) == (1, None)
    assert str(failing) in row.error
    assert quick.deliver() == 0
    assert quick.deliver() == 1
    assert quick.deliver() == 0
    assert len(webhook.bodies) == 3
    assert len({body["id"] for body in webhook.bodies}) == 1, "the other side could not tell a retry"
    (row,) = quick.rows()
    assert (row.attempts, row.error) == (3, "")


def test_a_redirect_to_itself_is_not_followed_for_ever(quick: Outbox, webhook: Webhook) -> None:
    quick.alert(quick.tenant("acme", webhook.url))
    webhook.statuses, webhook.location = [307], webhook.url
    assert quick.deliver() == 0
    assert len(webhook.bodies) == 1
    webhook.statuses, webhook.location = [200], ""
    assert quick.deliver() == 1


def test_one_that_hangs_is_left_after_its_time_and_the_others_get_theirs(
    quick: Outbox, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "TIMEOUT_SECONDS", 0.2)
    hanging = Webhook()
    try:
        hanging.hang = True
        slow, well = quick.tenant("slow", hanging.url), quick.tenant("well", webhook.url)
        quick.alert(slow)
        quick.alert(well)
        assert quick.deliver() == 1
        assert [body["tenant"] for body in webhook.bodies] == ["well"]
        stuck, _ = quick.rows()
        assert (stuck.delivered_at, stuck.attempts) == (None, 1)
        assert "Timeout" in stuck.error
    finally:
        hanging.close()


def nothing_listens() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/"


BAD_URLS = [
    "",
    "not a url",
    "ftp://example.org/x",
    "http://",
    "http://[::1",
    "http://a b/",
    "http://127.0.0.1:99999/",
]


@pytest.mark.parametrize("url", BAD_URLS)
def test_a_webhook_that_cannot_be_reached_stops_nobody_else(
    quick: Outbox, webhook: Webhook, url: str
) -> None:
    lost, well = quick.tenant("lost", url or nothing_listens()), quick.tenant("well", webhook.url)
    quick.alert(lost)
    quick.alert(well)
    assert quick.deliver() == 1
    stuck, _ = quick.rows()
    assert stuck.delivered_at is None
    assert stuck.error
    quick.point(lost, webhook.url)  # the contract is mended: what waited gets through
    assert quick.deliver() == 1
    assert [body["tenant"] for body in webhook.bodies] == ["well", "lost"]


def test_without_a_webhook_the_log_is_the_channel(quick: Outbox, caplog: pytest.LogCaptureFixture) -> None:
    quick.alert(quick.tenant("acme", None), "42 documents wait")
    assert quick.deliver() == 1
    assert quick.deliver() == 0
    assert [r.getMessage() for r in caplog.records if r.name == "holdfast.alerts"] == [
        "alert for tenant acme: candidate_rejected: 42 documents wait"
    ]


def test_alerts_arrive_in_order_and_each_at_its_own_tenant_s(quick: Outbox, webhook: Webhook) -> None:
    other = Webhook()
    try:
        first, second = quick.tenant("first", webhook.url), quick.tenant("second", other.url)
        for n in range(3):
            quick.alert(first, f"event {n}")
            quick.alert(second, f"event {n}")
        assert quick.deliver() == 6
        for at, name in ((webhook, "first"), (other, "second")):
            assert [body["text"] for body in at.bodies] == [f"[{name}] event {n}" for n in range(3)]
    finally:
        other.close()


def test_a_crash_after_the_post_repeats_it_under_its_id_and_loses_nothing(
    quick: Outbox, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    tenant = quick.tenant("acme", webhook.url)
    quick.alert(tenant, "first")
    quick.alert(tenant, "second")
    with monkeypatch.context() as patch:
        patch.setattr(alerts, "record_delivery", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            quick.deliver()
    assert quick.deliver() == 2
    assert [body["subject"] for body in webhook.bodies] == ["first", "first", "second"]
    assert webhook.bodies[0]["id"] == webhook.bodies[1]["id"]


def test_a_dead_webhook_keeps_nobody_else_s_alerts_however_many_it_owes(
    quick: Outbox, webhook: Webhook
) -> None:
    dead, well = quick.tenant("dead", nothing_listens()), quick.tenant("well", webhook.url)
    for n in range(250):
        quick.alert(dead, f"event {n}")
    quick.alert(well)
    assert quick.deliver() == 0, "the oldest come first"
    quick.clock.advance(-LONGEST_PAUSE.total_seconds() + 1)
    assert quick.deliver() == 1
    assert [body["tenant"] for body in webhook.bodies] == ["well"]
    assert sum(row.attempts for row in quick.rows()) <= 3, "one failure of a webhook is enough a round"


def test_an_alert_is_never_given_up_and_asked_ever_less_often(quick: Outbox, webhook: Webhook) -> None:
    quick.alert(quick.tenant("acme", webhook.url))
    webhook.statuses = [500]
    for attempt in range(1, 15):
        assert deliver_all(quick.registry, quick.clock) == 0
        assert len(webhook.bodies) == attempt
        pause = min(FIRST_PAUSE * 2 ** (attempt - 1), LONGEST_PAUSE).total_seconds()
        quick.clock.advance(pause - 1)
        deliver_all(quick.registry, quick.clock)
        assert len(webhook.bodies) == attempt, "too soon"
        quick.clock.advance(1)
    for _ in range(20):
        quick.deliver()
    webhook.statuses = [200]
    assert quick.deliver() == 1


def test_what_waits_for_a_webhook_is_due_as_soon_as_one_alert_gets_through(
    outbox: Outbox, webhook: Webhook
) -> None:
    other = Webhook()
    try:
        other.statuses = webhook.statuses = [500]
        tenant, others = outbox.tenant("acme", webhook.url), outbox.tenant("other", other.url)
        for subject in ("first", "second", "third"):
            outbox.alert(tenant, subject)
            outbox.alert(others, subject)
        for _ in range(9):
            assert outbox.deliver() == 0
        webhook.statuses = other.statuses = [200]
        webhook.bodies.clear()
        other.bodies.clear()
        assert deliver_all(outbox.registry, outbox.clock) == 0, "an hour has to go by"
        outbox.alert(tenant, "fourth")
        assert deliver_all(outbox.registry, outbox.clock) == 1
        assert deliver_all(outbox.registry, outbox.clock) == 3
        assert [body["subject"] for body in webhook.bodies] == ["fourth", "first", "second", "third"]
        assert deliver_all(outbox.registry, outbox.clock) == 0
        assert other.bodies == [], "another tenant's webhook may still be dead"
    finally:
        other.close()


def test_a_webhook_that_fails_again_is_left_alone_again(quick: Outbox, webhook: Webhook) -> None:
    tenant = quick.tenant("acme", webhook.url)
    quick.alert(tenant, "first")
    webhook.statuses = [500]
    quick.deliver()
    webhook.statuses = [200, 500]
    quick.alert(tenant, "second")
    assert deliver_all(quick.registry, quick.clock) == 1
    assert deliver_all(quick.registry, quick.clock) == 0
    assert deliver_all(quick.registry, quick.clock) == 0
    assert [body["subject"] for body in webhook.bodies] == ["first", "second", "first"]
    assert quick.deliver() == 0
    webhook.statuses = [200]
    assert quick.deliver() == 1
