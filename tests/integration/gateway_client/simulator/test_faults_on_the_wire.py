"""Every fault of the simulator as a real HTTP client meets it, read by the providers' own parsers."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from gateway_client.errors import GatewayError
from gateway_client.messages import Reply, Tool, Usage
from gateway_client.outcomes import judge
from gateway_client.providers.provider import provider_of
from gateway_client.simulator.faults import Fault
from gateway_client.simulator.running import Simulator
from tests.support.model_calls import LABEL_SCHEMA, ask

BOTH = ("sim-alone", "sim-anthropic-alone")
TOOL = Tool("label", "Give the label.", LABEL_SCHEMA)
ERRORS = {
    "rate_limited": (429, "rate_limited"),
    "overloaded": (529, "overloaded"),
    "unauthorized": (401, "authentication"),
    "forbidden": (403, "permission"),
    "not_found": (404, "not_found"),
    "bad_request": (400, "bad_request"),
    "content_policy": (400, "content_policy"),
    "context_overflow": (400, "context_overflow"),
    "out_of_credit": (429, "quota"),
    "status; status=500": (500, "server_error"),
    "status; status=502": (502, "server_error"),
    "status; status=503": (503, "overloaded"),
    "redirect": (307, "redirect"),
}
# What a fault looks like: not streamed, and streamed. A name in capitals is an exception.
MET = {
    "none": ("ok", "ok"),
    "slow_first_token; seconds=0.05": ("ok", "ok"),
    "stall; seconds=0.05; after=2": ("ok", "ok"),
    "pings; seconds=0.2; after=2": ("ok", "ok"),
    "cut_stream; after=2": ("RemoteProtocolError", "RemoteProtocolError"),
    "reset": ("ReadError", "ReadError"),
    "reset; after=2": ("ReadError", "ReadError"),
    "silence; seconds=0.05": ("RemoteProtocolError", "RemoteProtocolError"),
    "malformed; after=2": ("MalformedResponse", "MalformedResponse"),
    "no_end; after=2": ("MalformedResponse", "Truncated"),
    "no_finish_reason": ("no_finish_reason", "Truncated"),
    "error_in_stream; after=2": ("ProviderError", "ProviderError"),
    "html": ("MalformedResponse", "MalformedResponse"),
    "empty_body": ("MalformedResponse", "MalformedResponse"),
    "empty_content": ("empty", "empty"),
    "length": ("length", "length"),
    "refusal": ("refusal", "refusal"),
    "invalid_json": ("invalid_json", "invalid_json"),
    "fenced_json": ("invalid_json", "invalid_json"),
    "breaks_schema; how=enum": ("schema_broken", "schema_broken"),
    "breaks_schema; how=null": ("schema_broken", "schema_broken"),
    "breaks_schema; how=extra": ("schema_broken", "schema_broken"),
    "breaks_schema; how=missing": ("schema_broken", "schema_broken"),
    "breaks_schema; how=type": ("schema_broken", "schema_broken"),
    "no_usage": ("ok", "ok"),
    "absurd_usage": ("ok", "ok"),
    "wrong_model": ("ok", "ok"),
    "no_model": ("ok", "ok"),
}


@dataclass
class Caller:
    """Calls as the gateway does, without its care."""

    simulator: Simulator
    http: httpx.Client

    def send(self, name: str, fault: str, *, stream: bool, **request: Any) -> httpx.Response:
        model = self.simulator.catalogue.find(name)
        asked = {"schema": LABEL_SCHEMA} | request
        built = provider_of(model).build(ask(**asked), model, "", stream=stream)
        built.headers["x-simulate"] = fault
        return self.http.send(built, stream=True)

    def reply(self, name: str, fault: str, *, stream: bool, **request: Any) -> Reply:
        provider = provider_of(self.simulator.catalogue.find(name))
        response = self.send(name, fault, stream=stream, **request)
        try:
            assert response.status_code == 200
            if not stream:
                response.read()
                return provider.parse(response)
            parser = provider.stream_parser(response.headers)
            for piece in response.iter_raw():
                parser.feed(piece)
            return parser.close()
        finally:
            response.close()

    def outcome(self, name: str, fault: str, *, stream: bool) -> str:
        try:
            found = self.reply(name, fault, stream=stream)
        except (httpx.HTTPError, GatewayError) as error:
            return type(error).__name__
        return judge(found, ask(schema=LABEL_SCHEMA)).name.value


@pytest.fixture
def caller(simulator: Simulator, http: httpx.Client) -> Caller:
    return Caller(simulator, http)


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("fault", MET)
def test_what_a_fault_looks_like(caller: Caller, fault: str, stream: bool, name: str) -> None:
    assert caller.outcome(name, fault, stream=stream) == MET[fault][stream]
    (entry,) = caller.simulator.settled(1)
    assert entry.fault == fault.split(";")[0]
    assert (entry.model, entry.stream) == (caller.simulator.catalogue.find(name).version, stream)


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("fault", ERRORS)
def test_errors_and_what_they_cost(caller: Caller, fault: str, stream: bool, name: str) -> None:
    response = caller.send(name, fault, stream=stream)
    body = response.read()
    provider = provider_of(caller.simulator.catalogue.find(name))
    failure = provider.failure(response.status_code, response.headers, body)
    assert (response.status_code, failure.kind.value) == ERRORS[fault]
    (entry,) = caller.simulator.settled(1)
    assert (entry.micro_dollars, entry.usage) == (0, Usage(0, 0))


def test_every_fault_is_met_here() -> None:
    written = {name.split(";")[0] for name in (*MET, *ERRORS)}
    elsewhere = {"huge_body", "content_filter", "bad_tool_call", "ignores_max_tokens"}
    assert {fault.value for fault in Fault} == written | elsewhere


def test_an_error_may_be_billed_and_ask_to_wait(caller: Caller) -> None:
    response = caller.send("sim-alone", "status=500; billed=true; retry_after=1.5", stream=False)
    assert response.headers["retry-after"] == "1.5"
    assert caller.simulator.settled(1)[0].micro_dollars > 0


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_the_bill_is_what_was_reported_to_the_token(caller: Caller, name: str, stream: bool) -> None:
    caller.simulator.change(cached_share=0.4, cache_write_share=0.2, reasoning_tokens=9, output_tokens=33)
    found = caller.reply(name, "none", stream=stream, schema=None)
    (entry,) = caller.simulator.settled(1)
    assert found.usage == entry.usage
    assert (entry.usage.output, entry.usage.reasoning) == (42, 9)
    assert entry.usage.cache_read > 0
    assert entry.usage.cache_write > 0
    assert entry.micro_dollars == caller.simulator.catalogue.find(name).cost(entry.usage)
    (line,) = caller.simulator.provider.log.bill()
    assert (line["micro_dollars"], line["cache_read"]) == (entry.micro_dollars, entry.usage.cache_read)
    assert found.provider_request_id == entry.provider_request_id


@pytest.mark.parametrize("name", BOTH)
def test_a_cut_stream_costs_what_was_sent(caller: Caller, name: str) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        caller.reply(name, "cut_stream; after=3", stream=True)
    (entry,) = caller.simulator.settled(1)
    assert (entry.usage.output, entry.sent_tokens) == (3, 3)
    assert entry.usage.input == entry.prompt


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_max_tokens_is_kept_unless_it_is_ignored(caller: Caller, name: str, stream: bool) -> None:
    cut = caller.reply(name, "length", stream=stream, max_tokens=30)
    assert (cut.finish, cut.usage and cut.usage.output) == ("length", 30)
    ignored = caller.reply(name, "ignores_max_tokens; times=4", stream=stream, max_tokens=30)
    assert (ignored.finish, ignored.usage and ignored.usage.output) == ("stop", 120)
    assert len(ignored.text) == 480


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_tools(caller: Caller, name: str, stream: bool) -> None:
    asked: dict[str, Any] = {"tools": (TOOL,), "tool_choice": "label", "schema": None}
    found = caller.reply(name, "none", stream=stream, **asked)
    assert judge(found, ask(**asked)).ok
    assert [call.name for call in found.tool_calls] == ["label"]
    bad = caller.reply(name, "bad_tool_call", stream=stream, **asked)
    assert judge(bad, ask(**asked)).name == "invalid_tool_call"


@pytest.mark.parametrize("name", BOTH)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_filtered_answer(caller: Caller, name: str, stream: bool) -> None:
    found = judge(caller.reply(name, "content_filter", stream=stream), ask())
    assert found.name in ("content_filter", "refusal")
    assert not found.fails_over


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_huge_body_comes_in_pieces_and_may_be_left(caller: Caller, stream: bool) -> None:
    response = caller.send("sim-alone", "huge_body; megabytes=50", stream=stream)
    seen = 0
    for piece in response.iter_raw():
        seen += len(piece)
        if seen > 2_000_000:
            break
    response.close()
    (entry,) = caller.simulator.settled(1)
    assert entry.left
    assert entry.micro_dollars > 0


def test_a_wrong_model_reports_another_and_no_model_none(caller: Caller) -> None:
    for name in BOTH:
        version = caller.simulator.catalogue.find(name).version
        for stream in (False, True):
            assert caller.reply(name, "none", stream=stream).model_reported == version
            assert caller.reply(name, "wrong_model", stream=stream).model_reported == f"{version}-impostor"
            assert caller.reply(name, "no_model", stream=stream).model_reported is None
            assert caller.reply(name, "no_usage", stream=stream).usage is None
            assert caller.reply(name, "absurd_usage", stream=stream).usage is None


def test_silence_lasts_until_the_client_gives_up(caller: Caller) -> None:
    caller.http.timeout = httpx.Timeout(0.2)
    started = time.monotonic()
    with pytest.raises(httpx.ReadTimeout):
        caller.send("sim-alone", "silence", stream=False)
    (entry,) = caller.simulator.settled(1)
    assert time.monotonic() - started < 2
    assert entry.left
    assert entry.first_byte is None
    # The provider worked although nobody saw it: that is what an unknown charge is for.
    assert entry.micro_dollars > 0


def test_a_fault_may_be_asked_for_in_the_prompt_and_for_one_arrival_only(caller: Caller) -> None:
    text = "Label it. [[simulate: html; attempts=1]]"
    model = caller.simulator.catalogue.find("sim-alone")
    request = provider_of(model).build(ask(text), model, "", stream=False)
    kinds = [caller.http.send(request).headers["content-type"] for _ in range(3)]
    assert kinds == ["text/html; charset=utf-8", "application/json", "application/json"]


def test_a_fault_that_does_not_exist_is_told(caller: Caller) -> None:
    response = caller.send("sim-alone", "nonsense", stream=False)
    assert response.status_code == 400
    assert "nonsense" in response.read().decode()
