"""A simulated provider: takes a request, decides what becomes of it, does that, and writes it down."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

from gateway_client.catalogue import Catalogue, ModelSpec
from gateway_client.messages import Usage
from gateway_client.simulator import script
from gateway_client.simulator.answer import answer, embedding_usage
from gateway_client.simulator.anthropic_wire import AnthropicWire
from gateway_client.simulator.asked import Asked, NotUnderstood
from gateway_client.simulator.chance import duration
from gateway_client.simulator.connection import ClientLeft, Connection
from gateway_client.simulator.faults import HEADER, Fault, FaultSpec, in_prompt, parse
from gateway_client.simulator.log import Entry, Log
from gateway_client.simulator.openai_wire import OpenAIWire
from gateway_client.simulator.script import Pace, Scene, Script
from gateway_client.simulator.settings import Settings
from gateway_client.simulator.steps import Step, Wait
from gateway_client.simulator.traffic import Refused, Traffic, retry_headers
from gateway_client.simulator.wire import ErrorKind, WireFormat

OPENAI, ANTHROPIC = OpenAIWire(), AnthropicWire()
FAULTLESS = FaultSpec()


@dataclass(frozen=True, slots=True)
class Incoming:
    """A request as it came in."""

    path: str
    headers: Mapping[str, str]
    body: bytes


class SimulatedProvider:
    """Both wire formats over one catalogue of models and one log."""

    def __init__(self, catalogue: Catalogue, settings: Settings, log: Log) -> None:
        self.models = {spec.version: spec for spec in catalogue.models.values()}
        self.log = log
        self.traffic = Traffic(settings)

    @property
    def settings(self) -> Settings:
        return self.traffic.settings

    def change(self, settings: Settings) -> None:
        """Behave otherwise from now on. Counts go on."""
        self.traffic.settings = settings

    def reset(self) -> None:
        """Forget all that was seen; what is in flight stays so."""
        self.log.clear()
        self.traffic = Traffic(self.settings, in_flight=self.traffic.in_flight)

    async def serve(self, incoming: Incoming, connection: Connection) -> None:
        """Answer one request, in whatever way it fares."""
        wire = ANTHROPIC if incoming.path.endswith("/messages") else OPENAI
        self.traffic.in_flight += 1
        try:
            await self._serve(incoming, connection, wire)
        finally:
            self.traffic.in_flight -= 1

    async def _serve(self, incoming: Incoming, connection: Connection, wire: WireFormat) -> None:
        try:
            asked = wire.read(incoming.path, _json(incoming.body))
        except (NotUnderstood, ValueError, TypeError, AttributeError, KeyError) as broken:
            await connection.perform(script.error(wire, 400, "bad_request", str(broken), ()).steps)
            return
        entry = self._entry(incoming, asked, wire)
        self.log.open(entry)
        planned = self._plan(incoming, asked, wire, entry)
        try:
            await connection.perform(planned.steps)
        except ClientLeft:
            entry.left = True
        finally:
            self._settle(entry, planned, connection)

    def _entry(self, incoming: Incoming, asked: Asked, wire: WireFormat) -> Entry:
        fingerprint = blake2b(incoming.body, digest_size=8).hexdigest()
        request_id = (
            incoming.headers.get("x-request-id") or incoming.headers.get("x-client-request-id") or fingerprint
        )
        self.traffic.arrivals[request_id] += 1
        number = len(self.log.entries) + 1
        return Entry(
            number=number,
            at=time.time(),
            request_id=request_id,
            attempt=self.traffic.arrivals[request_id],
            claimed_attempt=incoming.headers.get("x-attempt"),
            format=wire.name,
            kind=asked.kind,
            model=asked.version,
            stream=asked.stream,
            prompt=asked.prompt,
            max_tokens=asked.max_tokens,
            fingerprint=fingerprint,
            in_flight=self.traffic.in_flight,
            provider_request_id=f"sim-{number:012d}",
        )

    def _plan(self, incoming: Incoming, asked: Asked, wire: WireFormat, entry: Entry) -> Script:
        """What will be done; the entry learns why."""
        refused = self._locked_out(incoming, asked, wire) or self._refused(asked, wire, entry)
        if refused is not None:
            return refused
        try:
            fault = self._fault(incoming, asked, entry)
        except ValueError as broken:
            return script.error(wire, 400, "bad_request", str(broken), ())
        entry.fault = fault.fault.value
        entry.retry_after = fault.retry_after
        return self._answer(asked, wire, entry, fault)

    def _locked_out(self, incoming: Incoming, asked: Asked, wire: WireFormat) -> Script | None:
        """Errors that a real provider makes before it looks at capacity: the key, the model, the length."""
        key = incoming.headers.get("x-api-key") or incoming.headers.get("authorization", "").removeprefix(
            "Bearer "
        )
        if self.settings.keys and key not in self.settings.keys:
            return script.error(wire, 401, "unauthorized", "Incorrect API key provided.", ())
        spec = self.models.get(asked.version)
        if spec is None:
            return script.error(wire, 404, "not_found", f"The model {asked.version!r} does not exist.", ())
        wanted: list[tuple[bool, ErrorKind, str]] = [
            (
                asked.kind == "chat" and asked.max_tokens > spec.max_output,
                "bad_request",
                f"max_tokens is too large: {asked.max_tokens} > {spec.max_output}",
            ),
            (
                asked.prompt + asked.max_tokens > spec.context_window,
                "context_overflow",
                f"prompt is too long: {asked.prompt} + {asked.max_tokens} tokens > {spec.context_window} maximum",
            ),
        ]
        for wrong, kind, message in wanted:
            if wrong:
                return script.error(wire, 400, kind, message, ())
        return None

    def _refused(self, asked: Asked, wire: WireFormat, entry: Entry) -> Script | None:
        refused = self.traffic.refusal(asked, entry.request_id)
        entry.judged = self.traffic.judged[entry.request_id]
        if refused is None:
            return None
        entry.refused, entry.retry_after = refused.why, refused.retry_after
        headers = [
            *self._headers(wire, entry),
            *retry_headers(refused.retry_after, self.settings.reject.form),
        ]
        told = script.error(wire, 429, "rate_limited", _told(refused), headers)
        latency = duration(
            self.settings.reject.latency, self.settings.seed, "429", entry.request_id, entry.attempt
        )
        return replace(told, steps=_after(latency, told.steps))

    def _fault(self, incoming: Incoming, asked: Asked, entry: Entry) -> FaultSpec:
        """Asked for by header first, then by the prompt, then by a rule. Raises ValueError for no such fault."""
        header = incoming.headers.get(HEADER)
        told = parse(header) if header else in_prompt(asked.last)
        if told is not None:
            return told if told.applies(entry.judged) else FAULTLESS
        return self.traffic.fault(asked, entry.request_id) or FAULTLESS

    def _answer(self, asked: Asked, wire: WireFormat, entry: Entry, fault: FaultSpec) -> Script:
        settings = self.settings
        fate = (settings.seed, "pace", entry.request_id, entry.judged)
        pace = Pace(duration(settings.first_token, *fate), duration(settings.between_tokens, *fate, "next"))
        if asked.kind == "embeddings":
            asked = replace(asked, stream=False)
        given = answer(asked, settings, fault)
        headers = tuple(self._headers(wire, entry))
        scene = Scene(asked, given, fault, wire, entry.provider_request_id, pace, headers)
        if asked.kind == "embeddings":
            return script.embeddings(scene, embedding_usage(asked), settings.seed)
        return script.chat(scene)

    def _headers(self, wire: WireFormat, entry: Entry) -> list[tuple[str, str]]:
        found = [(wire.id_header, entry.provider_request_id)]
        left = self.traffic.limits_left()
        if self.settings.rate_limit_headers and left:
            found += wire.limit_headers(left, self.traffic.until_reset())
        return found

    def _settle(self, entry: Entry, planned: Script, connection: Connection) -> None:
        entry.status, entry.first_byte = connection.status, connection.first_byte
        entry.ended, entry.sent_tokens = connection.elapsed(), connection.sent_tokens
        entry.finish = planned.finish.value if planned.finish else None
        entry.usage = planned.bill(connection.sent_tokens, left=entry.left)
        entry.micro_dollars = _price(self.models.get(entry.model), entry.usage)
        self.log.ended(entry)


def _price(spec: ModelSpec | None, usage: Usage) -> int:
    return spec.cost(usage) if spec is not None else 0


def _told(refused: Refused) -> str:
    return {"capacity": "Too many requests at once.", "limit": "Rate limit reached."}.get(
        refused.why, "Rate limit reached, please slow down."
    )


def _after(seconds: float, steps: tuple[Step, ...]) -> tuple[Step, ...]:
    return (Wait(seconds), *steps) if seconds else steps


def _json(body: bytes) -> dict[str, Any]:
    found = json.loads(body)
    if not isinstance(found, dict):
        raise NotUnderstood("the body is no JSON object")
    return found


def faults() -> list[str]:
    """The names of all faults."""
    return [fault.value for fault in Fault]
