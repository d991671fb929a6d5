"""The simulated provider as a provider: capacity, fates, limits, keys, latency, its log and its bill."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import httpx
import pytest

from gateway_client.messages import EmbeddingRequest
from gateway_client.providers.openai import OPENAI
from gateway_client.providers.provider import provider_of
from gateway_client.simulator.running import Simulator
from gateway_client.simulator.traffic import Traffic
from tests.support.model_calls import ask


def request(simulator: Simulator, text: str = "hi", name: str = "sim-alone", **headers: str) -> httpx.Request:
    model = simulator.catalogue.find(name)
    built = provider_of(model).build(ask(text), model, headers.pop("key", ""), stream=False)
    built.headers.update(headers)
    return built


async def burst(simulator: Simulator, ids: list[str]) -> list[httpx.Response]:
    async with httpx.AsyncClient(timeout=10, verify=False, limits=httpx.Limits(max_connections=20)) as client:
        return await asyncio.gather(
            *(client.send(request(simulator, **{"x-request-id": id_})) for id_ in ids)
        )


def test_above_its_capacity_it_refuses(simulator: Simulator) -> None:
    simulator.change(capacity=5, first_token={"seconds": 0.3}, reject={"capacity_retry_after": 0.5})
    responses = asyncio.run(burst(simulator, [f"r{n}" for n in range(12)]))
    refused = [response for response in responses if response.status_code == 429]
    assert len(refused) == 7
    assert {response.headers["retry-after"] for response in refused} == {"0.5"}
    log = simulator.settled(12)
    assert max(entry.in_flight for entry in log if entry.refused is None) == 5
    assert all(entry.micro_dollars == 0 for entry in log if entry.refused == "capacity")
    assert asyncio.run(burst(simulator, ["again"]))[0].status_code == 200


def test_fates_are_the_same_on_another_server(simulator: Simulator) -> None:
    reject = {"pattern": "hash", "share": 0.4}
    simulator.change(seed=9, reject=reject)
    ids = [f"r{n}" for n in range(40)]
    here = [response.status_code for response in asyncio.run(burst(simulator, ids))]
    with Simulator(seed=9, reject=reject) as other:
        asyncio.run(burst(other, [f"other{n}" for n in range(20)]))
        there = [response.status_code for response in asyncio.run(burst(other, ids[::-1]))][::-1]
    assert here == there
    assert {200, 429} == set(here)


def test_a_minute_s_limits_are_told_and_kept(
    simulator: Simulator, http: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator.change(limits={"requests_per_minute": 3, "tokens_per_minute": 100_000})
    monkeypatch.setattr(Traffic, "until_reset", lambda _: 17.0)
    for name in ("sim-alone", "sim-anthropic-alone"):
        response = http.send(request(simulator, name=name))
        found = provider_of(simulator.catalogue.find(name)).rate_limits(response.headers)
        assert found.requests.limit == 3
        assert found.tokens.limit == 100_000
        assert found.requests.reset_seconds == pytest.approx(17, abs=2.5)
    http.send(request(simulator))
    refused = http.send(request(simulator))
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "17")


def test_keys(simulator: Simulator, http: httpx.Client) -> None:
    simulator.change(keys=["right"])
    for name in ("sim-alone", "sim-anthropic-alone"):
        assert http.send(request(simulator, name=name, key="right")).status_code == 200
        assert http.send(request(simulator, name=name, key="wrong")).status_code == 401
        assert http.send(request(simulator, name=name)).status_code == 401
    assert "right" not in json.dumps([entry.document() for entry in simulator.log])


def test_what_no_provider_takes(simulator: Simulator, http: httpx.Client) -> None:
    url = f"{simulator.url}/openai/chat/completions"
    for body in (b"", b"{", b"[]", b'{"model": "m"}', b'{"model": "m", "messages": [3]}', b"\xff"):
        assert http.post(url, content=body).status_code == 400
    too_long = request(simulator, "x" * 80_000)
    response = http.send(too_long)
    assert OPENAI.failure(response.status_code, {}, response.content).kind == "context_overflow"
    unknown = {"model": "gpt-9", "messages": [{"role": "user", "content": "hi"}]}
    assert http.post(url, json=unknown).status_code == 404
    assert http.get(f"{simulator.url}/nowhere").status_code == 404
    assert sum(entry.micro_dollars for entry in simulator.log) == 0


def test_latency_before_the_first_token_and_between(simulator: Simulator, http: httpx.Client) -> None:
    simulator.change(first_token={"seconds": 0.1}, between_tokens={"seconds": 0.02}, output_tokens=10)
    model = simulator.catalogue.find("sim-alone")
    started = time.monotonic()
    arrivals = []
    with http.stream("POST", url := f"{model.base_url}/chat/completions", content=OPENAI.build(
        ask(), model, "", stream=True).content) as response:  # fmt: skip
        for _ in response.iter_raw():
            arrivals.append(time.monotonic() - started)
    assert arrivals[0] >= 0.1
    assert arrivals[-1] >= 0.1 + 10 * 0.02
    started = time.monotonic()
    http.send(request(simulator))
    assert time.monotonic() - started >= 0.1 + 10 * 0.02
    assert url


def test_embeddings(simulator: Simulator, http: httpx.Client) -> None:
    model = simulator.catalogue.find("sim-embed")
    texts = EmbeddingRequest("sim-embed", ("a", "b", "a"), dimensions=16)
    reply = OPENAI.parse_embedding(http.send(OPENAI.build_embedding(texts, model, "")))
    first, second, third = reply.vectors
    assert first == third != second
    assert len(first) == 16
    assert sum(value * value for value in first) == pytest.approx(1, rel=1e-5)
    assert reply.model_reported == model.version
    (entry,) = simulator.settled(1)
    assert entry.usage == reply.usage
    assert entry.micro_dollars == model.cost(entry.usage)


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ("html", 200),
        ("rate_limited", 429),
        ("cut_stream", 200),
        ("wrong_model", 200),
        ("silence; seconds=0.01", 0),
    ],
)
def test_embeddings_have_faults_too(
    simulator: Simulator, http: httpx.Client, fault: str, status: int
) -> None:
    model = simulator.catalogue.find("sim-embed")
    built = OPENAI.build_embedding(EmbeddingRequest("sim-embed", ("a",)), model, "")
    built.headers["x-simulate"] = fault
    try:
        found = http.send(built).status_code
    except httpx.RemoteProtocolError:
        found = status
    assert found == status
    assert simulator.settled(1)[0].fault == fault.split(";")[0]


def test_requests_are_known_by_their_id_and_counted(simulator: Simulator, http: httpx.Client) -> None:
    for attempt in ("1", "2"):
        http.send(request(simulator, **{"x-request-id": "call-1", "x-attempt": attempt}))
    http.send(request(simulator, "other"))
    http.send(request(simulator, "other"))
    first, second, *others = simulator.settled(4)
    assert [(e.request_id, e.attempt, e.claimed_attempt) for e in (first, second)] == [
        ("call-1", 1, "1"),
        ("call-1", 2, "2"),
    ]
    assert len({entry.request_id for entry in others}) == 1
    assert [entry.attempt for entry in others] == [1, 2]


def test_the_admin_endpoints(simulator: Simulator, http: httpx.Client) -> None:
    settings = f"{simulator.url}/admin/settings"
    assert http.get(f"{simulator.url}/healthz").json() == {"status": "ok"}
    patch = {"capacity": 7, "rules": [{"fault": "html", "model": "sim-alone-2026-01-01"}]}
    assert http.patch(settings, json=patch).json()["capacity"] == 7
    assert http.get(settings).json()["rules"][0]["fault"] == "html"
    assert http.send(request(simulator)).headers["content-type"].startswith("text/html")
    assert http.send(request(simulator, name="sim-large")).json()["model"] == "sim-large-2026-01-01"
    for wrong in ({"capacity": -1}, {"colour": 1}, [1], 3):
        assert http.patch(settings, json=wrong).status_code == 422
    assert http.patch(settings, content=b"{").status_code == 422
    simulator.settled(2)
    log = http.get(f"{simulator.url}/admin/log").json()
    assert [entry["fault"] for entry in log] == ["html", "none"]
    assert http.get(f"{simulator.url}/admin/log?since=1").json() == log[1:]
    bill = [json.loads(line) for line in http.get(f"{simulator.url}/admin/bill").text.splitlines()]
    assert [line["micro_dollars"] for line in bill] == [entry["micro_dollars"] for entry in log]
    assert "silence" in http.get(f"{simulator.url}/admin/faults").json()
    http.post(f"{simulator.url}/admin/reset")
    assert http.get(f"{simulator.url}/admin/log").json() == []


def test_the_log_is_a_file_too(tmp_path: Path, http: httpx.Client) -> None:
    file = tmp_path / "log.jsonl"
    with Simulator(log_file=file) as simulator:
        for number in range(3):
            http.send(request(simulator, **{"x-request-id": f"r{number}"}))
        expected = [json.loads(json.dumps(entry.document())) for entry in simulator.settled(3)]
    assert [json.loads(line) for line in file.read_text().splitlines()] == expected


def test_many_small_calls_do_not_trouble_it(simulator: Simulator) -> None:
    responses = asyncio.run(burst(simulator, [f"r{n}" for n in range(150)]))
    assert {response.status_code for response in responses} == {200}
    assert len(simulator.settled(150)) == 150
    assert simulator.provider.traffic.in_flight == 0
